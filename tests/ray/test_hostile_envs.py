"""Environments that misbehave in a rollout worker: what they did is told in the driver, in their author's words and
line, at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.errors import EnvironmentFailedError, UserError
from robonav_ray.nodes.strategies import near
from robonav_ray.records import PartEvent
from robonav_ray.rollout.fleet import MAX_FRUITLESS_LIVES, RolloutFleet
from robonav_ray.rollout.make_worker import WorkerOrder
from robonav_ray.rollout.remote import RayWorkerProcesses, _Nowhere
from tests.hostile_envs import ANSWERS, ERRORS, Hostile, NoWeights

pytestmark = pytest.mark.ray


def fail(env_id: str, note: Callable[[PartEvent], None] = lambda event: None, **kwargs: Any) -> BaseException:
    """Run one worker in the environment until its fleet raises, and return what."""
    config = load_run_config(
        None, [f"env.id={env_id}", *(f"env.kwargs.{key}={value}" for key, value in kwargs.items())]
    )
    wiring = WorkerOrder(config, (), 0, 0, 0, 2, _Nowhere(), _Nowhere(), NoWeights())
    fleet = RolloutFleet(
        [wiring], RayWorkerProcesses(0.1, near), max_restarts=1000, on_lost=lambda worker, life: 0, note=note
    )
    until = time.monotonic() + 200
    try:
        while time.monotonic() < until:
            fleet.poll(0.5)
            fleet.replace_silent(lambda worker: (1e9, 0.0), 2.0, 60.0)
    except (EnvironmentFailedError, UserError) as error:
        return error
    finally:
        fleet.kill()
    raise AssertionError("it went on")


def check(behaviour: str, **kwargs: Any) -> None:
    error = fail("tests.hostile_envs:Hostile-v0", behaviour=f'"{behaviour}"', **kwargs)
    assert isinstance(error, EnvironmentFailedError)
    assert behaviour in str(error)
    assert "tests/hostile_envs.py:" in str(error)
    if behaviour in ERRORS:
        assert "_misbehave" in error.__notes__[0], "the whole trace of the other process"


def test_an_environment_that_exits_in_its_worker_is_told_with_its_line(ray_session: None) -> None:
    check("SystemExit(0)", after=50)


def test_what_is_registered_in_the_driver_only_is_told_at_once(ray_session: None) -> None:
    gymnasium.register("OnlyHere-v0", entry_point=Hostile)
    error = fail("OnlyHere-v0")
    assert isinstance(error, UserError)
    assert "'OnlyHere-v0' is not registered" in str(error)
    assert "env.id=module:Id" in str(error)
    assert "robonav submit" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["init", "reset", "step"])
@pytest.mark.parametrize("behaviour", ERRORS)
def test_whatever_it_raises(ray_session: None, behaviour: str, call: str) -> None:
    check(behaviour, call=call)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ANSWERS)
def test_whatever_it_returns(ray_session: None, behaviour: str) -> None:
    check(behaviour, after=20)


@pytest.mark.slow
@pytest.mark.parametrize(("behaviour", "why"), [("SIGKILL", "died"), ("for ever", "was silent")])
def test_one_that_ends_or_blocks_its_process_is_given_up_by_name(ray_session: None, behaviour: str, why: str) -> None:
    seen: list[PartEvent] = []
    error = fail("tests.hostile_envs:Hostile-v0", seen.append, behaviour=behaviour, after=400)
    assert isinstance(error, EnvironmentFailedError)
    assert (
        f"{MAX_FRUITLESS_LIVES + 1} times in a row the rollout worker 0 of env.id='tests.hostile_envs:Hostile-v0' {why}"
        in str(error)
    )
    assert sum(event.event in ("lost", "fenced") for event in seen) == MAX_FRUITLESS_LIVES
