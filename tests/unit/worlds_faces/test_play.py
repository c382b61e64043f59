import subprocess
import sys

import numpy as np
import pytest
from goal_driver import straight_to_the_goal

from robonav_ray.config.worlds import EnvConfig, LevelConfig, WorldConfig
from robonav_ray.worlds.gym_env import NavEnv
from robonav_ray.worlds.pictures.render_human import Window
from robonav_ray.worlds.play import HOLD_S, film_episodes, play_window, record_episodes

pygame = pytest.importorskip("pygame")
SMALL = WorldConfig(difficulty="hard")
LEVELS = (
    LevelConfig(num_dynamic=1, num_goals=1, max_steps=40),
    LevelConfig(num_dynamic=0, num_static=2, num_goals=2, max_steps=70),
)
HOW = {"level": 1, "seed": 3, "gamma": 0.99, "size_px": 96, "title": "two goals"}
FAST = 1000.0


def test_recording_has_one_frame_per_step_and_holds_the_last():
    lengths = []
    env = NavEnv(world=SMALL, levels=LEVELS, seed=3)
    for _ in range(2):
        obs, _ = env.reset(options={"level": 1})
        ended = False
        while not ended:
            obs, _, terminated, truncated, info = env.step(straight_to_the_goal(obs[None])[0])
            ended = terminated or truncated
        lengths.append(info["length"])
    frames = record_episodes(straight_to_the_goal, EnvConfig(world=SMALL), LEVELS, num_episodes=2, **HOW)
    hold = round(HOLD_S / SMALL.dt_s)
    assert len(frames) == sum(lengths) + 2 * (1 + hold)
    end = lengths[0] + 1
    assert not np.array_equal(frames[end - 2], frames[end - 1])
    np.testing.assert_array_equal(frames[end - 1], frames[end - 1 + hold])
    streamed = list(film_episodes(straight_to_the_goal, SMALL, LEVELS, num_episodes=2, **HOW))
    np.testing.assert_array_equal(np.stack(frames), np.stack(streamed))


def test_recording_needs_an_episode():
    with pytest.raises(ValueError, match="num_episodes"):
        record_episodes(straight_to_the_goal, SMALL, LEVELS, num_episodes=0, **HOW)


class Fingers:
    """Acts, and presses keys at given steps on the way."""

    def __init__(self, presses):
        self.presses, self.calls = presses, 0

    def __call__(self, obs):
        self.calls += 1
        for key in self.presses.get(self.calls, ()):
            kind = pygame.QUIT if key == "close" else pygame.KEYDOWN
            pygame.event.post(pygame.event.Event(kind, {} if key == "close" else {"key": pygame.key.key_code(key)}))
        return straight_to_the_goal(obs)


@pytest.mark.parametrize("key", ["q", "escape", "close"])
def test_the_window_closes_when_asked(key):
    act = Fingers({6: [key]})
    assert play_window(act, SMALL, LEVELS, speed=FAST, **HOW) == 1
    assert act.calls == 6
    assert not pygame.display.get_init()


def test_n_takes_the_next_episode_and_it_ends_by_itself():
    act = Fingers({4: ["n"], 8: ["n"]})
    assert play_window(act, SMALL, LEVELS, speed=FAST, num_episodes=3, **HOW) == 3
    assert act.calls > 10
    assert not pygame.display.get_init()


def test_space_halts(monkeypatch):
    act, shown = Fingers({5: ["space"]}), []
    real_show = Window.show

    def show(self, frame, fps):
        shown.append(frame)
        keys = real_show(self, frame, fps)
        if len(shown) == 20:
            keys = ["space"]
        if len(shown) == 30:
            keys = ["q"]
        return keys

    monkeypatch.setattr(Window, "show", show)
    play_window(act, SMALL, LEVELS, speed=FAST, **HOW)
    assert all(np.array_equal(shown[5], frame) for frame in shown[5:20])
    assert not np.array_equal(shown[20], shown[19])
    assert act.calls == 5 + 10


def test_human_mode_shows_by_itself_and_closes():
    env = NavEnv(
        world={"difficulty": "hard", "dt_s": 0.01},
        levels={"num_goals": 1, "max_steps": 400},
        render_mode="human",
        size_px=96,
    )
    env.reset(seed=0)
    for action in range(5):
        env.step(action)
    assert env.render() is None
    surface = pygame.display.get_surface()
    assert surface.get_width() == 96
    assert len({tuple(surface.get_at((x, 60))) for x in range(96)}) > 3
    env.close()
    env.close()
    assert not pygame.display.get_init()


def test_without_pygame_it_says_what_to_install():
    code = (
        "import sys; sys.modules['pygame'] = None\n"
        "from robonav_ray.worlds.gym_env import NavEnv\n"
        "env = NavEnv(render_mode='rgb_array'); env.reset(seed=0); env.render()\n"
        "NavEnv(render_mode='human').reset(seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "pip install robonav_ray[human]" in done.stderr.splitlines()[-1]
