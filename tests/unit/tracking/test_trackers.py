"""Backends: what is written reads back, a resume leaves no (step, tag) twice, a broken backend does not break the
run."""

from __future__ import annotations

import json
import math
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.tracking.backend import Point
from robonav_ray.tracking.fanout import keep_files, open_trackers
from robonav_ray.tracking.items import asset_of
from robonav_ray.tracking.jsonl import JsonlTracker, env_steps_of, figures_of, read_metrics, read_points
from robonav_ray.tracking.tensorboard.event_file import TensorboardBackend
from tests.fake_backend import FakeBackend


def pairs(path: Path) -> list[tuple[int, str]]:
    return [(line["step"], tag) for line in read_metrics(path) for tag in line if tag not in ("step", "time")]


def test_jsonl_lines_read_back(tmp_path):
    tracker = JsonlTracker(tmp_path, now=lambda: 12.3456)
    tracker.log({"a/x": 1.5, "a/nan": float("nan"), "a/inf": float("inf")}, 10)
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 10, "time": 12.346, "a/x": 1.5, "a/nan": None, "a/inf": None}
    ]
    tracker.close()
    tracker.close()
    with pytest.raises(RuntimeError, match="closed"):
        tracker.log({"a/x": 1.0}, 11)


def test_jsonl_never_repeats_a_step_and_tag(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.log({"a/x": 1.0}, 10)
    tracker.log({"a/x": 2.0, "a/y": 3.0}, 10)
    tracker.log({"a/x": 4.0}, 10)
    tracker.close()
    assert pairs(tmp_path / "metrics.jsonl") == [(10, "a/x"), (10, "a/y")]
    assert tracker.num_skipped == 2


def test_jsonl_on_a_full_disk_keeps_whole_lines_and_goes_on_when_there_is_room(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.log({"a/x": 1.0}, 10)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        with pytest.raises(OSError, match=r"[Nn]o space|[Ff]ile too large"):
            tracker.log({"a/x": 2.0}, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    tracker.log({"a/x": 2.0}, 20)
    tracker.close()
    assert pairs(tmp_path / "metrics.jsonl") == [(10, "a/x"), (20, "a/x")]


def test_figures_of_a_strangers_summary_are_numbers():
    found = figures_of({"env_steps": 7, "train_s": 1.5, "passed": True, "name": "a", "none": None, "big": 10**400})
    assert found == {"env_steps": 7.0, "train_s": 1.5, "passed": 1.0}
    given = (7, 7.9, "7", -1, None, 10**400, math.nan, [7])
    assert [env_steps_of({"env_steps": value}) for value in given] == [7, 7, 0, 0, 0, 0, 0, 0]


def test_lines_of_a_strangers_spool_hold_numbers_alone(tmp_path):
    lines = [
        '{"step": 1, "time": "now", "a": "=HYPERLINK(1)", "b": 2, "c": null, "d": [1], "e": true, "f": {"x": 1}}',
        '{"step": true, "a": 1.0}', '{"step": 2.5, "a": 1.0}', f'{{"step": 2, "a": {"9" * 400}, "b": 1e999}}',
        '{"step": 3, "a": 0.5, "items": [1]}', '{"step": 4, "items": []}', "[]", '"step"',
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "time": 0.0, "b": 2, "c": None},
        {"step": 2},
        {"step": 3, "a": 0.5},
    ]


def test_jsonl_needs_a_resume_step_for_an_existing_file(tmp_path):
    JsonlTracker(tmp_path).close()
    with pytest.raises(ValueError, match="resume"):
        JsonlTracker(tmp_path)


@pytest.mark.parametrize("given", ['"0x1"', "[1.0]", "{}", "1" + 400 * "0"])
def test_values_of_a_strangers_spool_are_numbers(tmp_path, given):
    lines = [
        f'{{"step": 1, "time": {given}, "a/x": {given}, "a/y": null, "a/z": 2}}',
        f'{{"step": {given}, "a/x": 1}}', '{"step": -1, "a/x": 1}', f'{{"step": 2, "a/x": {5000 * "1"}}}',
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (point,) = read_points(tmp_path / "metrics.jsonl", 0)
    assert (point.step, point.time, list(point.metrics), point.metrics["a/z"]) == (1, 0.0, ["a/y", "a/z"], 2.0)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1]


@pytest.mark.parametrize("tear", ["", '{"step": 40, "ti', "\x00\x00\n"])
def test_jsonl_resumes_at_a_step_and_keeps_what_it_superseded(tmp_path, tear):
    tracker = JsonlTracker(tmp_path)
    for step in (10, 20, 30):
        tracker.log({"a/x": float(step)}, step)
    tracker.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + tear)
    for _ in range(2):
        resumed = JsonlTracker(tmp_path, resume_step=20)
        resumed.log({"a/x": -1.0, "a/late": 5.0}, 20)
        resumed.log({"a/x": 25.0}, 25)
        resumed.close()
    assert pairs(path) == [(10, "a/x"), (20, "a/x"), (20, "a/late"), (25, "a/x")]
    superseded = (tmp_path / "metrics.superseded.jsonl").read_text()
    assert json.loads(superseded.splitlines()[0])["step"] == 30
    assert '"step": 25' in superseded


def tensorboard_scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory))
    events.Reload()
    tags = events.Tags()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]} | {
        tag: [(e.step, 0.0) for e in events.Images(tag)] for tag in tags["images"]
    }


def test_tensorboard_scalars_pictures_and_purge_on_resume(tmp_path):
    backend = TensorboardBackend(tmp_path)
    backend.write([Point({"a/x": float(step)}, step, 1.0) for step in (10, 20, 30)])
    backend.close(None)
    assert tensorboard_scalars(tmp_path / "tensorboard") == {"a/x": [(10, 10.0), (20, 20.0), (30, 30.0)]}
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "curves.png")
    (tmp_path / "note.bin").write_bytes(b"no picture")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    items = tuple(asset_of(tmp_path / name, tmp_path) for name in ("curves.png", "note.bin", "broken.png", "gone.png"))
    resumed = TensorboardBackend(tmp_path, resume_step=20)
    resumed.write([Point({"a/x": 25.0}, 25, 2.0, items)])
    resumed.close(None)
    got = tensorboard_scalars(tmp_path / "tensorboard")
    assert got == {"a/x": [(10, 10.0), (20, 20.0), (25, 25.0)], "curves": [(25, 0.0)]}


def test_files_made_after_training_reach_the_trackers_and_hide_nothing(tmp_path, caplog):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = TrackingConfig(backends=("jsonl", "tensorboard"))
    tracker = open_trackers(config, tmp_path)
    for step in (10, 30):
        tracker.log({"a/x": float(step)}, step)
    tracker.close()
    frames = [Image.fromarray(np.full((4, 6, 3), value, np.uint8)) for value in (0, 90, 250)]
    frames[0].save(tmp_path / "play.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "curves.png")
    (tmp_path / "evaluation.md").write_text("success 77 %")
    (tmp_path / "evaluation.json").write_text("{}")
    files = [tmp_path / name for name in ("evaluation.json", "evaluation.md", "curves.png", "play.gif")]
    keep_files(config, tmp_path, 20, files)
    keep_files(TrackingConfig(backends=()), tmp_path, 20, files)
    got = tensorboard_scalars(tmp_path / "tensorboard")
    assert got == {"a/x": [(10, 10.0), (30, 30.0)], "curves": [(20, 0.0)], "play": [(20, 0.0)]}
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (film,) = events.Images("play")
    assert film.encoded_image_string == (tmp_path / "play.gif").read_bytes(), "whole, so that it plays"
    (text,) = events.Tensors("evaluation/text_summary")
    assert text.tensor_proto.string_val[0] == b"success 77 %"
    assert pairs(tmp_path / "metrics.jsonl") == [(10, "a/x"), (30, "a/x")]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "tensorboard").write_text("no folder")
    keep_files(config, tmp_path / "full", 20, files)
    assert "tensorboard has not been given 0 points and 4 files" in caplog.text
    (tmp_path / "full" / "trackers.json").write_text("[")
    keep_files(config, tmp_path / "full", 20, files)  # a file that stays open is a warning, and fails the test
    assert "trackers.json" in caplog.text


def test_open_trackers_opens_what_is_configured_and_resumes(tmp_path):
    extra = FakeBackend()
    config = TrackingConfig(backends=("jsonl", "tensorboard"))
    with pytest.raises(ValueError, match="jsonl"):
        TrackingConfig(backends=("csv",))  # pyright: ignore[reportArgumentType]
    tracker = open_trackers(config, tmp_path, extra=[extra])
    tracker.log({"a/x": 1.0}, 5)
    tracker.close()
    resumed = open_trackers(config, tmp_path, resume_step=5)
    resumed.log({"a/x": 1.0}, 5)
    resumed.log({"a/x": 2.0}, 6)
    resumed.close()
    assert pairs(tmp_path / "metrics.jsonl") == [(5, "a/x"), (6, "a/x")]
    assert tensorboard_scalars(tmp_path / "tensorboard") == {"a/x": [(5, 1.0), (6, 2.0)]}
    assert extra.points == [(5, {"a/x": 1.0})]
    assert extra.closed
