"""A search over a function of the user's own: values stay in the space, and only what can be compared counts. No Ray is
started."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from robonav_ray.config.tuning import DimensionConfig
from robonav_ray.errors import UserError
from robonav_ray.fronts.default_space import DEFAULT_SPACE
from robonav_ray.fronts.function_schedulers import FunctionPopulation, finite_objective, function_scheduler
from robonav_ray.fronts.function_search import BestReport, SamplerSearch, _best_of
from robonav_ray.tuning.space import Space
from robonav_ray.tuning.trial_objective import METRIC

PBT = {"kind": "pbt", "quantile_frac": 0.25}
ODD = [math.nan, math.inf, -math.inf, None, "high", [1.0]]


def trial(params: dict[str, Any] | None = None, objective: Any = 0.0, **result: Any) -> Any:
    reported = {METRIC: objective, **result} if objective != "missing" else {}
    return SimpleNamespace(
        config=dict(params or {}), last_result=reported, trial_id="t", error_file="error.txt", get_error=lambda: None
    )


def best_of(trials: list[Any]) -> tuple[float, dict[str, Any]]:
    reports = BestReport()
    for one in trials:
        reports.on_trial_result(0, trials, one, one.last_result)
    return _best_of(trials, reports.best)


def check_inside(space: Space, params: dict[str, Any]) -> None:
    assert tuple(params) == space.keys
    for dimension in space.dimensions:
        value = params[dimension.key]
        if dimension.kind == "choice":
            assert any(
                value is choice or (value == choice and type(value) is type(choice)) for choice in dimension.choices
            )
        else:
            assert dimension.low <= value <= dimension.high, dimension.key
            assert type(value) is (int if "integer" in dimension.kind else float), dimension.key


bounds = st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)).filter(lambda pair: pair[0] < pair[1])
whole = st.tuples(st.integers(1, 500), st.integers(1, 500)).filter(lambda pair: pair[0] < pair[1])
dimensions = st.one_of(
    bounds.map(lambda pair: DimensionConfig(uniform=pair)),
    bounds.map(lambda pair: DimensionConfig(loguniform=pair)),
    whole.map(lambda pair: DimensionConfig(integer=pair)),
    whole.map(lambda pair: DimensionConfig(log_integer=pair)),
    st.sampled_from([(True, False), (1, 2.0, "x"), ((64, 64), (32,)), (None, 3)]).map(
        lambda some: DimensionConfig(choice=some)
    ),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(dimensions, min_size=1, max_size=4), st.integers(0, 2**31))
def test_a_population_never_leaves_the_space(found, seed):
    space = Space({f"k{i}": dimension for i, dimension in enumerate(found)})
    population = function_scheduler(PBT, space, 1, 10, seed)
    assert isinstance(population, FunctionPopulation)
    donor = trial(space.sample(np.random.default_rng(seed)))
    for _ in range(40):
        config, told = population._get_new_config(trial(), donor)
        check_inside(space, config)
        assert set(told) == set(space.keys)
        donor = trial(config)


def test_the_issues_values_stay_inside():
    space = Space(DEFAULT_SPACE)
    population = function_scheduler(PBT, space, 1, 10, 0)
    donor = trial(dict(next(iter(space.corners(np.random.default_rng(0)))), gamma=0.999, num_layers=4))
    for _ in range(300):
        donor = trial(population._get_new_config(trial(), donor)[0])  # type: ignore[attr-defined]
        assert 0.95 <= donor.config["gamma"] <= 0.999
        assert donor.config["num_layers"] in (2, 3, 4)


@pytest.mark.parametrize("odd", ODD)
def test_what_cannot_be_compared_is_never_best(odd):
    assert finite_objective({METRIC: odd}) is None
    for order in ([odd, 0.5, -1.0], [-1.0, odd, 0.5], [0.5, -1.0, odd]):
        trials = [trial({"x": i}, value) for i, value in enumerate(order)]
        assert best_of(trials) == (0.5, {"x": order.index(0.5)})
    with pytest.raises(UserError, match="finite number"):
        best_of([trial({}, odd), trial({}, odd)])


def test_the_best_report_counts_also_when_the_trial_falls_or_goes_on_with_other_values():
    told: list[Any] = []
    sampler: Any = SimpleNamespace(ask=lambda number: {"x": number}, tell=lambda *told_now: told.append(told_now))
    search, reports, one = SamplerSearch(sampler, 1), BestReport(), trial({"x": 0})
    search.suggest("t")
    for value, x in [(0.1, 0), (0.9, 1), (math.nan, 2), (0.9, 3), (0.2, 4)]:
        result = {METRIC: value, "config": {"x": x}}
        search.on_trial_result("t", result)
        reports.on_trial_result(0, [one], one, result)
    search.on_trial_complete("t", {METRIC: 0.2})
    assert _best_of([one], reports.best) == (0.9, {"x": 1})
    assert told == [(0, {"x": 0}, 0.9)]


def test_trials_that_reported_nothing_are_left_out_and_said():
    assert best_of([trial({}, "missing"), trial({"x": 1}, np.float32(-2.0))]) == (-2.0, {"x": 1})
    with pytest.raises(UserError, match=r"every trial failed, or none reported 'objective'.*error\.txt"):
        best_of([trial({}, "missing")])


@pytest.mark.parametrize("odd", ODD)
def test_asha_stops_what_cannot_be_compared_and_judges_others_without_it(odd):
    space = Space({"x": DimensionConfig(uniform=(0.0, 1.0))})
    asha: Any = function_scheduler({"kind": "asha", "reduction_factor": 2}, space, 1, 8, 0)
    controller: Any = SimpleNamespace()
    trials = [SimpleNamespace(trial_id=str(i)) for i in range(4)]
    decisions = []
    for one, value in zip(trials, [odd, 3.0, 2.0, 4.0], strict=True):
        asha.on_trial_add(controller, one)
        result = {METRIC: value, "training_iteration": 1}
        decisions.append(asha.on_trial_result(controller, one, result))
        if value is odd:
            asha.on_trial_complete(controller, one, result)
    assert decisions == [TrialScheduler.STOP, TrialScheduler.CONTINUE, TrialScheduler.STOP, TrialScheduler.CONTINUE]


@pytest.mark.parametrize("odd", [math.nan, math.inf, None])
def test_a_population_takes_what_cannot_be_compared_for_its_worst(odd, monkeypatch):
    space = Space({"x": DimensionConfig(uniform=(0.0, 1.0))})
    population: Any = function_scheduler({"kind": "pbt", "quantile_frac": 0.5}, space, 1, 8, 0)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        "ray.tune.schedulers.PopulationBasedTraining.on_trial_result",
        lambda self, c, t, result: seen.update(result) or "CONTINUE",
    )
    given_result = {METRIC: odd, "training_iteration": 1}
    population.on_trial_result(SimpleNamespace(), trial(), given_result)
    assert seen[METRIC] == -math.inf
    assert given_result[METRIC] is odd  # what was reported stays as it was
