"""What a session leaves undelivered the next one delivers, and nothing twice: killed, rewound, hanging, with another
process beside it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.errors import UserError
from robonav_ray.tracking import fanout, feed
from robonav_ray.tracking.backend import Refusals, RunEnding, TrackerError
from robonav_ray.tracking.deliveries import TrackersFile
from robonav_ray.tracking.fanout import FanoutTracker, keep_files, open_trackers
from robonav_ray.tracking.items import Asset, Histogram, Kind
from robonav_ray.tracking.jsonl import JsonlTracker, read_metrics, read_points
from tests.unit.tracking.fake_places import Server, place


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(feed, "RETRY_S", 0.01)


def begin(directory: Path, server: Server, resume_step: int | None = None, **options) -> FanoutTracker:
    """As ``open_trackers`` does."""
    file = TrackersFile(directory)
    spool = JsonlTracker(directory, resume_step, on_rewind=file.prepare_rewind)
    if resume_step is not None:
        file.settle(spool.end, resume_step)
    return FanoutTracker(spool, [place(server, directory, **options)], close_timeout_s=30)


def log(tracker: FanoutTracker, *steps: int) -> None:
    for step in steps:
        tracker.log({"a/x": float(step)}, step)


def refuse(points) -> None:
    raise TrackerError("the server is gone")


def test_what_a_session_left_undelivered_the_next_one_delivers_with_the_same_times(tmp_path):
    server = Server()
    first = begin(tmp_path, server)
    log(first, 10, 20)
    server.wait_for(20)
    server.before = refuse
    log(first, 30, 40)
    first.close()
    assert server.steps == [10, 20]
    server.before = lambda points: None
    second = begin(tmp_path, server, resume_step=40)
    log(second, 50)
    second.close()
    assert server.steps == [10, 20, 30, 40, 50]
    spooled = read_points(tmp_path / "metrics.jsonl", 0)
    assert [point.time for point in server.points] == [point.time for point in spooled]
    third = begin(tmp_path, server, resume_step=50)
    third.close()
    assert server.steps == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("rewinds", [False, True])
def test_a_run_that_goes_back_behind_what_was_delivered(tmp_path, rewinds):
    server = Server()
    first = begin(tmp_path, server, rewinds=rewinds)
    log(first, 10, 20, 30, 40)
    first.close()
    second = begin(tmp_path, server, resume_step=20, rewinds=rewinds)
    log(second, 25, 35)
    second.close()
    third = begin(tmp_path, server, resume_step=35, rewinds=rewinds)  # the life that is gone is not forgotten
    log(third, 38, 45)
    third.close()
    again = [25, 35, 38] if rewinds else []
    assert server.steps == [10, 20, 30, 40, *again, 45]
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [10, 20, 25, 35, 38, 45]


@pytest.mark.parametrize("killed", ["before the spool is replaced", "behind it"])
def test_a_kill_while_the_spool_is_rewound_moves_no_position(tmp_path, killed, monkeypatch):
    server = Server()
    first = begin(tmp_path, server)
    log(first, 10, 20)
    server.wait_for(20)
    server.before = refuse
    log(first, 30, 40, 50)
    first.close()
    file = TrackersFile(tmp_path)
    if killed == "behind it":
        JsonlTracker(tmp_path, 40, on_rewind=file.prepare_rewind).close()
    else:
        monkeypatch.setattr("robonav_ray.tracking.jsonl.replace", lambda path, content: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            JsonlTracker(tmp_path, 40, on_rewind=file.prepare_rewind)
        monkeypatch.undo()
    server.before = lambda points: None
    second = begin(tmp_path, server, resume_step=40)
    second.close()
    assert server.steps == [10, 20, 30, 40]


def test_a_write_that_fails_is_repeated_with_the_very_same_points(tmp_path):
    server, tries = Server(), []

    def fails_twice(points) -> None:
        tries.append(points)
        if len(tries) < 3:
            raise OSError("connection reset")

    server.before = fails_twice
    tracker = begin(tmp_path, server, gather_s=0.05)
    log(tracker, 1, 2, 3)
    server.wait_for(3)
    tracker.close()
    assert tries[0] == tries[1] == tries[2]
    assert server.steps == [1, 2, 3]


class StrangeError(Exception):
    """As a client of another project may raise it."""


def test_an_unknown_error_of_a_client_ends_no_run_and_all_is_delivered(tmp_path, caplog):
    def strange(points) -> None:
        raise StrangeError("in its depths, at http://me:canary@host")

    server = Server()
    server.before = strange
    tracker = begin(tmp_path, server)
    log(tracker, 10)
    while not tracker.num_failed:
        time.sleep(0.01)
    log(tracker, 20, 30)
    server.before = lambda points: None
    server.wait_for(30)
    while TrackersFile(tmp_path).read()["server"].position != (tmp_path / "metrics.jsonl").stat().st_size:
        time.sleep(0.01)
    (tmp_path / "trackers.json").write_text("[")  # as a stranger may
    log(tracker, 40)
    server.wait_for(40)
    server.close = strange
    tracker.close()
    assert server.steps == [10, 20, 30, 40]
    assert "server takes nothing now and is tried again and again: StrangeError: in its depths" in caplog.text
    assert "server did not end in order: StrangeError" in caplog.text
    assert "cannot be written down" in caplog.text
    assert "canary" not in caplog.text


def test_what_a_backend_will_never_take_is_given_up_counted_and_said_once(tmp_path, caplog):
    server, refused = Server(), Refusals()

    def write(points) -> None:
        bad = [point for point in points if point.step % 3 == 0]
        with server._arrived:
            server.points += [point for point in points if point not in bad]
            server._arrived.notify_all()
        refusals = Refusals()
        for point in bad:
            refusals.note(point.step, ValueError("status 400 at http://me:canary@host"))
        refusals.tell()

    server.write = write
    refused.tell()  # nothing was noted
    tracker = begin(tmp_path, server)
    log(tracker, *range(1, 12))
    server.wait_for(11)
    tracker.close()
    assert server.steps == [1, 2, 4, 5, 7, 8, 10, 11]
    assert tracker.num_failed == 0
    assert caplog.text.count("status 400") == 1
    assert "server has refused 3 points for good" in caplog.text
    assert "canary" not in caplog.text
    log(again := begin(tmp_path, server, resume_step=11), 12, 13)
    server.wait_for(13)
    again.close()
    assert server.steps[8:] == [13], "what was refused is not given again"


def test_a_spool_that_is_away_for_a_while_is_read_when_it_is_back(tmp_path, monkeypatch, caplog):
    server, gate = Server(), threading.Event()
    server.before = lambda points: gate.wait(30)
    file = TrackersFile(tmp_path)
    tracker = FanoutTracker(JsonlTracker(tmp_path), [place(server, tmp_path)], max_waiting=1, close_timeout_s=30)
    log(tracker, 10, 20, 30)
    is_away, was_asked = [True], threading.Event()

    def read(*args):
        if is_away[0]:
            was_asked.set()
            raise OSError("input/output error")
        return read_points(*args)

    monkeypatch.setattr(feed, "read_points", read)
    gate.set()
    assert was_asked.wait(30)
    log(tracker, 40)
    is_away[0] = False
    server.wait_for(40)
    tracker.close()
    assert server.steps == [10, 20, 30, 40]
    assert caplog.text.count("input/output error") == 1
    assert file.read()["server"].position == (tmp_path / "metrics.jsonl").stat().st_size


def test_what_is_left_is_counted_as_far_as_a_session_has_time_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(feed, "COUNTED_MOST", 5)
    server = Server()
    server.before = refuse
    tracker = FanoutTracker(JsonlTracker(tmp_path), [place(server, tmp_path)], max_waiting=2, close_timeout_s=30)
    log(tracker, *range(10, 100, 10))
    tracker.close()
    assert "server has not been given at least 7 points and 0 files" in caplog.text


def test_items_stand_in_the_spool_and_reach_the_backend_also_when_it_catches_up(tmp_path, caplog):
    server, gate = Server(frozenset(("scalars", "histogram", "picture"))), threading.Event()
    server.before = lambda points: gate.wait(60) and None
    tracker = FanoutTracker(JsonlTracker(tmp_path), [place(server, tmp_path)], max_waiting=1, close_timeout_s=30)
    (tmp_path / "curves.png").write_bytes(b"a picture")
    histogram = Histogram.of("learner/q_value", np.arange(100.0).reshape(10, 10))
    picture = Asset(Kind.PICTURE, "evaluation/curves", tmp_path / "curves.png", {"stage": "4"})
    gone = Asset(Kind.PICTURE, "gone", tmp_path / "gone.png")
    film = Asset(Kind.FILM, "play", tmp_path / "play.gif")
    log(tracker, 10)
    tracker.add([histogram, picture, film], 20)
    tracker.add([histogram, picture], 20)
    tracker.add([gone, film], 30)
    log(tracker, 30)
    gate.set()
    ending = RunEnding("finished", "", {"success": 1.0})
    tracker.ends_as(ending)
    tracker.close()
    assert server.steps == [10, 20, 30]
    found, shown = server.points[1].items
    assert isinstance(found, Histogram)
    assert found.name == "learner/q_value"
    assert found.counts.sum() == 100
    np.testing.assert_allclose(found.edges, histogram.edges, rtol=1e-6)
    assert shown == picture
    assert server.endings == [ending]
    assert caplog.text.count("server cannot take any film") == 1
    assert "gone.png" in caplog.text
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])
    assert [item["kind"] for item in line["items"]] == ["histogram", "picture", "film"]
    assert line["items"][1]["path"] == "curves.png"
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [10, 30], "lines without scalars"


def test_an_asset_outside_of_the_run_is_refused_by_add_and_copied_by_save(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "note.txt").write_text("a note")
    server = Server()
    tracker = begin(tmp_path / "run", server)
    log(tracker, 10)
    with pytest.raises(ValueError, match=r"note\.txt"):
        tracker.add([Asset(Kind.FILE, "note", tmp_path / "note.txt")], 10)
    tracker.save(tmp_path / "note.txt")
    tracker.close()
    (kept,) = server.points[-1].items
    assert isinstance(kept, Asset)
    assert kept.path.read_text() == "a note"
    assert kept.path.is_relative_to(tmp_path / "run" / "tracked")


@pytest.mark.parametrize(
    "line",
    ['{"kind": "picture", "name": "a", "path": "/etc/passwd"}', '{"kind": "picture", "name": "a", "path": "../a.png"}',
     '{"kind": "hologram", "name": "a", "path": "a"}', '{"kind": "histogram", "name": "a", "edges": [1], "counts": []}',
     '{"kind": "histogram", "name": "a", "edges": [0, NaN], "counts": [1]}', "3", '{"kind": "picture"}',
     '{"kind": "file", "name": "a\\nb", "path": "a"}', '{"kind": "file", "name": 7, "path": "a"}'],
)  # fmt: skip
def test_items_of_a_strangers_spool_are_vetted(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "time": 1.0, "a/x": 1.0, "items": [{line}]}}\n')
    (point,) = read_points(tmp_path / "metrics.jsonl", 0)
    assert point.items == ()
    assert point.metrics == {"a/x": 1.0}


def test_a_backend_that_hangs_at_its_close_is_left_behind(tmp_path, caplog):
    release = threading.Event()

    class Hanging(Server):
        def close(self, ending):
            release.wait(60)

    tracker = FanoutTracker(JsonlTracker(tmp_path), [place(Hanging(), tmp_path)], close_timeout_s=0.1)
    log(tracker, 10)
    tracker.close()
    assert "server was given everything and has not ended after 0.1 s" in caplog.text
    server = Server()
    second = FanoutTracker(JsonlTracker(tmp_path, 10), [place(server, tmp_path)], close_timeout_s=0.1)
    log(second, 20)
    second.close()  # the one that hangs may still be at work
    assert server.steps == []
    assert "server has not been given 1 points and 0 files" in caplog.text
    release.set()


def test_two_threads_log_in_one_order(tmp_path):
    server = Server()
    tracker = begin(tmp_path, server)
    threads = [
        threading.Thread(target=lambda i=i: [tracker.log({f"a/{i}": float(s)}, s) for s in range(300)])
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.close()
    spooled = read_points(tmp_path / "metrics.jsonl", 0)
    assert [(p.step, p.metrics) for p in server.points] == [(p.step, p.metrics) for p in spooled]
    assert len(spooled) == 1200


def test_files_that_another_process_keeps_are_delivered_by_the_session_that_trains(tmp_path, monkeypatch):
    server = Server()
    monkeypatch.setattr(fanout, "places", lambda config, facts, file, end: [place(server, facts.directory)])
    config = TrackingConfig(tensorboard=None)
    for name in ("curves.png", "late.png", "after.png"):
        (tmp_path / name).write_bytes(b"a picture")
    tracker = open_trackers(config, tmp_path)
    log(tracker, 10)
    keep_files(config, tmp_path, 10, [tmp_path / "curves.png"])  # as from another process: the folder has its owner
    log(tracker, 20)
    server.wait_for(20)
    keep_files(config, tmp_path, 10, [tmp_path / "late.png"])
    tracker.close()
    keep_files(config, tmp_path, 10, [tmp_path / "after.png"])
    keep_files(config, tmp_path, 10, [tmp_path / "after.png"])
    items = [item.name for point in server.points for item in point.items]
    assert items == ["curves", "late", "after"]
    assert server.steps == [10, 10, 20, 10, 10]


BROKEN_ENTRIES = ("3", '{"ids": [1]}', *(f'{{"position": {word}}}' for word in ("-3", '"7"', "true")))


@pytest.mark.parametrize("text", ["[1]", "{", *(f'{{"server": {entry}}}' for entry in BROKEN_ENTRIES)])
def test_a_trackers_file_that_is_none_is_refused_by_name(tmp_path, text):
    (tmp_path / "trackers.json").write_text(text)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match=r"trackers\.json"):
        open_trackers(TrackingConfig(tensorboard=None), tmp_path, resume_step=10)


def test_a_session_that_was_killed_before_it_had_delivered_anything(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = TrackingConfig()
    first = open_trackers(config, tmp_path)
    write = "robonav_ray.tracking.tensorboard.event_file.TensorboardBackend.write"
    monkeypatch.setattr(write, lambda backend, points: refuse(points))
    log(first, 10, 20)
    first.close()
    monkeypatch.undo()
    second = open_trackers(config, tmp_path, resume_step=20)
    log(second, 30)
    second.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("a/x")] == [10, 20, 30]


def test_tensorboard_of_a_run_from_before_there_were_positions_is_given_only_what_is_new(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = TrackingConfig()
    first = open_trackers(config, tmp_path)
    log(first, 10, 20)
    first.close()
    (tmp_path / "trackers.json").unlink()
    second = open_trackers(config, tmp_path, resume_step=20)
    log(second, 30)
    second.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("a/x")] == [10, 20, 30]
