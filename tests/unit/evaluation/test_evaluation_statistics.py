"""Every figure against a known answer or scipy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.statistics import (
    imputed_time_s,
    mean,
    rate,
    success_weighted_path_length,
    summarize,
    wilson_interval,
)
from robonav_ray.records import Outcome


def make_table(outcome, **columns) -> EpisodeTable:
    n = len(outcome)
    base = {
        "world": np.arange(n),
        "outcome": np.array(outcome, np.int8),
        "length": np.full(n, 100, np.int32),
        "task_return": np.zeros(n, np.float32),
        "total_return": np.zeros(n, np.float32),
        "goals_reached": np.ones(n, np.int32),
        "path_length_m": np.full(n, 6.0, np.float32),
        "shortest_path_length_m": np.full(n, 5.0, np.float32),
        "min_clearance_m": np.full(n, 0.5, np.float32),
        "step_s": 0.1,
        "max_steps": 400,
    }
    return EpisodeTable(**{**base, **{k: np.asarray(v) if isinstance(v, list) else v for k, v in columns.items()}})


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (7, 10), (783, 1000), (1, 1), (499, 500)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(count, total, confidence):
    expected = stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    assert wilson_interval(count, total, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_refuses_what_is_no_fraction():
    for count, total in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="fraction"):
            wilson_interval(count, total)


def test_wilson_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [wilson_interval(int(k), 200, 0.95) for k in rng.binomial(200, 0.9, 2000)]
    covered = np.mean([low <= 0.9 <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.97


def test_mean_agrees_with_scipy_and_leaves_out_what_is_not_finite():
    values = np.random.default_rng(1).normal(3.0, 2.0, 50)
    got = mean(np.append(values, [np.nan, np.inf]), 0.9)
    low, high = stats.t.interval(0.9, 49, loc=values.mean(), scale=stats.sem(values))
    assert (got.value, got.low, got.high) == pytest.approx((values.mean(), low, high))
    assert got.num_values == 50
    assert mean(np.array([4.0])) == dataclasses.replace(got, value=4.0, low=None, high=None, num_values=1)
    assert mean(np.array([])).value is None


def test_spl_known_answers():
    success = np.array([True, True, True, False, True])
    path = np.array([10.0, 5.0, 4.0, 5.0, 0.0])
    shortest = np.array([5.0, 5.0, 5.0, 5.0, 0.0])
    np.testing.assert_allclose(success_weighted_path_length(success, path, shortest), [0.5, 1.0, 1.0, 0.0, 1.0])


def test_failures_count_with_the_limit():
    got = imputed_time_s(np.array([True, False, False]), np.array([100, 3, 400]), 0.1, 400)
    np.testing.assert_allclose(got, [10.0, 40.0, 40.0])


def test_rates_sum_to_one_and_kinds_to_the_collisions():
    outcome = np.random.default_rng(2).integers(1, 7, 500)
    s = summarize(make_table(outcome))

    assert s.success.frac + s.collision.frac + s.timeout.frac == pytest.approx(1.0)
    assert sum(r.count for r in s.collision_by_kind.values()) == s.collision.count
    assert list(s.collision_by_kind) == ["static", "dynamic", "wall", "robot"]
    assert s.collision_by_kind["wall"].count == int((outcome == Outcome.COLLISION_WALL).sum())


def test_summary_known_answers():
    table = make_table(
        [1, 1, 3, 6],
        length=[100, 200, 10, 400],
        task_return=[25.0, 25.0, 0.0, 5.0],
        path_length_m=[6.0, 10.0, 1.0, 20.0],
        shortest_path_length_m=[5.0, 5.0, 5.0, 5.0],
        min_clearance_m=[0.5, 0.1, 0.0, 0.4],
        goals_reached=[4, 4, 1, 2],
        extra={"danger_frac": np.array([0.0, 0.1, 0.3, 0.12])},
    )
    s = summarize(table)
    assert s.success == rate(np.array([True, True, False, False]))
    assert (s.success.frac, s.collision.frac, s.timeout.frac) == (0.5, 0.25, 0.25)
    assert s.spl.value == pytest.approx((5 / 6 + 0.5) / 4)
    assert s.time_success_s.value == pytest.approx(15.0)
    assert s.time_imputed_s.value == pytest.approx((10 + 20 + 40 + 40) / 4)
    assert s.path_ratio.value == pytest.approx((1.2 + 2.0) / 2)
    assert s.path_ratio.num_values == 2
    assert s.min_clearance_m.value == pytest.approx(0.25)
    assert s.close_call.frac == 0.5
    assert s.danger_frac == pytest.approx(71 / 710)
    assert s.goals_reached.value == pytest.approx(2.75)
    assert s.task_return.value == pytest.approx(13.75)
    assert s.length.value == pytest.approx(177.5)


def test_what_is_not_known_stays_out():
    n = 4
    nothing = np.full(n, np.nan, np.float32)
    s = summarize(
        make_table([0] * n, total_return=[1.0, 2.0, 3.0, 4.0], path_length_m=nothing, min_clearance_m=nothing)
    )
    assert (s.success, s.spl, s.danger_frac, s.goals_reached) == (None, None, None, None)
    assert s.total_return.value == pytest.approx(2.5)
    failed = summarize(make_table([6] * n, max_steps=None))
    assert failed.time_success_s.value is None
    assert failed.time_imputed_s is None


def test_an_episode_that_told_nothing_or_was_cut_off_was_no_success():
    s = summarize(make_table([0, 1, 7, 1]))
    assert (s.success.frac, s.timeout.frac, s.cut_off.frac, s.collision.frac) == (0.5, 0.25, 0.25, 0.0)
    assert summarize(make_table([0, 7, 0, 0])).success is None
    assert summarize(make_table([0, 7, 0, 0])).cut_off.count == 1
    assert summarize(make_table([1, 6])).cut_off is None


@pytest.mark.parametrize(("danger", "expected"), [([0.2, np.nan, 0.4], 0.3), ([np.nan] * 3, None)])
def test_what_was_cut_off_tells_no_danger(danger, expected):
    table = make_table([Outcome.SUCCESS, Outcome.CUT_OFF, Outcome.TIMEOUT], extra={"danger_frac": np.array(danger)})
    assert summarize(table).danger_frac == (None if expected is None else pytest.approx(expected))
