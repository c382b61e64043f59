"""The gate: each row passes or fails with its figures, and a refusal names the rows that failed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load import ConfigError
from robonav_ray.config.load_suite import load_suite
from robonav_ray.errors import UserError
from robonav_ray.evaluation.ab import worlds
from robonav_ray.evaluation.ab.gate import (
    Gate,
    Limits,
    RefusedError,
    area_row,
    collisions_row,
    latency_row,
    not_asked,
    success_row,
)
from robonav_ray.evaluation.ab.paired_test import Decision, Rules, Standing
from robonav_ray.evaluation.ab.worlds import AB_SEED, area_suite, batches_of, split_suites, sweeps_of
from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.evaluation.comparing.robustness import Swept, area_difference, relative_area
from robonav_ray.evaluation.exam_table import Decisions


def standing(decision: Decision, gain: Interval, harm: Interval) -> Standing:
    return Standing(decision, 1000, gain, harm, gain.low > 0.0, harm.high < Rules().collision_margin, 0.2)


def timed(p99_s: float | None) -> Decisions:
    return Decisions(1e-5, 2e-5, 10, 250, p99_s, p99_s)


GOOD = standing(Decision.BETTER, Interval(0.03, 0.01, 0.05), Interval(-0.01, -0.03, 0.01))
BAD = standing(Decision.FUTILE, Interval(-0.01, -0.03, 0.005), Interval(0.05, 0.03, 0.07))


def test_rows_say_what_they_were_held_to():
    rules = Rules()
    assert (success_row(GOOD, rules).verdict, collisions_row(GOOD, rules).verdict) == ("passed", "passed")
    shown = success_row(BAD, rules)
    assert shown.verdict == "failed"
    assert "surely less than 1 point" in shown.text
    assert shown.figures == {"value": -0.01, "low": -0.03, "high": 0.005, "limit": 0.0, "num_worlds": 1000}
    assert "not shown to be below the margin of 2 points" in collisions_row(BAD, rules).text
    unsure = standing(Decision.NOT_YET, Interval(0.02, -0.01, 0.05), Interval(0.0, -0.03, 0.03))
    assert "takes about" in success_row(unsure, rules).text


def test_latency_is_held_to_half_of_the_time_step_unless_another_is_said():
    assert latency_row([timed(0.099)], [timed(0.001)], Limits(), 0.2).verdict == "passed"
    slow = latency_row([timed(0.101), timed(0.12), timed(None)], [timed(0.001)], Limits(), 0.2)
    assert slow.verdict == "failed"
    assert slow.figures == {"p99_s": pytest.approx(0.1105), "champion_p99_s": 0.001, "limit_s": pytest.approx(0.1)}
    assert latency_row([timed(0.101)], [], Limits(latency_s=0.15), 0.2).verdict == "passed"
    assert latency_row([timed(None)], [], Limits(), 0.2).verdict == "failed"
    assert latency_row([timed(0.1)], [], Limits(), None).verdict == "not asked"


def test_a_promotion_is_refused_by_the_names_of_the_rows():
    rows = (success_row(GOOD, Rules()), collisions_row(BAD, Rules()), latency_row([timed(1.0)], [], Limits(), 0.2))
    gate = Gate((*rows, not_asked("robustness area", "not played")))
    assert not gate.passed
    with pytest.raises(RefusedError, match=r"collisions not worse: .*points.*; latency: p99 1e\+03 ms"):
        gate.require()
    Gate((rows[0], not_asked("robustness area", "no sweeps"))).require()


def test_the_area_holds_within_its_margin_and_fails_beyond_it():
    held = area_row((0.8, 0.85), Interval(-0.05, -0.09, -0.01), 12, 100, 0.1)
    assert (held.verdict, held.figures["low"]) == ("passed", -0.09)
    assert area_row((0.8, 0.85), Interval(-0.05, -0.11, 0.01), 12, 100, 0.1).verdict == "failed"
    assert area_row((math.nan, 0.8), Interval(math.nan, math.nan, math.nan), 12, 100, 0.1).verdict == "failed"


def test_the_difference_of_areas_is_that_of_the_areas_and_its_interval_covers():
    rng, levels = np.random.default_rng(1), [0.0, 1.0, 3.0]
    first, second = ([rng.random(40) < p for p in rates] for rates in ((0.9, 0.8, 0.5), (0.8, 0.7, 0.2)))
    one, other, found = area_difference([Swept(levels, first, second)])
    assert one == pytest.approx(relative_area(levels, first).value)
    assert other == pytest.approx(relative_area(levels, second).value)
    assert found.value == pytest.approx(one - other)
    alone = area_difference([Swept(levels, first, first)])[2]
    assert alone == (0.0, 0.0, 0.0)
    covered, true = 0, (0.8 + 0.4) / 2 / 0.8 - (0.9 + 0.6) / 2 / 0.9
    for _ in range(400):
        skill = rng.random((100, 1)) * 0.2 - 0.1  # a world is easy or hard for both, at every level
        drawn = [[rng.random(100) < p + skill[:, 0] for p in rates] for rates in ((0.8, 0.4), (0.9, 0.6))]
        found = area_difference([Swept([0.0, 2.0], drawn[0], drawn[1])], 0.9)[2]
        covered += found.low <= true <= found.high
    assert 0.85 <= covered / 400 <= 0.95
    with pytest.raises(ValueError, match="same worlds"):
        area_difference([Swept([0.0, 1.0], [np.ones(3), np.ones(4)], [np.ones(3), np.ones(3)])])


def test_a_limit_is_named_as_it_is_typed():
    with pytest.raises(UserError, match=r"^--latency-ms 0: must be from 0.001 to 60,000"):
        Limits(latency_s=0.0)


@pytest.mark.parametrize("wrong", [{"latency_s": 0.0}, {"latency_s": math.nan}, {"area_margin": 2.0}])
def test_limits_that_cannot_be_are_refused(wrong: dict[str, float]):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Limits(**wrong)


def test_the_shipped_suite_sweeps_what_the_robustness_suite_sweeps():
    scenarios, swept = split_suites([load_suite(Path("ab"))])
    assert [one.name for one in scenarios] == ["full_challenge"]
    _, robustness = split_suites([load_suite(Path("robustness"))])
    assert sweeps_of(swept).keys() == sweeps_of(robustness).keys() - {"everything"}
    area = area_suite(swept, 60, AB_SEED)
    assert area is not None
    assert {one.num_episodes for one in area.all_scenarios()} == {60}
    assert len({one.seed for one in area.all_scenarios()}) == 1


def test_batches_of_a_longer_test_begin_with_those_of_a_shorter_one_and_share_no_world():
    scenarios, _ = split_suites([load_suite(Path("standard"))])
    short, long = batches_of(scenarios, 1000, 7), batches_of(scenarios, 3000, 7)
    assert (short.num_worlds, long.num_worlds) == (1000, 3000)
    both = len(short.suite.all_scenarios()) - 4
    assert short.suite.all_scenarios()[:both] == long.suite.all_scenarios()[:both]
    seeds = [one.seed for one in long.suite.all_scenarios()]
    assert len(set(seeds)) == len(seeds)
    assert [one.stage for one in long.suite.all_scenarios()][:4] == [one.stage for one in scenarios]
    assert list(long.scenarios_of(2)) == [8, 9, 10, 11]
    (only,) = batches_of(scenarios[:1], 60, 7).sizes
    assert only == 60
    assert batches_of(scenarios[:1], 270, 7).sizes == (270,)
    assert batches_of(scenarios[:1], 600, 7).sizes == (250, 250, 100)


def test_a_number_of_worlds_that_cannot_be_is_refused():
    suite = Suite.model_validate(
        {
            "name": "x",
            "scenarios": [{"name": "x"}],
            "sweeps": [{"factors": ["x"], "key": "level.max_steps", "levels": [9, 10]}],
        }
    )
    scenarios, swept = split_suites([suite])
    for number in (-1, 0, 49, 50_001):
        with pytest.raises(ConfigError, match="--worlds"):
            batches_of(scenarios, number, 7)
        with pytest.raises(ConfigError, match="--area-worlds"):
            area_suite(swept, number, 7)


def test_suites_that_do_not_fit_are_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    drawn = Suite.model_validate({"name": "drawn", "scenarios": [{"name": "again", "draw": 1}]})
    with pytest.raises(ConfigError, match=r"scenario again: .*\(draw\)"):
        split_suites([drawn])
    with pytest.raises(ConfigError, match="only points of sweeps"):
        batches_of([], 1000, 7)
    sweep = {"factors": ["slip"], "key": "level.randomization.*", "levels": [0, 1, 2]}
    _, swept = split_suites([Suite.model_validate({"name": "many", "sweeps": [sweep]})])
    assert area_suite(swept[:1], 100, 7) is None
    monkeypatch.setattr(worlds, "MAX_AREA_CELLS", 2)
    with pytest.raises(ConfigError, match="have 3 points, and 2 are the most"):
        area_suite(swept, 100, 7)
