"""Environments that are not ours: what they do wrong is told with the line at fault, and reaches nothing of ours."""

from __future__ import annotations

import pickle
import signal
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from robonav_ray.config.worlds import EnvConfig
from robonav_ray.errors import EnvironmentFailedError, UserError
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
    assert seen[-1][4]["final_obs"].tolist() == [[5.0]] * 3, "what a time limit bootstraps from is the end, not the new beginning"


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
        (spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal", "more"), BOX)), "FilterObservation"),
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
