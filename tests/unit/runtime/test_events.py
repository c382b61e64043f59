"""The log of what happened to the parts."""

from pathlib import Path

import pytest

from robonav_ray.records import PartEvent
from robonav_ray.runtime.over_ray.events import EVENTS_FILE, EventLog, read_events


def test_events_are_read_back_counted_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    log = EventLog(tmp_path, now=lambda: 12.3456)
    log.note(PartEvent("lost", "rollout/3", "died", rows_lost=2048))
    log.note(PartEvent("back", "rollout/3", "delivers again", after_s=2.5))
    with (tmp_path / EVENTS_FILE).open("a") as file:
        file.write('{"time": 13, "event": "lo')
    assert read_events(tmp_path) == [
        {"time": 12.346, "event": "lost", "part": "rollout/3", "detail": "died", "rows_lost": 2048},
        {"time": 12.346, "event": "back", "part": "rollout/3", "detail": "delivers again", "after_s": 2.5},
    ]
    metrics = log.metrics()
    assert (metrics["runtime/parts_lost"], metrics["runtime/parts_back"], metrics["runtime/recovery_s_max"]) == (
        1.0,
        1.0,
        2.5,
    )
    assert read_events(tmp_path / "nowhere") == []


def test_a_disk_that_is_full_loses_the_line_and_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(tmp_path / "gone")
    log.note(PartEvent("lost", "replay/1", "died"))
    assert log.num_unwritten == 1
    assert "replay/1 lost: died" in caplog.text
