"""Failures: a row each, clusters with names, and replays that come out as in the exam, bit for bit."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.config.evaluation_suite import Scenario, Suite
from robonav_ray.evaluation.exam import ExamPlan, Seat, play, questions_of, seat_of
from robonav_ray.evaluation.exam_table import EntrantFacts, ExamTable, ScenarioFacts
from robonav_ray.evaluation.failures import films
from robonav_ray.evaluation.failures.clusters import clusters_of
from robonav_ray.evaluation.failures.files import replay_cell, tell_failures, worst_of, write_failures
from robonav_ray.evaluation.failures.medoids import cluster_points
from robonav_ray.evaluation.failures.replays import ReplayError, check_same
from robonav_ray.evaluation.failures.rows import TOLD, failures_of
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.records import Outcome
from robonav_ray.worlds.vector_env import NavVectorEnv
from tests.made_up_runs import make_run

NAN = math.nan


def exam_of(*rows: dict[str, float]) -> ExamTable:
    """Return an exam of one entrant in one scenario with these episodes; what a row does not say is NaN."""
    names = ["world", "outcome", "length", "task_return", "total_return", "goals_reached"]
    names += ["path_length_m", "shortest_path_length_m", "min_clearance_m", *TOLD]
    columns = {name: np.array([row.get(name, NAN) for row in rows], np.float64) for name in names}
    columns["world"], columns["outcome"] = np.arange(len(rows)), columns["outcome"].astype(np.int8)
    columns["length"] = np.array([row.get("length", 40) for row in rows], np.int32)
    columns |= {name: np.zeros(len(rows), np.int32) for name in ("entrant", "scenario")}
    entrant = EntrantFacts("mine", "planner", "lidar only", "mine", None, "mine")
    scenario = ScenarioFacts("full", "?", "standard", "standard", "", None, "full", {}, len(rows), 0, 0.1, 400)
    return ExamTable((entrant,), (scenario,), columns)


def failed(outcome: Outcome, bearing_deg: float, **told: float) -> dict[str, float]:
    """Return one that failed; the thing was at this bearing all the time, 1 m away."""
    x, y = math.cos(math.radians(bearing_deg)), math.sin(math.radians(bearing_deg))
    look = {"x_m": x, "y_m": y, "speed": told.get("end_own_speed", 1.0), "turn_rate": told.get("turn", 0.0)}
    looks = {f"last_{t:02d}_{what}": value for t in (0, 5, 10, 15, 20) for what, value in look.items()}
    row = {
        "outcome": outcome, "end_bearing_rad": math.radians(bearing_deg), "end_other_speed": 0.0, "end_course_rad": NAN,
        "end_own_speed": 1.0, "end_own_closing": 1.0, "end_other_closing": 0.0, "end_clearance_before_m": 0.8,
        "end_density_per_m2": 0.1, "end_standing_frac": 0.0, "remaining_m": 5.0,
    }  # fmt: skip
    return row | looks | {name: value for name, value in told.items() if name != "turn"}


def test_three_heaps_are_three_clusters_and_the_same_ones_each_time():
    rng = np.random.default_rng(0)
    heaps = [rng.normal(middle, 0.1, (40, 2)) for middle in ((0, 0), (3, 0), (0, 3))]
    points = np.concatenate(heaps)
    label, medoids = cluster_points(points)
    assert len(medoids) == 3
    assert [len(set(label[i * 40 : (i + 1) * 40])) for i in range(3)] == [1, 1, 1]
    for c, medoid in enumerate(medoids):  # the medoid is the point nearest to all others of its cluster
        own = points[label == c]
        sums = np.linalg.norm(own[:, None] - own[None], axis=2).sum(axis=1)
        np.testing.assert_array_equal(points[medoid], own[sums.argmin()])
    again, same = cluster_points(points)
    np.testing.assert_array_equal(label, again)
    np.testing.assert_array_equal(medoids, same)


def test_what_does_not_fall_apart_is_one_cluster_and_many_points_are_thinned():
    assert len(cluster_points(np.zeros((5, 3)))[1]) == 1
    assert len(cluster_points(np.ones((1, 3)))[1]) == 1
    rng = np.random.default_rng(1)
    many = np.concatenate([rng.normal(0, 0.1, (2000, 2)), rng.normal(5, 0.1, (1000, 2))])
    label, medoids = cluster_points(many)
    assert np.bincount(label).tolist() in ([2000, 1000], [1000, 2000])
    assert len(medoids) == 2


CROSSING = {"end_other_speed": 0.55, "end_own_closing": 0.1, "end_other_closing": 0.5}


def test_clusters_are_named_after_what_their_episodes_share():
    rng = np.random.default_rng(0)
    rows = [
        *(failed(Outcome.COLLISION_DYNAMIC, 80 + rng.normal(0, 5), end_course_rad=-1.5, **CROSSING) for _ in range(9)),
        *(
            failed(Outcome.COLLISION_DYNAMIC, rng.normal(0, 5), end_course_rad=3.0, end_other_speed=0.3)
            for _ in range(7)
        ),
        *(failed(Outcome.COLLISION_STATIC, rng.normal(0, 5)) for _ in range(5)),
        *(failed(Outcome.COLLISION_WALL, -70 + rng.normal(0, 5), turn=0.8) for _ in range(4)),
        *(
            failed(
                Outcome.TIMEOUT, rng.normal(0, 5), end_own_speed=0.0, end_standing_frac=1.0, end_clearance_before_m=0.2
            )
            for _ in range(3)
        ),
        {"outcome": Outcome.SUCCESS},
    ]
    found = clusters_of(failures_of(exam_of(*rows)))
    assert [(cluster.size, cluster.name) for cluster in found] == [
        (9, "moving obstacle from the left, crossing, fast"),
        (7, "moving obstacle from ahead, head-on"),
        (5, "static obstacle ahead"),
        (4, "wall on the right, while turning left"),
        (3, "time up, standing, something close ahead"),
    ]
    assert all(cluster.typical in cluster.members for cluster in found)


def test_without_a_meter_the_kinds_are_the_clusters():
    table = exam_of({"outcome": 3}, {"outcome": 3}, {"outcome": 6}, {"outcome": 1}, {"outcome": 7})
    found = clusters_of(failures_of(table))
    assert [(cluster.size, cluster.name) for cluster in found] == [
        (2, "moving obstacle"),
        (1, "cut off"),
        (1, "time up"),
    ]


def test_a_row_says_what_was_hit_and_where():
    table = exam_of({"outcome": 1}, failed(Outcome.COLLISION_DYNAMIC, 90, **CROSSING, length=33))
    record = failures_of(table).record(0)
    assert record == {
        "entrant": "mine", "suite": "standard", "scenario": "full", "index": 1, "case": "standard:full:1",
        "kind": "hit an obstacle that moves", "step": 33, "bearing_deg": 90.0, "speed_of_other": 0.55, "own_speed": 1.0,
        "moved_into_the_other": "other", "density_per_m2": 0.1, "clearance_before_m": 0.8,
    }  # fmt: skip


def test_the_worst_are_those_of_the_hardest_impact():
    rows = [failed(Outcome.TIMEOUT, 0, remaining_m=float(i)) for i in range(9)]
    rows += [failed(Outcome.COLLISION_STATIC, 0, end_own_closing=speed) for speed in (0.2, 0.9, 0.5)]
    told = tell_failures(exam_of(*rows))
    assert worst_of(told)[0] == [10, 11, 9, 8, 7, 6, 5, 4]


def test_chosen_worlds_are_those_of_their_index():
    env, chosen = NavVectorEnv(9, seed=4), NavVectorEnv(3, seed=4)
    obs, _ = env.reset()
    chosen.reset()
    chosen.worlds.choose(np.array([7, 2, 5]))
    np.testing.assert_array_equal(chosen.worlds.reset(), obs[[7, 2, 5]])
    for _ in range(5):
        obs, *_ = env.step(np.full(9, 7))
        got, *_ = chosen.step(np.full(3, 7))
        np.testing.assert_array_equal(got, obs[[7, 2, 5]])


def uneven(obs: np.ndarray) -> np.ndarray:
    """Hang on the neighbours: an action of one row depends on how all others stand."""
    return (np.abs(obs).sum() * 100 + np.arange(len(obs))).astype(np.int64) % 15


SCENARIO = {"name": "easy", "stage": "obstacle_avoidance", "num_episodes": 50, "changes": {"level.max_steps": 60}}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ExamPlan:
    folder = tmp_path_factory.mktemp("runs") / "small"
    make_run(folder, ("algo.hidden_dims=[8]", "env.world.lidar.num_beams=9"), steps=(100,))
    entrants = find_entrants([str(folder), "random", "stop_and_go", ("uneven", uneven)], foreign=lambda *_: None)
    return ExamPlan.of(entrants, questions_of([Suite.model_validate({"name": "s", "scenarios": [SCENARIO]})]))


@pytest.fixture(scope="module")
def exam(plan: ExamPlan) -> ExamTable:
    assert not plan.missing
    cells = {cell: play(plan.entrants[cell[0]], seat, num_worlds=256).episodes for cell, seat in plan.seats.items()}
    return ExamTable.of_cells([e.facts for e in plan.entrants], [q.facts for q in plan.questions], cells)


@pytest.mark.parametrize("e", range(4))
def test_a_replayed_episode_is_the_one_of_the_exam(plan: ExamPlan, exam: ExamTable, e: int):
    episodes, seat = exam.cell(e, 0), plan.seats[e, 0]
    lanes = [3, 41, 17] if e else list(range(0, 50, 3))
    found = replay_cell(plan.entrants[e], seat, lanes)
    assert [recording.world for recording in found] == lanes
    for recording, lane in zip(found, lanes, strict=True):
        told = (episodes.outcome[lane], episodes.length[lane], episodes.path_length_m[lane])
        check_same(recording, int(told[0]), int(told[1]), float(told[2]), "case")
        assert len(recording.scenes) == episodes.length[lane] + 1
        assert len(recording.actions) == episodes.length[lane]
        assert len(recording.q_values) == (episodes.length[lane] if e == 0 else 0)


def test_an_episode_that_comes_out_otherwise_is_told(plan: ExamPlan):
    (recording,) = replay_cell(plan.entrants[1], plan.seats[1, 0], [0])
    with pytest.raises(ReplayError, match=r"s:easy:0: ended with success after 3 steps and 1.000000 m in the exam"):
        check_same(recording, Outcome.SUCCESS, 3, 1.0, "s:easy:0")


def test_several_robots_in_a_world_are_replayed_by_their_lane():
    (entrant,) = find_entrants(["random"], foreign=lambda *_: None)
    scenario = Scenario.model_validate({**SCENARIO, "changes": {"env.world.num_robots": 2}})
    seat = seat_of(entrant, scenario)
    assert isinstance(seat, Seat)
    episodes = play(entrant, seat).episodes
    lanes = [4, 5, 31]
    for recording, lane in zip(replay_cell(entrant, seat, lanes), lanes, strict=True):
        assert (recording.outcome, recording.num_steps) == (episodes.outcome[lane], episodes.length[lane])


def test_an_exam_leaves_rows_a_page_a_film_and_pictures(
    plan: ExamPlan, exam: ExamTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(films, "FILM_S", 0.3)
    few = (exam.columns["world"] < 4) & (exam.columns["entrant"] < 2)
    exam = dataclasses.replace(exam, columns={name: column[few] for name, column in exam.columns.items()})
    said: list[str] = []
    written = write_failures(tmp_path, exam, plan.entrants, plan.seats, said.append)
    assert said == []
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert names >= {"failures.csv", "failures.json", "failures.html", "failures.gif", "failures/1-1.png"}
    assert all(path.exists() for path in written)
    rows = list(csv.DictReader((tmp_path / "failures.csv").read_text().splitlines()))
    assert len(rows) == int((exam.columns["outcome"] != Outcome.SUCCESS).sum())
    document = json.loads((tmp_path / "failures.json").read_text())
    assert sum(cluster["num_episodes"] for cluster in document["clusters"]) == len(rows)
    assert {row["cluster"] for row in rows} == {cluster["name"] for cluster in document["clusters"]}
    with Image.open(tmp_path / "failures.gif") as film:
        assert film.n_frames >= 4  # type: ignore[attr-defined]
    before = {path: path.read_bytes() for path in written}
    write_failures(tmp_path, exam, plan.entrants, plan.seats)
    assert before == {path: path.read_bytes() for path in written}


def test_nothing_failed_leaves_nothing(tmp_path: Path):
    table = exam_of({"outcome": 1}, {"outcome": 1})
    assert write_failures(tmp_path, table, (), {}) == []
    assert list(tmp_path.iterdir()) == []
