"""The chaos suite's measuring: records with a known stall, a rewind and a loss in them give just those figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from proofs.chaos.aftermath import count_equal_rows
from proofs.chaos.measure import behind_commits, cost_of, largest_balance, pacing_error
from proofs.chaos.picture import speeds
from proofs.chaos.record import Commit, Commits, Tail, as_reading, count_repeated_tags, read_events, read_readings

BEGAN, STEP_S = 1000.0, 0.25


def line(time: float, env_steps: int, learner_step: int, **more: float) -> dict[str, float]:
    return {"step": env_steps, "time": time, "learner/learner_step": learner_step, "replay/rows_lost": 0.0, **more}


def steady(until: float, begin: float = 0.0, env: int = 0, learner: int = 0) -> list[dict[str, float]]:
    """1,000 env steps and 100 learner steps a second, a reading every quarter of one."""
    count = round((until - begin) / STEP_S)
    return [
        line(BEGAN + begin + STEP_S * i, env + int(1000 * STEP_S * i), learner + int(100 * STEP_S * i))
        for i in range(count + 1)
    ]


def write(run: Path, lines: Iterable[dict[str, float]], name: str = "metrics.jsonl") -> Path:
    run.mkdir(parents=True, exist_ok=True)
    (run / name).write_text("".join(json.dumps(one) + "\n" for one in lines))
    return run


def test_a_stall_is_as_long_as_it_was(tmp_path: Path) -> None:
    lines = steady(20.0) + steady(40.0, begin=23.0, env=20_250, learner=2025)
    cost = cost_of(read_readings(write(tmp_path, lines)), BEGAN + 20.1, BEGAN + 40.0)
    assert cost.stall_s == pytest.approx(2.75, abs=0.15), "a quarter of a second of the gap went into steps"
    assert cost.resumed_s == pytest.approx(2.9, abs=0.01), "from the fault to the first reading after it"
    assert cost.env_dip_frac == pytest.approx(0.0, abs=0.15)
    assert cost.env_dip_s is not None
    assert 1.0 <= cost.env_dip_s <= 5.0
    assert cost.redone_steps == 0


def test_a_driver_that_was_busy_is_no_stall(tmp_path: Path) -> None:
    lines = steady(20.0) + steady(40.0, begin=24.0, env=24_000, learner=2400)
    cost = cost_of(read_readings(write(tmp_path, lines)), BEGAN + 20.1, BEGAN + 40.0)
    assert cost.silent_s == pytest.approx(3.9)
    assert cost.stall_s == pytest.approx(0.0, abs=0.3)
    assert cost.resumed_s == 0.0


def test_what_a_restarted_learner_does_again_is_counted(tmp_path: Path) -> None:
    """Committed at 15 s and 1,500 steps, killed at 20 s, back at 25 s."""
    lines = steady(20.0) + steady(40.0, begin=25.0, env=20_250, learner=1500)
    cost = cost_of(read_readings(write(tmp_path, lines)), BEGAN + 20.0, BEGAN + 40.0)
    assert cost.redone_steps == 500
    assert cost.redone_s == pytest.approx(5.0)
    assert cost.stall_s == pytest.approx(5.0)


def test_only_training_counts_as_done_again_and_only_once(tmp_path: Path) -> None:
    """Two faults after one commit, at 15 s: at 20 s, back at 25 s; at 28 s, back at 31 s."""
    lines = (
        steady(20.0)
        + steady(28.0, begin=25.0, env=20_250, learner=1500)
        + steady(40.0, begin=31.0, env=24_000, learner=1500)
    )
    cost = cost_of(read_readings(write(tmp_path, lines)), BEGAN + 28.1, BEGAN + 40.0)
    assert cost.redone_steps == 300
    assert cost.redone_s == pytest.approx(3.0)


def test_a_learner_that_never_goes_on_is_said_so(tmp_path: Path) -> None:
    cost = cost_of(read_readings(write(tmp_path, steady(20.0))), BEGAN + 15.0, BEGAN + 60.0)
    assert cost.stall_s == pytest.approx(40.0)
    assert cost.resumed_s is None
    assert cost.env_dip_s is None


def test_lost_rows_are_those_of_the_window_also_where_the_counter_begins_anew(tmp_path: Path) -> None:
    lines = steady(30.0)
    for one in lines:
        after = one["time"] - BEGAN
        one["replay/rows_lost"] = 7.0 + 32.0 * (after > 12.0) if after < 16.0 else 5.0 * (after > 18.0)
        one["replay/size"] = 900.0 if after < 11.0 else 700.0
    readings = read_readings(write(tmp_path, lines))
    assert cost_of(readings, BEGAN + 11.0, BEGAN + 15.0).rows_lost == 32.0
    assert cost_of(readings, BEGAN + 11.0, BEGAN + 20.0).rows_lost == 37.0
    assert cost_of(readings, BEGAN + 11.0, BEGAN + 15.0).replay_rows_lost == 200.0
    assert cost_of(readings, BEGAN + 5.0, BEGAN + 10.0).rows_lost == 0.0


def test_what_a_resumed_session_lived_through_again_counts_too(tmp_path: Path) -> None:
    write(tmp_path, steady(5.0))
    write(tmp_path, steady(9.0, begin=5.25, env=5250, learner=525), "metrics.superseded.jsonl")
    readings = read_readings(tmp_path)
    assert [r.time for r in readings] == sorted(r.time for r in readings)
    assert readings[-1].env_steps == 9000


def test_the_tail_follows_a_file_that_was_put_in_its_place(tmp_path: Path) -> None:
    write(tmp_path, steady(2.0))
    tail = Tail(tmp_path)
    tail.read()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line(BEGAN + 2.25, 2250, 225)) + "\n")
        file.write(json.dumps({"step": 2250, "time": BEGAN + 2.26, "items": [{}]}) + "\n" + '{"step": 99, "ti')
    tail.read()
    assert tail.readings[-1].learner_step == 225
    write(tmp_path, [*steady(1.0), line(BEGAN + 9.0, 1500, 150)], "aside")
    (tmp_path / "aside").replace(tmp_path / "metrics.jsonl")
    tail.read()
    assert [r.learner_step for r in tail.readings[-2:]] == [225, 150]
    assert len(tail.readings) == 11


def test_counters_behind_a_commit_are_found_and_old_news_is_not() -> None:
    commits = [Commit(BEGAN + 5.0, 5000, 500)]
    readings = [as_reading(one) for one in steady(10.0)]
    assert behind_commits(readings, commits) == []
    stale = [*readings, as_reading(line(BEGAN + 11.0, 10_500, 1000)), as_reading(line(BEGAN + 12.0, 10_900, 1000))]
    assert behind_commits(stale, [*commits, Commit(BEGAN + 9.0, 9000, 1001)]) == [], (
        "a figure that has not changed is no news"
    )
    (found,) = behind_commits([*readings, as_reading(line(BEGAN + 12.0, 11_000, 499))], commits)
    assert "learner_step 499" in found


def test_a_tag_that_stands_twice_is_counted(tmp_path: Path) -> None:
    lines = steady(1.0)
    assert count_repeated_tags(write(tmp_path, lines)) == 0
    assert count_repeated_tags(write(tmp_path, [*lines, lines[2]])) == 2


def test_checkpoints_are_remembered_when_they_are_pruned(tmp_path: Path) -> None:
    commits = Commits()
    for env_steps in (100, 200):
        folder = tmp_path / "checkpoints" / f"env-{env_steps:012d}"
        folder.mkdir(parents=True)
        (folder / "counters.json").write_text(json.dumps({"env_steps": env_steps, "learner_steps": env_steps // 10}))
        (folder / "manifest.json").write_text(json.dumps({"created": BEGAN + env_steps}))
        commits.look(tmp_path)
        (folder / "manifest.json").unlink()
    commits.look(tmp_path)
    assert [(c.env_steps, c.learner_steps) for c in commits.ordered] == [(100, 10), (200, 20)]


def test_pacing_is_read_at_the_end_and_at_its_worst() -> None:
    lines = [
        line(BEGAN + i, i, i, **{"replay/samples_per_insert": spi, "replay/balance_rows": balance})
        for i, (spi, balance) in enumerate([(0.0, -9000.0), (1.9, 300.0), (2.0, -400.0), (1.98, 100.0)])
    ]
    readings = [as_reading(one) for one in lines]
    assert pacing_error(readings, 2.0) == pytest.approx(0.01)
    assert largest_balance(readings) == 400.0, "the warm-up is no part of it"


def test_events_may_be_absent_or_torn(tmp_path: Path) -> None:
    assert read_events(tmp_path) == []
    (tmp_path / "events.jsonl").write_text('{"time": 5, "event": "back"}\n{"time": 2, "event": "lost"}\n{"tim')
    assert [event["event"] for event in read_events(tmp_path)] == ["lost", "back"]


def test_equal_rows_are_counted_to_the_bit() -> None:
    rows = np.zeros(4, np.dtype([("obs", np.float32, 3), ("action", np.int64)]))
    rows["obs"] = np.arange(12).reshape(4, 3)
    assert count_equal_rows([rows[:2], rows[2:]]) == 0
    assert count_equal_rows([rows, rows[1:3]]) == 2
    assert count_equal_rows([]) == 0


def test_speeds_are_those_of_the_run_and_never_below_zero() -> None:
    lines = steady(10.0) + steady(20.0, begin=12.0, env=4000, learner=400)
    readings = [as_reading(one) for one in lines]
    found = speeds(readings, "learner_step", np.array([BEGAN + 5.0, BEGAN + 11.0, BEGAN + 15.0]))
    assert found == pytest.approx([100.0, 0.0, 100.0])
