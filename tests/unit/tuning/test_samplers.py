"""Samplers: deterministic, resumable, never stuck, and better than chance where they claim to be."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tuning.samplers import Sampler, make_sampler

SMOOTH = {
    "learner.learning_rate": {"loguniform": [1e-5, 1e-1]},
    "algo.num_layers": {"integer": [1, 12]},
    "algo.initializer": {"choice": ["he", "lecun", "other"]},
    "algo.dropout": {"uniform": [0.0, 1.0]},
}
DISCRETE = {"a": {"integer": [1, 8]}, "b": {"choice": [[1, 2], [3], "x", None]}}
RANDOM = {"method": "random"}
BAYESOPT = {"method": "bayesopt", "num_startup": 5}
TPE = {"method": "optuna", "num_startup": 5}
GP = {"method": "optuna", "sampler": "gp", "num_startup": 5}
LEARNING = [BAYESOPT, TPE]
SLOW_GP = pytest.param(GP, marks=pytest.mark.slow)
"""Its draws take a tenth of a second each."""
names = {"ids": lambda search: search.get("sampler", search["method"]) if isinstance(search, dict) else None}


def make(search: dict[str, Any], space: dict[str, Any] = SMOOTH, seed: int = 0) -> Sampler:
    return make_sampler(TuningConfig.model_validate({"space": space, "search": search, "seed": seed}))


def smooth(params: dict[str, Any]) -> float:
    """Highest, 0, at 1e-3, 4, lecun and .65."""
    rate = (math.log10(params["learner.learning_rate"]) + 3) / 2
    layers = (params["algo.num_layers"] - 4) / 5
    kind = {"he": 0.6, "lecun": 0.0, "other": 0.3}[params["algo.initializer"]]
    return -(rate**2) - layers**2 - kind - 4 * (params["algo.dropout"] - 0.65) ** 2


def search(
    sampler: Sampler,
    objective: Callable[[dict[str, Any]], float | None],
    num: int,
    at_once: int = 1,
    first: int = 0,
    running: dict[int, dict[str, Any]] | None = None,
) -> list[tuple[dict[str, Any], float | None]]:
    """Run trials ``first`` to ``num``, ``at_once`` side by side, the longest running one ending first; return those
    that were asked for."""
    running = {} if running is None else running
    done = []
    for number in range(first, num):
        params = sampler.ask(number)
        assert params is not None, f"nothing left for trial {number}"
        running[number] = params
        done.append((params, objective(params)))
        if len(running) >= at_once:
            oldest = min(running)
            sampler.tell(oldest, running[oldest], objective(running.pop(oldest)))
    return done


def best(settings: dict[str, Any], seed: int, at_once: int = 1) -> float:
    return max(value for _, value in search(make(settings, seed=seed), smooth, 30, at_once) if value is not None)


@pytest.mark.parametrize("at_once", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("settings", LEARNING, **names)
def test_a_model_beats_chance_within_30_trials(settings: dict[str, Any], at_once: int) -> None:
    ours, chance = (np.median([best(kind, seed, at_once) for seed in range(3)]) for kind in (settings, RANDOM))
    assert ours > chance / 2


def test_the_gaussian_process_of_optuna_beats_chance() -> None:
    ours, chance = (
        max(value for _, value in search(make(kind), smooth, 20, at_once=2) if value is not None)
        for kind in (GP, RANDOM)
    )
    assert ours > chance / 2


@pytest.mark.parametrize("settings", [*LEARNING, SLOW_GP], **names)
def test_20_trials_of_which_4_run_at_once_never_repeat_and_never_end(settings: dict[str, Any]) -> None:
    done = search(make(settings, DISCRETE), lambda p: float(p["a"] == 3), 20, at_once=4)
    assert len({repr(params) for params, _ in done}) == 20


@pytest.mark.parametrize("settings", LEARNING, **names)
def test_a_space_that_is_used_up_is_gone_through_again(settings: dict[str, Any]) -> None:
    done = search(make(settings, {"a": {"integer": [1, 3]}, "b": {"choice": ["x"]}}), lambda p: p["a"], 8)
    assert len({params["a"] for params, _ in done[:3]}) == 3
    assert len(done) == 8


@pytest.mark.parametrize("settings", [RANDOM, *LEARNING, SLOW_GP], **names)
def test_the_same_calls_give_the_same_values(settings: dict[str, Any]) -> None:
    first, second, other = (search(make(settings, seed=seed), smooth, 8, at_once=2) for seed in (3, 3, 4))
    assert first == second
    assert first != other


@pytest.mark.parametrize("settings", [RANDOM, *LEARNING, GP], **names)
def test_a_sampler_that_is_told_of_earlier_trials_goes_on_as_if_never_interrupted(settings: dict[str, Any]) -> None:
    whole: dict[int, dict[str, Any]] = {}
    uninterrupted = make(settings)
    before = search(uninterrupted, smooth, 9, at_once=4, running=whole)
    rebuilt, running = make(settings), {}
    for number, (params, value) in enumerate(before):
        params = json.loads(json.dumps(params))  # as the records hold it
        if number in whole:
            running[number] = params
            rebuilt.assume(number, params)
        else:
            rebuilt.tell(number, params, value)
    rest = search(uninterrupted, smooth, 12, at_once=4, first=9, running=whole)
    assert search(rebuilt, smooth, 12, at_once=4, first=9, running=running) == rest


@pytest.mark.parametrize("settings", LEARNING, **names)
def test_trials_that_fail_are_kept_away_from(settings: dict[str, Any]) -> None:
    """Half of the space fails, in every way in which a trial can; a model goes there less than chance does."""
    bad = iter([None, math.nan, math.inf, -math.inf] * 20)

    def halved(params: dict[str, Any]) -> float | None:
        return next(bad) if params["algo.dropout"] > 0.5 else params["algo.dropout"] - params["algo.num_layers"] / 10

    done = search(make(settings), halved, 24, at_once=2)
    failed = [params["algo.dropout"] > 0.5 for params, _ in done]
    assert np.mean(failed[12:]) < 0.4


@pytest.mark.parametrize("settings", LEARNING, **names)
def test_when_all_trials_fail_new_ones_are_drawn_by_chance(settings: dict[str, Any]) -> None:
    assert len(search(make(settings), lambda _: None, 8)) == 8


@pytest.mark.parametrize("settings", LEARNING, **names)
def test_equal_objectives_and_the_same_values_twice_are_no_trouble(settings: dict[str, Any]) -> None:
    sampler = make(settings, DISCRETE)
    for number in range(6):
        sampler.tell(number, {"a": 1 + number // 2, "b": [1, 2]}, 1.0)
    sampler.assume(6, {"a": 1, "b": [1, 2]})
    sampler.assume(7, {"a": 1, "b": [1, 2]})
    params = sampler.ask(8)
    assert params is not None
    assert params["b"] in ((1, 2), (3,), "x", None)


def test_a_random_sample_depends_on_seed_and_number_alone() -> None:
    one, other = make(RANDOM, seed=5), make(RANDOM, seed=5)
    later = [other.ask(number) for number in (7, 3)]
    other.tell(0, {}, 1.0)
    assert [one.ask(number) for number in (3, 7)] == later[::-1]
    assert one.ask(3) == other.ask(3)


def test_a_grid_ends() -> None:
    sampler = make({"method": "grid"}, DISCRETE)
    sampler.assume(0, {"a": 1, "b": None})
    done = search(sampler, lambda _: 0.0, 32)
    assert len({repr(params) for params, _ in done}) == 32
    assert done[1][0] == {"a": 1, "b": (3,)}
    assert sampler.ask(32) is None
