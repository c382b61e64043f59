"""Environments that are not ours: what they do wrong is told with the line at fault, and reaches nothing of ours."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from robonav_ray.config.worlds import EnvConfig
from robonav_ray.errors import EnvironmentFailedError, UserError
from robonav_ray.worlds.bit_flip import BitFlipEnv
from robonav_ray.worlds.goal_vector import ComputedGoals
from robonav_ray.worlds.make import describe_env, make_vector_env
from tests import hostile_envs
from tests.hostile_envs import ANSWERS, ERRORS

HOSTILE = "tests.hostile_envs:Hostile-v0"


def config(env_id: str = HOSTILE, **kwargs: Any) -> EnvConfig:
    return EnvConfig(id=env_id, kwargs=kwargs)


def make(env: EnvConfig, num: int = 2) -> Any:
    return make_vector_env(env, (), num_envs=num, first_world=0, seed=0, gamma=0.9)


@pytest.fixture(autouse=True)
def _as_in_a_run() -> Any:
    """A run's own handler of SIGINT: a KeyboardInterrupt without a signal is then the environment's."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("behaviour", ERRORS)
@pytest.mark.parametrize("call", ["init", "reset", "step", "close"])
def test_what_is_raised_is_told_at_once_with_the_line_of_its_author(behaviour: str, call: str) -> None:
    with pytest.raises(EnvironmentFailedError, match=r"^your environment failed: ") as caught:
        describe_env(config(behaviour=behaviour, call=call), ())
    text = str(caught.value)
    assert f": {behaviour}" in text
    assert "tests/hostile_envs.py:" in text
    assert f"in {'the making' if call == 'init' else f'{call}()'} of env.id='{HOSTILE}'" in text
    back = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert str(back) == text
    assert "Traceback" in back.__notes__[0], "the whole trace travels with it"


def _code_of_fork(target: Callable[[], object]) -> int:
    """Return the exit code of a fork that calls ``target``: 21 when that comes back."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(EnvironmentFailedError):
            target()
        os._exit(21)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_hard_exit_ends_what_an_environment_has_forked_and_not_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setitem(hostile_envs.ERRORS, "exits", lambda _: os._exit(0))
    monkeypatch.setitem(
        hostile_envs.ERRORS, "forks", lambda answer: codes.append(_code_of_fork(lambda: os._exit(7))) or answer
    )
    assert _code_of_fork(lambda: describe_env(config(behaviour="exits"), ())) == 21, (
        "in the process that made it, it raises"
    )
    describe_env(config(behaviour="forks"), ())
    assert codes == [7]


@pytest.mark.parametrize("promise", ANSWERS)
def test_what_is_returned_is_what_gymnasium_promises(promise: str) -> None:
    envs = make(config(behaviour=promise, after=1))
    envs.reset()
    envs.step(np.zeros(2, int))
    with pytest.raises(EnvironmentFailedError) as caught:
        envs.step(np.zeros(2, int))
    assert promise in str(caught.value)
    assert "step()" in str(caught.value)
    assert "tests/hostile_envs.py:" in str(caught.value)


def test_one_buffer_for_all_is_copied_before_it_is_filled_again() -> None:
    envs = make(config("tests.hostile_envs:OneBuffer-v0"), 3)
    assert envs.reset()[0].tolist() == [[0.0]] * 3
    seen = [envs.step(np.zeros(3, int)) for _ in range(5)]
    assert [obs[0, 0] for obs, *_ in seen] == [1, 2, 3, 4, 0]
    assert seen[-1][4]["final_obs"].tolist() == [[5.0]] * 3, (
        "what a time limit bootstraps from is the end, not the new beginning"
    )


@pytest.mark.parametrize(
    "accepted",
    [
        lambda o, r, e, c, i: ([float(x) for x in o], r, e, c, i),
        lambda o, r, e, c, i: (o.astype(np.float64), np.float32(r), np.bool_(e), np.bool_(c), i),
        lambda o, r, e, c, i: (o, np.array([r]), int(e), float(c), i),
        lambda o, r, e, c, i: [o, int(r), e, c, i],
    ],
)
def test_what_can_only_mean_one_thing_is_taken(accepted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hostile_envs.ANSWERS, "odd", lambda answer: accepted(*answer))
    plain, odd = make(config()), make(config(behaviour="odd"))
    np.testing.assert_array_equal(plain.reset()[0], odd.reset()[0])
    for t in range(12):
        for one, other in zip(plain.step(np.ones(2, int))[:4], odd.step(np.ones(2, int))[:4], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype, t


BOX = spaces.Box(0, 1, (2,))


@pytest.mark.parametrize(
    ("observation", "helps"),
    [
        (spaces.Box(0, 1, (4, 5)), "FlattenObservation makes it a flat Box of 20 numbers"),
        (spaces.Box(0, 255, (84, 84, 3), np.uint8), "ResizeObservation"),
        (spaces.Box(0, 1, ()), "FlattenObservation"),
        (spaces.Dict({"a": BOX, "b": spaces.Discrete(3)}), "FlattenObservation makes it a flat Box of 5"),
        (
            spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal", "more"), BOX)),
            "FilterObservation",
        ),
        (spaces.Tuple((BOX, BOX)), "FlattenObservation makes it a flat Box of 4"),
        (spaces.Discrete(7), "FlattenObservation makes it a flat Box of 7"),
        (spaces.MultiDiscrete([2, 3]), "FlattenObservation makes it a flat Box of 5"),
        (spaces.MultiBinary(4), "FlattenObservation makes it a flat Box of 4"),
        (spaces.Text(5), "FlattenObservation"),
        (spaces.Graph(BOX, None), "ObservationWrapper of your own"),
        (spaces.Sequence(BOX), "ObservationWrapper of your own"),
        (spaces.Box(0, 1, (0,)), "no number"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_observation_space_that_is_not_supported_names_the_wrapper(
    observation: Any, helps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_envs, "BOX", observation)
    for call in (lambda: describe_env(config(), ()), lambda: make(config())):
        with pytest.raises(UserError, match=helps):
            call()


@pytest.mark.parametrize(
    ("action", "helps"),
    [
        (spaces.Box(-1, 1, (2,)), r"DiscretizeAction\(env, bins=5\) makes it Discrete\(25\)"),
        (spaces.Box(-np.inf, np.inf, (2,)), "TransformAction"),
        (spaces.MultiDiscrete([2, 3]), r"unravel_index\(a, \(2, 3\)\)\), Discrete\(6\)"),
        (spaces.MultiBinary(3), r"Discrete\(8\)"),
        (spaces.Tuple((BOX, BOX)), "TransformAction"),
        (spaces.Text(3), "TransformAction"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_action_space_that_is_not_supported_names_the_wrapper(
    action: Any, helps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_envs, "ACTIONS", action)
    with pytest.raises(UserError, match=helps):
        describe_env(config(), ())


def test_actions_that_begin_elsewhere_and_numbers_of_another_type_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_envs, "ACTIONS", spaces.Discrete(3, start=5))
    described, envs = describe_env(config(), ()), make(config())
    assert described.num_actions == envs.single_action_space.n == 3
    envs.reset()
    assert envs.step(np.array([0, 2]))[1].tolist() == [5.0, 7.0], "the reward is the action that it got"
    for dtype in (np.float64, np.uint8, np.int64, np.float16):
        monkeypatch.setattr(hostile_envs, "BOX", spaces.Box(0, 9, (3,), dtype))
        monkeypatch.setitem(hostile_envs.ANSWERS, "typed", lambda answer, d=dtype: (np.full(3, 7, d), *answer[1:]))
        described, envs = describe_env(config(behaviour="typed"), ()), make(config(behaviour="typed"))
        assert described.obs_dtype == "float32"
        envs.reset()
        obs = envs.step(np.zeros(2, int))[0]
        assert obs.dtype == np.float32
        assert (obs == 7).all()


def _module(folder: Path, name: str, env_id: str = "Here-v0", before: str = "") -> None:
    (folder / f"{name}.py").write_text(
        f"{before}\n"
        "import gymnasium\n"
        f"gymnasium.register({env_id!r}, entry_point='gymnasium.envs.classic_control:CartPoleEnv')\n"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A current folder of its own; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules), set(gym.registry)
    yield tmp_path
    for name in set(sys.modules) - known[0]:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    for name in set(gym.registry) - known[1]:
        del gym.registry[name]


def test_a_module_in_the_current_folder_is_found_last_and_only_when_it_is_named(folder: Path) -> None:
    for shadow in ("secrets", "pygame"):
        (folder / f"{shadow}.py").write_text("raise RuntimeError('imported from the current folder')\n")
    _module(folder, "here_env", before="import secrets")
    assert str(folder) not in sys.path
    describe_env(config("CartPole-v1"), ())
    assert str(folder) not in sys.path, "a config that names no module of it imports nothing from it"
    assert describe_env(config("here_env:Here-v0"), ()).obs_shape == (4,)
    assert sys.path[-1] == str(folder)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("nowhere_env:Here-v0", "there is no 'nowhere_env' in the current folder or in an installed package"),
        ("here_env.sub:Here-v0", "there is no 'here_env.sub' in .*here_env.py"),
        ("here_env:There-v0", r"here_env .*registers no 'There-v0'.* nearest (is|are) .*Here-v0"),
        ("here_env:Kind", r"Kind is a class of here_env, not an id.*entry_point='here_env:Kind'"),
        ("here_env.py:Here-v0", "there is no 'here_env.py'"),
        ("./here_env:Here-v0", "without .py and without folders"),
        (":Here-v0", "is no name of a module"),
        ("Here-v1", r"not registered.* env.id=mymodule:Here-v1"),
    ],
)
def test_an_id_that_is_not_there_says_how_it_is_written(folder: Path, env_id: str, message: str) -> None:
    _module(folder, "here_env", before="class Kind: pass")
    with pytest.raises(UserError, match=message):
        describe_env(config(env_id), ())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("import no_such_package", "ModuleNotFoundError"),
        ("{}['x']", "KeyError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_a_module_that_fails_is_told_with_its_line(folder: Path, text: str, shown: str) -> None:
    _module(folder, "here_env", before=text)
    with pytest.raises(EnvironmentFailedError, match=rf"{shown}.* at here_env\.py:1, in the import of here_env"):
        describe_env(config("here_env:Here-v0"), ())


def test_arguments_that_it_does_not_take_are_the_configs_mistake_and_its_own_type_errors_its_own(folder: Path) -> None:
    with pytest.raises(UserError, match=r"env\.kwargs=\{'nonsense': 1\}.*nonsense"):
        describe_env(config(nonsense=1), ())
    (folder / "here_env.py").write_text(
        "import gymnasium\n\ndef make():\n    return len(3)\n\ngymnasium.register('Here-v0', entry_point=make)\n"
    )
    with pytest.raises(EnvironmentFailedError, match=r"TypeError.* at here_env\.py:4, in the making"):
        describe_env(config("here_env:Here-v0"), ())


def test_the_current_folder_is_the_commands_after_it_was_changed(folder: Path) -> None:
    (folder / "here_env.py").write_text(
        "import os, gymnasium\n"
        "from tests.hostile_envs import Hostile\n\n"
        "class Moves(Hostile):\n"
        "    def __init__(self, **kwargs):\n"
        "        os.chdir('/')\n"
        "        super().__init__(**kwargs)\n\n"
        "    def reset(self, **options):\n"
        "        os.chdir('/')\n"
        "        return super().reset(**options)\n\n"
        "    def step(self, action):\n"
        "        os.chdir('/')\n"
        "        return super().step(action)\n\n"
        "gymnasium.register('Here-v0', entry_point=Moves)\n"
    )
    describe_env(config("here_env:Here-v0"), ())
    envs = make(config("here_env:Here-v0"))
    assert Path.cwd() == folder
    envs.reset()
    assert Path.cwd() == folder
    envs.step(np.zeros(2, int))
    assert Path.cwd() == folder


def test_the_example_of_the_docs_is_taken(folder: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/your_environment.md").read_text()
    (folder / "myenv.py").write_text(page.split("```python\n")[1].split("```")[0])
    envs = make(config("myenv:Corridor-v0", length=4))
    envs.reset()
    ended = [envs.step(np.ones(2, int))[2] for _ in range(5)]
    assert np.any(ended)


class ReceivedOnly(hostile_envs.Hostile):
    """Refuses ``seed``, as an environment of the old Gym."""

    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


gym.register("ReceivedOnly-v0", entry_point=ReceivedOnly)
gym.register("Differs-v0", entry_point=lambda: _differing())
_shapes = iter(range(2, 100))


def _differing() -> Any:
    env = hostile_envs.Hostile()
    env.observation_space = spaces.Box(-1, next(_shapes), (3,), np.float32)
    return env


def test_what_gymnasium_would_only_trip_over_is_told() -> None:
    with pytest.raises(EnvironmentFailedError, match=r"test_foreign\.py:\d+, in reset\(\).*has to take both by name"):
        describe_env(config("ReceivedOnly-v0"), ())
    with pytest.raises(EnvironmentFailedError, match="two instances of it differ in their observation_space"):
        make(config("Differs-v0"))


@pytest.mark.parametrize(
    "batch",
    [
        lambda r: {}[0],
        lambda r: r[:1],
        lambda r: r.sum(),
        lambda r: None,
        lambda r: "x",
        lambda r: 1 / 0,
        lambda r: sys.exit(0),
    ],
)
def test_functions_for_one_transition_are_called_row_by_row_whatever_a_batch_gives(batch: Any) -> None:
    class Goals(BitFlipEnv):
        def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
            if achieved_goal.ndim > 1:
                return batch(achieved_goal)
            achieved_goal -= desired_goal
            return -float(np.abs(achieved_goal).sum())

    functions = ComputedGoals(Goals(3), "Goals-v0")
    achieved, desired = np.random.default_rng(0).integers(0, 2, (2, 40, 3)).astype(np.float32)
    before = achieved.copy()
    np.testing.assert_array_equal(functions.reward(achieved, desired), -np.abs(before - desired).sum(axis=1))
    np.testing.assert_array_equal(achieved, before, "it changes what it is given")


@pytest.mark.parametrize(
    "row",
    [lambda: {}["row"], lambda: None, lambda: np.zeros(2), lambda: np.nan, lambda: sys.exit(0), lambda: os._exit(3)],
)
def test_what_fails_for_one_transition_is_the_environments_failure(row: Any) -> None:
    class Goals(BitFlipEnv):
        def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
            return row()

    goals = np.zeros((4, 3), np.float32)
    with pytest.raises(EnvironmentFailedError, match=r"compute_reward\(\).*Goals-v0"):
        ComputedGoals(Goals(3), "Goals-v0").reward(goals, goals)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()", 0, "valid: "),
        ("import sys; sys.exit(0)", 1, "your environment failed: SystemExit(0) at here_env.py:5"),
        ("import os; os._exit(0)", 1, "your environment failed: os._exit(0) at here_env.py:5"),
        ("raise KeyboardInterrupt", 130, ""),
        ("import sys; sys.stdout.close(); sys.stderr.close()", 0, "valid: "),
    ],
)
def test_a_command_ends_whatever_an_environment_leaves_behind(folder: Path, line: str, code: int, said: str) -> None:
    (folder / "here_env.py").write_text(
        "import gymnasium\n"
        "from tests.hostile_envs import Hostile\n"
        "def make():\n"
        "    env = Hostile()\n"
        f"    {line}\n"
        "    return env\n"
        "gymnasium.register('Here-v0', entry_point=make)\n"
    )
    command = [sys.executable, "-m", "robonav_ray.cli", "config", "validate", "env.id=here_env:Here-v0"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environ)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
