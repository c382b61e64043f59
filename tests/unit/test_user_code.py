"""Trackers and metrics of the user's own: by ``module:Name`` or entry point; a bad name is one message."""

import json
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.own_metrics import find_metrics, own_means
from robonav_ray.tracking.fanout import open_trackers
from robonav_ray.user_code import load_user_code

MINE = """
import json

class Tracker:
    def __init__(self, directory, resume_step):
        self.file = open(directory / "mine.jsonl", "a")
    def log(self, metrics, step):
        self.file.write(json.dumps([step, metrics]) + "\\n")
    def save(self, path): ...
    def close(self):
        self.file.close()

class NoTracker:
    def __init__(self, directory, resume_step): ...

def needs_more(directory, resume_step, server): ...
def length(table):
    return table.length
def twice(table):
    return [1.0, 2.0, 3.0]
def fails(table):
    return table.no_such_column
number = 3
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_parts.py").write_text(MINE)
    (tmp_path / "my_broken.py").write_text("import json\nraise RuntimeError('no server')\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name in ("my_parts", "my_broken"):
        sys.modules.pop(name, None)


def table() -> EpisodeTable:
    two = np.array([1.0, 3.0], np.float32)
    return EpisodeTable(np.arange(2), np.zeros(2, np.int8), two.astype(np.int32), two, two, two, two, two, two, None)


def test_a_tracker_of_ones_own_is_given_every_point(tmp_path: Path) -> None:
    config = TrackingConfig(backends=(), extra=("my_parts:Tracker",))
    trackers = open_trackers(config, tmp_path)
    trackers.log({"a": 1.0}, 5)
    trackers.close()
    assert json.loads((tmp_path / "mine.jsonl").read_text()) == [5, {"a": 1.0}]
    assert (tmp_path / "metrics.jsonl").is_file(), "what it misses is read again from there"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my_parts:Trackr", "has no 'Trackr'; did you mean 'Tracker'"),
        ("my_parts:number", "is int, and a function or a class belongs there"),
        ("my_part:Tracker", "there is no module 'my_part'"),
        ("my_broken:Tracker", r"the import of my_broken failed: RuntimeError: no server at .*my_broken.py:2"),
        ("folder/my_parts.py:Tracker", "write module:Name"),
        ("my_parts:", "write module:Name"),
        ("wandb", r"no entry point of the group robonav_ray.trackers \(no installed package has any\)"),
        ("my_parts:NoTracker", "which is no tracker"),
        ("my_parts:needs_more", "cannot be made as Name"),
    ],
)
def test_a_bad_name_is_one_message(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^tracking.extra: .*{told}"):
        open_trackers(TrackingConfig(extra=(name,), backends=()), tmp_path)


def test_an_installed_package_offers_one_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint("mine", "my_parts:Tracker", "robonav_ray.trackers")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == point.group else [])
    sys.path.append(str(Path.cwd()))
    assert load_user_code("mine", "robonav_ray.trackers", "tracking.extra").__name__ == "Tracker"
    with pytest.raises(UserError, match=r"there are mine"):
        load_user_code("other", "robonav_ray.trackers", "tracking.extra")


def test_a_metric_of_ones_own_is_a_mean_with_its_interval() -> None:
    means = own_means(find_metrics(("my_parts:length",)), table(), 0.95)
    assert means["length"].value == 2.0
    assert means["length"].num_values == 2
    for name, told in (("twice", r"shape \(3,\)"), ("fails", "AttributeError")):
        with pytest.raises(UserError, match=f"evaluation.metrics: {name} .*{told}"):
            own_means(find_metrics((f"my_parts:{name}",)), table(), 0.95)
    with pytest.raises(UserError, match=r"two of .* have one name"):
        find_metrics(("my_parts:length", "my_parts:length"))
