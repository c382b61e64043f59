"""Every metric on three episodes made by hand, whose numbers are known: a success, a collision, and one whose time was
up.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.metrics.registry import METRICS, known_metrics, own_metrics
from robonav_ray.records import Outcome

NAN = np.nan


def three_episodes(**changes) -> EpisodeTable:
    extra = {
        "mean_jerk": [1.0, 2.0, 3.0],
        "near_s": [0.5, 1.0, 0.0],
        "intimate_frac": [0.1, 0.2, 0.0],
        "personal_frac": [0.3, 0.3, 0.0],
        "social_frac": [0.5, 0.5, 1.0],
        "mean_clearance_m": [1.0, 0.5, 2.0],
        "least_time_to_collision_s": [2.0, 0.0, NAN],
        "heading_change_rad": [3.0, 1.0, 9.0],
        "standing_s": [0.0, 0.0, 20.0],
        "top_speed": [2.0, 2.0, 2.0],
        "arrived_frac": [1.0, 0.5, 0.0],
        "extra_s": [1.25, NAN, NAN],
        "remaining_m": [0.0, 6.0, 2.0],
        "end_own_closing": [NAN, 0.2, NAN],
        "end_other_closing": [NAN, 0.7, NAN],
    }
    facts = {
        "world": np.arange(3),
        "outcome": np.array([Outcome.SUCCESS, Outcome.COLLISION_DYNAMIC, Outcome.TIMEOUT], np.int8),
        "length": np.array([100, 40, 400], np.int32),
        "task_return": np.array([25.0, -5.0, 5.0], np.float32),
        "total_return": np.array([26.0, -4.0, 6.0], np.float32),
        "goals_reached": np.array([4, 0, 3], np.float32),
        "path_length_m": np.array([10.0, 3.0, 16.0], np.float32),
        "shortest_path_length_m": np.array([8.0, 8.0, 8.0], np.float32),
        "min_clearance_m": np.array([0.25, -0.0625, 0.5], np.float32),
        "step_s": 0.1,
        "max_steps": 400,
        "extra": {name: np.array(values) for name, values in extra.items()},
    }
    return EpisodeTable(**(facts | changes))


PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
EXPECTED = {
    "success": (1, 0, 0),
    "collision": (0, 1, 0),
    "collision_static": (0, 0, 0),
    "collision_dynamic": (0, 1, 0),
    "collision_wall": (0, 0, 0),
    "collision_robot": (0, 0, 0),
    "robot_moved_into": (0, 0, 0),
    "other_moved_into": (0, 1, 0),
    "timeout": (0, 0, 1),
    "cut_off": (NAN, NAN, NAN),
    "robots_arrived": (1, 0.5, 0),
    "spl": (0.8, 0, 0),
    "progress": (1, 0.25, 0.75),
    "soft_spl": (0.8, 0.25, 0.375),
    "path_over_shortest": (1.25, NAN, NAN),
    "time_success_s": (10, NAN, NAN),
    "time_imputed_s": (10, 40, 40),
    "extra_time_s": (1.25, NAN, NAN),
    "barn_score": (0.25, 0, 0),
    "standing_s": (0, 0, 20),
    "min_clearance_m": (0.25, -0.0625, 0.5),
    "mean_clearance_m": (1, 0.5, 2),
    "near_s": (0.5, 1, 0),
    "intimate_frac": (0.1, 0.2, 0),
    "personal_frac": (0.3, 0.3, 0),
    "social_frac": (0.5, 0.5, 1),
    "time_to_collision_s": (2, 0, NAN),
    "heading_change_rad": (3, 1, 9),
    "jerk": (1, 2, 3),
    "goals_reached": (4, 0, 3),
    "task_return": (25, -5, 5),
    "total_return": (26, -4, 6),
}


def test_the_registry_is_whole():
    assert METRICS.keys() == EXPECTED.keys()
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.direction in ("higher", "lower")
        assert metric.says
        assert metric.of.__doc__
        if metric.is_rate:
            assert metric.unit == "frac"


def test_the_page_has_them_all():
    rows = [f"| `{m.name}` | {m.says} | {m.unit or '-'} | {m.direction} |" for m in METRICS.values()]
    assert [line for line in PAGE.read_text().splitlines() if line.startswith("| `")] == rows


@pytest.mark.parametrize("name", EXPECTED)
def test_its_numbers_on_episodes_made_by_hand(name):
    got = METRICS[name].of(three_episodes())
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, EXPECTED[name], rtol=1e-6)


def test_who_moved_into_whom_adds_up_to_all_collisions():
    extra = three_episodes().extra | {"end_own_closing": np.array([NAN, 0.9, NAN])}
    table = three_episodes(extra=extra)
    np.testing.assert_array_equal(METRICS["robot_moved_into"].of(table), (0, 1, 0))
    both = METRICS["robot_moved_into"].of(table) + METRICS["other_moved_into"].of(table)
    np.testing.assert_array_equal(both, METRICS["collision"].of(table))


def test_what_an_environment_does_not_tell_has_no_metric():
    unknown = np.full(3, NAN, np.float32)
    bare = three_episodes(
        outcome=np.zeros(3, np.int8), goals_reached=unknown, path_length_m=unknown, shortest_path_length_m=unknown,
        min_clearance_m=unknown, step_s=None, max_steps=None, extra={},
    )  # fmt: skip
    assert known_metrics(bare).keys() == {"task_return", "total_return"}
    unmetered = known_metrics(three_episodes(extra={}))
    assert "spl" in unmetered
    assert "soft_spl" not in unmetered
    assert "robot_moved_into" not in unmetered


def test_one_that_was_cut_off_is_no_timeout():
    cut = three_episodes(outcome=np.array([1, 2, Outcome.CUT_OFF], np.int8))
    np.testing.assert_array_equal(METRICS["cut_off"].of(cut), (0, 0, 1))
    np.testing.assert_array_equal(METRICS["timeout"].of(cut), (0, 0, 0))


def module_of(monkeypatch, **functions) -> None:
    module = types.ModuleType("mymetrics15")
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, "mymetrics15", module)


def test_a_metric_of_the_users_own(monkeypatch):
    def detour(table):
        return table.path_length_m - table.shortest_path_length_m

    detour.unit, detour.direction = "m", "lower"
    module_of(monkeypatch, detour=detour)
    metric = own_metrics(("mymetrics15:detour",))["detour"]
    assert (metric.unit, metric.direction, metric.group) == ("m", "lower", "own")
    np.testing.assert_array_equal(metric.of(three_episodes()), (2, -5, 8))


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("spl", lambda table: table.length, "one of ours has this name"),
        ("short", lambda table: table.length[:1], "one for each of the 3 episodes"),
        ("broken", lambda table: table.speed, "broken failed: AttributeError"),
    ],
)
def test_a_metric_of_the_users_own_that_is_none(monkeypatch, name, function, words):
    module_of(monkeypatch, **{name: function})
    with pytest.raises(UserError, match=words):
        own_metrics((f"mymetrics15:{name}",))[name].of(three_episodes())


def test_a_direction_that_is_none(monkeypatch):
    def detour(table):
        return table.length

    detour.direction = "down"
    module_of(monkeypatch, detour=detour)
    with pytest.raises(UserError, match="'higher' or 'lower'"):
        own_metrics(("mymetrics15:detour",))
