"""Films of a policy as GIFs: in our worlds, and in any environment that draws itself (``render_mode="rgb_array"``)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from gymnasium.vector import VectorEnv
from PIL import Image

from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import EnvConfig, LevelConfig
from robonav_ray.errors import UserError
from robonav_ray.runs.task import Task
from robonav_ray.worlds.make import make_vector_env
from robonav_ray.worlds.pictures.film import save_gif
from robonav_ray.worlds.play import HOLD_S, film_episodes, film_world, play_window, show_world, single_world

Act = Callable[[np.ndarray], np.ndarray]
MAX_FRAMES = 1_000
"""Pictures of another environment than ours that one film holds at most."""
MAX_SIDE_PX = 640
"""Side to which larger pictures of another environment are scaled down."""
_HAS_DISPLAY = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
_DEFAULT_FPS, _MOST_FPS = 30.0, 50.0


class NoFilmError(UserError):
    """There can be no film of the environment; the message says why."""


def draw_gif(
    path: Path, policy: Policy, config: RunConfig, task: Task, *, stage: int, num_episodes: int, seed: int = 7
) -> int:
    """Let the policy play ``num_episodes`` episodes, write them as one GIF (whole or not at all), and return how many
    pictures it has.

    Raises:
        NoFilmError: When the environment cannot draw itself.
        EnvironmentFailedError: When it fails meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not task.is_native:
        return _film_another(path, policy.greedy, config, task, num_episodes, seed)
    frames = film_episodes(policy.greedy, num_episodes=num_episodes, **_shown(config, task, stage, seed))
    return save_gif(frames, path, fps=round(1 / config.env.world.dt_s))


def show_window(policy: Policy, config: RunConfig, task: Task, *, stage: int, seed: int) -> None:
    """Let the policy drive in a window, in worlds of ours, until the user has enough.

    Raises:
        DependencyNotInstalled: Without pygame-ce.
    """
    play_window(policy.greedy, **_shown(config, task, stage, seed))


def draw_planner(
    path: Path, name: str, config: RunConfig, task: Task, *, stage: int, num_episodes: int, seed: int = 7
) -> int:
    """As ``draw_gif``, with the planner ``name`` in place of a policy, in our own worlds.

    Raises:
        PlannerError: When there is no such planner, or it cannot drive these worlds.
    """
    from robonav_ray.planners.base import make_planner  # a run's own film needs none of them

    worlds = single_world(config.env, task.levels, stage, seed, config.algo.gamma)
    act = make_planner(name, worlds).act
    title = f"{task.stage_names[stage]}, {name}"
    frames = film_world(act, worlds, level=stage, num_episodes=num_episodes, title=title)
    return save_gif(frames, path, fps=round(1 / config.env.world.dt_s))


def show_planner(name: str, config: RunConfig, task: Task, *, stage: int, seed: int) -> None:
    """As ``show_window``, with the planner ``name`` in place of a policy; raises as ``draw_planner`` does, too."""
    from robonav_ray.planners.base import make_planner  # see draw_planner

    worlds = single_world(config.env, task.levels, stage, seed, config.algo.gamma)
    show_world(make_planner(name, worlds).act, worlds, level=stage, title=f"{task.stage_names[stage]}, {name}")


class _Shown(TypedDict):
    """What is seen of a task, in a film or a window."""

    env: EnvConfig
    levels: tuple[LevelConfig, ...]
    level: int
    seed: int
    gamma: float
    title: str


def _shown(config: RunConfig, task: Task, stage: int, seed: int) -> _Shown:
    return _Shown(
        env=config.env,
        levels=task.levels,
        level=stage,
        seed=seed,
        gamma=config.algo.gamma,
        title=task.stage_names[stage],
    )


def _film_another(path: Path, act: Act, config: RunConfig, task: Task, num_episodes: int, seed: int) -> int:
    if not task.draws:
        raise NoFilmError(
            f"env.id={task.env_id!r} draws no pictures: its metadata['render_modes'] has no 'rgb_array' "
            "(docs/your_environment.md)"
        )
    for name in ("SDL_AUDIODRIVER", *(() if _HAS_DISPLAY else ("SDL_VIDEODRIVER",))):
        os.environ.setdefault(name, "dummy")  # pygame looks for what it does not need, and complains
    env = make_vector_env(
        config.env, task.levels, num_envs=1, first_world=0, seed=seed, gamma=config.algo.gamma, draw=True
    )
    try:
        frames = film_others(act, env, num_episodes, task.steps_of(0, config.evaluation.max_episode_steps))
        return save_gif(frames, path, fps=_fps(env.metadata.get("render_fps")))
    finally:
        env.close()


def film_others(act: Act, env: VectorEnv[Any, Any, Any], num_episodes: int, cut_off_after: int) -> Iterator[np.ndarray]:
    """Yield a picture (H, W, 3) uint8 of every step of the first episodes of a SAME_STEP environment of one lane,
    ``MAX_FRAMES`` at most.

    All have the size of the first one, and no side above ``MAX_SIDE_PX``. Of the step that ends an episode there is
    none, as the next one has begun by then; the one before it stays for a moment.

    Raises:
        NoFilmError: When the environment gives something else than a picture.
    """
    obs, _ = env.reset()
    frame = _picture(env, None)
    num_frames, size = 0, (frame.shape[1], frame.shape[0])
    for _ in range(num_episodes):
        ended, num_steps = False, 0
        while not ended and num_steps < cut_off_after:
            yield frame
            num_frames += 1
            if num_frames >= MAX_FRAMES:
                return
            obs, _, terminated, truncated, _ = env.step(act(obs))
            num_steps += 1
            ended = bool(terminated[0] or truncated[0])
            if not ended:
                frame = _picture(env, size)
        for _ in range(min(round(HOLD_S * _fps(env.metadata.get("render_fps"))), MAX_FRAMES - num_frames)):
            yield frame
            num_frames += 1
        if num_frames >= MAX_FRAMES:
            return
        if not ended:
            obs, _ = env.reset()
        frame = _picture(env, size)


def _picture(env: VectorEnv[Any, Any, Any], size: tuple[int, int] | None) -> np.ndarray:
    drawn: Any = env.render()
    frame: Any = drawn[0] if isinstance(drawn, tuple) and drawn else drawn
    is_picture = isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] in (3, 4) and frame.size > 0
    if not is_picture or frame.dtype != np.uint8:
        what = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise NoFilmError(f"env.render() returned {what}, and not a picture (H, W, 3) uint8")
    image = Image.fromarray(np.ascontiguousarray(frame[:, :, :3]))
    if size is None:
        shrunk = min(1.0, MAX_SIDE_PX / max(image.size))
        size = max(1, round(image.width * shrunk)), max(1, round(image.height * shrunk))
    return np.asarray(image if image.size == size else image.resize(size, reducing_gap=2.0))


def _fps(told: Any) -> float:
    """Return the pictures a second that ``metadata["render_fps"]`` asks for, as far as a GIF can show them."""
    is_number = isinstance(told, int | float) and math.isfinite(told) and told > 0
    return min(float(told), _MOST_FPS) if is_number else _DEFAULT_FPS
