"""Slow, broken and lying backends: the driver never waits, nothing is lost that the spool holds, nothing is given
twice."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from robonav_ray.interfaces import Tracker
from robonav_ray.tracking import fanout, feed
from robonav_ray.tracking.fanout import FanoutTracker, TrackerError
from robonav_ray.tracking.jsonl import JsonlTracker, read_metrics
from tests.fake_backend import FakeBackend


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(feed, "RETRY_S", 0.01)


def log_steps(tracker: FanoutTracker, steps: range) -> None:
    for step in steps:
        tracker.log({"a/x": step / 2, "a/y": float(step)}, step)


def given_twice(backend: FakeBackend) -> bool:
    pairs = [(step, tag) for step, metrics in backend.points for tag in metrics]
    return len(pairs) != len(set(pairs))


def test_a_backend_that_never_answers_delays_nobody_and_is_told_at_the_end(tmp_path, caplog):
    release = threading.Event()
    stuck, other = FakeBackend(lambda step: release.wait(60) and None), FakeBackend()
    tracker = FanoutTracker(JsonlTracker(tmp_path), [stuck, other], max_waiting=4, close_timeout_s=0.2)
    assert isinstance(tracker, Tracker)
    log_steps(tracker, range(1, 1001))  # returns although the event is not set: no caller waits for the backend
    other.wait_for(1000)
    with caplog.at_level(logging.WARNING):
        tracker.close()
        tracker.close()
    assert stuck.steps == []
    assert other.steps == list(range(1, 1001))
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == other.steps, (
        "what it was not given is on disk"
    )
    assert "FakeBackend has not been given 1000 points and 0 files" in caplog.text
    assert str(tmp_path / "metrics.jsonl") in caplog.text
    with pytest.raises(RuntimeError, match="closed"):
        tracker.log({"a/x": 1.0}, 1001)
    release.set()


@pytest.mark.parametrize("how", ["signal", "Ctrl-C"])
def test_a_person_is_told_what_is_waited_for_and_a_signal_ends_it(tmp_path, caplog, monkeypatch, how):
    monkeypatch.setattr(fanout, "TELL_AFTER_S", 0.0)
    monkeypatch.setattr(fanout, "GIVE_UP_S", 0.0)
    release = threading.Event()
    stuck, other = FakeBackend(lambda step: release.wait(60) and None), FakeBackend()
    tracker = FanoutTracker(JsonlTracker(tmp_path), [stuck, other], close_timeout_s=300)
    log_steps(tracker, range(1, 6))
    other.wait_for(5)

    def asked() -> bool:
        if how == "Ctrl-C":
            raise KeyboardInterrupt
        return "waiting for" in caplog.text

    with caplog.at_level(logging.WARNING), nullcontext() if how == "signal" else pytest.raises(KeyboardInterrupt):
        tracker.close(asked)
    if how == "signal":
        assert "300 s more at most; Ctrl-C ends the waiting" in caplog.text
    assert "FakeBackend has not been given 5 points and 0 files" in caplog.text
    assert other.closed
    release.set()


def test_a_slow_backend_is_given_everything_in_order_and_once(tmp_path):
    gate = threading.Event()
    slow = FakeBackend(lambda step: gate.wait(60) and None)
    tracker = FanoutTracker(JsonlTracker(tmp_path), [slow], max_waiting=3, close_timeout_s=30)
    log_steps(tracker, range(1, 101))
    (tmp_path / "curves.png").write_bytes(b"a picture")
    tracker.save(tmp_path / "curves.png")
    gate.set()
    slow.wait_for(100)
    log_steps(tracker, range(101, 201))  # after it has caught up, from memory again
    slow.wait_for(200)
    tracker.close()
    assert slow.points == [(step, {"a/x": step / 2, "a/y": float(step)}) for step in range(1, 201)]
    assert slow.files == [tmp_path / "curves.png"]
    assert slow.closed


@pytest.mark.parametrize("error", [OSError("connection refused"), TrackerError("the server is gone")])
def test_a_backend_that_is_down_for_a_while_catches_up(tmp_path, caplog, error):
    back = threading.Event()

    def before(step: int) -> None:
        if step >= 3 and not back.is_set():
            raise error

    down, good = FakeBackend(before), FakeBackend()
    tracker = FanoutTracker(JsonlTracker(tmp_path), [down, good], max_waiting=4, close_timeout_s=30)
    with caplog.at_level(logging.WARNING):
        log_steps(tracker, range(1, 31))
        good.wait_for(30)
        down.wait_for(2)
        assert down.steps == [1, 2]
        while tracker.num_failed == 0:
            time.sleep(0.01)
        tracker.log({"a/x": 0.0}, 31)
        good.wait_for(31)
        assert good.points[-1][1]["tracking/backends_failed"] == 1.0
        back.set()
        down.wait_for(31)
        tracker.close()
    assert down.steps == good.steps
    assert not given_twice(down)
    assert tracker.num_failed == 0
    assert [r.message for r in caplog.records if "tried again" in r.message] == [
        f"FakeBackend takes nothing now and is tried again and again: {error}"
    ]
    assert "answers again" in caplog.text


def test_a_backend_that_is_down_at_the_end_is_not_waited_for(tmp_path, caplog):
    def before(step: int) -> None:
        raise OSError("no route to host")

    down = FakeBackend(before)
    tracker = FanoutTracker(JsonlTracker(tmp_path), [down], close_timeout_s=30)
    log_steps(tracker, range(1, 11))
    tracker.close()
    assert "has not been given 10 points" in caplog.text
    assert down.closed
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 10


def test_a_tag_that_stands_at_a_step_is_not_given_again(tmp_path):
    backend = FakeBackend()
    tracker = FanoutTracker(JsonlTracker(tmp_path), [backend])
    tracker.log({"a/x": 1.0}, 10)
    tracker.log({"a/x": 2.0, "a/y": 3.0}, 10)
    tracker.log({"a/x": 2.0}, 10)
    tracker.close()
    assert backend.points == [(10, {"a/x": 1.0}), (10, {"a/y": 3.0})]


def test_a_resumed_run_gives_a_backend_only_what_is_new(tmp_path):
    tracker = FanoutTracker(JsonlTracker(tmp_path), [])
    log_steps(tracker, range(1, 11))
    tracker.close()
    blocked = threading.Event()
    backend = FakeBackend(lambda step: blocked.wait(60) and None)
    resumed = FanoutTracker(JsonlTracker(tmp_path, resume_step=10), [backend], max_waiting=1, close_timeout_s=30)
    log_steps(resumed, range(8, 21))
    blocked.set()
    resumed.close()
    assert backend.steps == list(range(11, 21))


def test_points_without_a_spool_are_lost_only_beyond_what_may_wait_and_counted(caplog):
    gate, entered = threading.Event(), threading.Event()

    def before(step: int) -> None:
        entered.set()
        gate.wait(60)

    slow = FakeBackend(before)
    tracker = FanoutTracker(None, [slow], max_waiting=3, close_timeout_s=30)
    tracker.log({"a/x": 0.0}, 1)
    entered.wait(60)
    log_steps(tracker, range(2, 11))
    gate.set()
    tracker.close()
    assert slow.steps == [1, 2, 3]
    assert "has not been given 7 points" in caplog.text


class FullDisk(JsonlTracker):
    """A spool whose disk is full at some steps."""

    full = range(0)

    def record(self, metrics, step, items=()):
        if step in self.full:
            raise OSError(28, "No space left on device")
        return super().record(metrics, step, items)


def test_a_full_disk_is_said_once_and_backends_go_on(tmp_path, caplog):
    spool, backend = FullDisk(tmp_path), FakeBackend()
    spool.full = range(3, 6)
    tracker = FanoutTracker(spool, [backend], close_timeout_s=30)
    log_steps(tracker, range(1, 9))
    tracker.close()
    assert backend.steps == list(range(1, 9))
    assert "tracking/backends_failed" in dict(backend.points)[4]
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 6, 7, 8]
    assert caplog.text.count("cannot be written") == 1


def test_a_bug_in_a_backend_is_raised_in_the_driver(tmp_path):
    def before(step: int) -> None:
        raise KeyError("bug")

    tracker = FanoutTracker(JsonlTracker(tmp_path), [FakeBackend(before)], close_timeout_s=30)
    tracker.log({"a/x": 0.0}, 1)
    with pytest.raises(KeyError):
        tracker.close()
    assert Path(tmp_path / "metrics.jsonl").exists()
