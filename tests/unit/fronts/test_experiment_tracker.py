"""``ExperimentTracker``: what is logged by calls reads back from its folder and from TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import robonav_ray
from robonav_ray import ExperimentTracker
from robonav_ray.errors import UserError
from robonav_ray.tracking.items import Asset, Kind
from robonav_ray.tracking.jsonl import read_metrics, read_points


def assets(folder: Path) -> dict[str, Asset]:
    items = [item for point in read_points(folder / "metrics.jsonl", 0) for item in point.items]
    return {str(item.kind): item for item in items if isinstance(item, Asset)}


def test_everything_that_is_logged_reads_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "notes.txt").write_text("a note")
    frames = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3), dtype=np.uint8)
    with ExperimentTracker("robot_nav", ["tensorboard"], {"lr": np.float32(0.5)}, output_dir=tmp_path) as tracker:
        tracker.log_metrics({"train/loss": torch.tensor(0.25), "train/steps": np.int64(3)}, step=10)
        tracker.log_metrics({"train/loss": 0.125})
        tracker.log_histogram("train/error", torch.randn(5, 20))
        tracker.log_image("maps/corridor", np.linspace(0, 1, 600).reshape(20, 30), step=10)
        tracker.log_video("film", frames)
        tracker.log_graph([{"name": "obs", "op": "input"}, {"name": "q", "op": "linear", "inputs": ["obs"]}])
        tracker.log_embedding("hidden", np.eye(3), ["a", "b", "c"], frames)
        tracker.log_table("episodes", pandas.DataFrame({"world": [1, 2], "outcome": ["success", "=1+1"]}))
        tracker.log_artifact(tmp_path / "notes.txt")
    folder = tracker.path
    assert folder.parent == tmp_path
    assert read_metrics(folder / "metrics.jsonl")[0]["train/loss"] == 0.25
    assert [line["step"] for line in read_metrics(folder / "metrics.jsonl")] == [10, 11]
    found = assets(folder)
    assert found.keys() == {str(kind) for kind in Kind}
    with Image.open(found["picture"].path) as picture, Image.open(found["film"].path) as film:
        assert picture.size == film.size == (30, 20)
        assert film.n_frames == 3
    assert "'=1+1" in found["table"].path.read_text()
    assert found["file"].path.read_text() == "a note"
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"maps/corridor", "film"} <= set(tags["images"])
    assert tags["histograms"] == ["train/error"]
    assert tags["graph"]
    assert "episodes/text_summary" in tags["tensors"]
    assert (folder / "tensorboard" / "projector_config.pbtxt").exists()
    assert json.loads((folder / "tracked.json").read_text())["config"] == {"lr": 0.5}


@pytest.mark.slow
def test_a_models_operations_are_traced(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2))
    with ExperimentTracker("mine", [], output_dir=tmp_path) as tracker:
        tracker.log_graph(model, torch.zeros(1, 4))
        with pytest.raises(UserError, match="cannot be traced"):
            tracker.log_graph(model, torch.zeros(1, 3), name="wrong")
    nodes = {node["name"]: node for node in json.loads(assets(tracker.path)["graph"].path.read_text())["nodes"]}
    assert nodes["0.weight"] == {"name": "0.weight", "op": "parameter", "inputs": [], "shape": [8, 4]}
    assert nodes["input_0"]["op"] == "input"
    assert nodes["output"]["inputs"]
    assert all(source in nodes for node in nodes.values() for source in node["inputs"])
    assert model.training


def test_an_experiment_is_gone_on_with_and_a_step_stands_once(tmp_path):
    first = robonav_ray.ExperimentTracker("mine", [], directory=tmp_path / "mine")
    first.log_metrics({"a": 1.0}, step=5)
    with pytest.raises(UserError, match="another process tracks into this folder"):
        ExperimentTracker("mine", [], directory=tmp_path / "mine")
    first.finish()
    first.finish()
    with pytest.raises(RuntimeError, match="finished"):
        first.log_metrics({"a": 1.0})
    with ExperimentTracker("mine", ["tensorboard"], directory=tmp_path / "mine") as second:
        second.log_metrics({"a": 2.0}, step=5)
        second.log_metrics({"a": 3.0})
    assert [(line["step"], line["a"]) for line in read_metrics(tmp_path / "mine" / "metrics.jsonl")] == [(5, 1), (6, 3)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "a/b"}, "name: 'a/b'"),
        ({"name": 3}, "name: 3"),
        ({"backends": "tensorboard"}, "is no list"),
        ({"backends": ["tensorbord"]}, "'tensorbord' is none; there are jsonl, tensorboard, mlflow, wandb"),
        ({"backends": {"mlflow": {"tracking_uri": "http://me:word@host"}}}, "MLFLOW_TRACKING_PASSWORD"),
        ({"backends": {"tensorboard": {"flush": 1}}}, "did you mean 'flush_s'"),
        ({"config": {"login": {"api_key": "abc"}}}, "api_key: .* holds no secrets"),
        ({"config": 3}, "config: int is no mapping"),
        ({"directory": "other"}, "holds something else"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_made(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(UserError, match=told) as refused:
        ExperimentTracker(**({"name": "mine", "backends": []} | arguments))
    assert "word" not in str(refused.value).replace("PASSWORD", "").replace("password", "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "other"]


def test_what_cannot_be_logged_is_refused_by_name_and_the_tracker_goes_on(tmp_path):
    with ExperimentTracker("mine", [], output_dir=tmp_path) as tracker:
        wrong = [
            (lambda: tracker.log_metrics({"a": "high"}), "'a': str is no number"),
            (lambda: tracker.log_metrics({"a": np.zeros(3)}), "is no number"),
            (lambda: tracker.log_metrics({"step": 1.0}), "'step' is a name of ours"),
            (lambda: tracker.log_metrics({"a": 1.0}, step=-1), "step: -1"),
            (lambda: tracker.log_metrics({"a": 1.0}, step=1.5), "step: 1.5"),
            (lambda: tracker.log_histogram("h", []), "at least one finite value"),
            (lambda: tracker.log_histogram("h", ["a"]), "log_histogram 'h'"),
            (lambda: tracker.log_image("i", np.zeros((2, 3, 4, 5))), "has the shape"),
            (lambda: tracker.log_image("i", np.full((2, 2), 300)), "0 to 255"),
            (lambda: tracker.log_image("i", "film.gif"), "film.gif is none of"),
            (lambda: tracker.log_image("", np.zeros((2, 2))), "is no name"),
            (lambda: tracker.log_video("v", []), "has no frames"),
            (lambda: tracker.log_video("v", np.zeros((2, 2, 2)), fps=0), "fps"),
            (lambda: tracker.log_graph(torch.nn.Linear(2, 2)), "give its input too"),
            (lambda: tracker.log_graph([{"op": "add"}]), "node 0 has no name"),
            (lambda: tracker.log_embedding("e", np.zeros((3, 2)), ["a"]), "3 vectors and 1 labels"),
            (lambda: tracker.log_embedding("e", np.zeros((3, 2)), thumbnails=np.zeros((2, 4, 4))), "as many"),
            (lambda: tracker.log_table("t", [[1, 2]]), "need columns"),
            (lambda: tracker.log_table("t", [[1, 2]], ["a"]), "row 0 has 2 values"),
        ]  # fmt: skip
        for call, told in wrong:
            with pytest.raises(UserError, match=told):
                call()
        with pytest.raises(OSError, match="nothing"):
            tracker.log_artifact(tmp_path / "nothing.bin")
        tracker.log_image("../../up", np.zeros((2, 2), bool), step=3)
        tracker.log_metrics({"a": True})
    assert [path for path in tmp_path.iterdir() if path != tracker.path] == []
    assert assets(tracker.path)["picture"].path.is_relative_to(tracker.path / "tracked")


def test_an_exception_ends_it_as_failed(tmp_path, monkeypatch):
    endings = []
    monkeypatch.setattr(
        "robonav_ray.tracking.fanout.FanoutTracker.ends_as", lambda self, ending: endings.append(ending)
    )

    def experiment() -> None:
        with ExperimentTracker("mine", [], output_dir=tmp_path) as tracker:
            tracker.log_metrics({"a": 1.5})
            raise ZeroDivisionError("http://me:word@host")

    with pytest.raises(ZeroDivisionError):
        experiment()
    (ending,) = endings
    assert ending.status == "failed"
    assert ending.message == "ZeroDivisionError: http://...@host"
    assert ending.summary == {"a": 1.5}
