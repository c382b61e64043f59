"""Every Tracker takes the same calls, before and after its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.interfaces import Tracker
from robonav_ray.tracking.fanout import FanoutTracker
from robonav_ray.tracking.jsonl import JsonlTracker, read_metrics
from robonav_ray.tracking.tensorboard.event_file import TensorboardBackend


@dataclass
class Setup:
    tracker: Tracker
    read: Callable[[str], list[float]] | None
    """The values of a metric, as they can be read back after the end; None where they cannot from here."""


def _jsonl(directory: Path, name: str) -> list[float]:
    return [line[name] for line in read_metrics(directory / "metrics.jsonl") if name in line]


def _tensorboard(directory: Path, name: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def _both(directory: Path, name: str) -> list[float]:
    one, other = _jsonl(directory, name), _tensorboard(directory, name)
    assert one[-1] == other[-1]
    assert len(one) == len(other)
    return one


@pytest.fixture(params=["jsonl", "fanout", pytest.param("prometheus", marks=pytest.mark.ray)])
def setup(request, tmp_path: Path) -> Iterator[Setup]:
    directory = tmp_path / "run"
    directory.mkdir()
    if request.param == "jsonl":
        made = Setup(JsonlTracker(directory), lambda name: _jsonl(directory, name))
    elif request.param == "fanout":
        fanout = FanoutTracker(JsonlTracker(directory), [TensorboardBackend(directory)])
        made = Setup(fanout, lambda name: _both(directory, name))
    else:
        request.getfixturevalue("ray_session")
        from robonav_ray.tracking.remote import PrometheusTracker

        made = Setup(PrometheusTracker("contract"), None)
    yield made
    made.tracker.close()


def test_what_is_logged_can_be_read_back(setup):
    assert isinstance(setup.tracker, Tracker)
    for step in (10, 20, 30):
        setup.tracker.log({"learner/loss": step / 4, "replay/size": float(step)}, step)
    setup.tracker.log({}, 40)
    setup.tracker.log({"learner/late": 1.0}, 40)
    setup.tracker.close()
    if setup.read is not None:
        assert setup.read("learner/loss") == [2.5, 5.0, 7.5]
        assert setup.read("replay/size") == [10.0, 20.0, 30.0]
        assert setup.read("learner/late") == [1.0]


def test_any_file_may_be_kept_and_stays_where_it_is(setup, tmp_path):
    picture, note, other = tmp_path / "curves.png", tmp_path / "evaluation.md", tmp_path / "weights.bin"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(picture)
    note.write_text("# stage 4: 77 %")
    other.write_bytes(b"\x00")
    before = {path: path.read_bytes() for path in (picture, note, other)}
    for path in before:
        setup.tracker.save(path)
    assert {path: path.read_bytes() for path in before} == before


def test_numbers_that_are_not_finite_do_not_end_a_run(setup):
    setup.tracker.log({"learner/loss": float("nan"), "learner/q_mean": float("inf")}, 1)
    setup.tracker.log({"learner/loss": 0.5}, 2)
    setup.tracker.close()
    if setup.read is not None:
        assert setup.read("learner/loss")[-1] == 0.5


def test_after_the_end_only_another_end_is_accepted(setup, tmp_path):
    setup.tracker.log({"learner/loss": 1.0}, 1)
    setup.tracker.close()
    setup.tracker.close()
    with pytest.raises(RuntimeError, match="closed"):
        setup.tracker.log({"learner/loss": 2.0}, 2)
    with pytest.raises(RuntimeError, match="closed"):
        setup.tracker.save(tmp_path / "curves.png")
