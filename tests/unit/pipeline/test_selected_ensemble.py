"""An ensemble of all seeds goes through the steps as one policy does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.errors import UserError
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.pipeline.orchestrator import PipelineOrchestrator
from robonav_ray.registry.registry import Registry
from tests.made_up_runs import make_run

SMALL = ("algo.hidden_dims=[8]", "env.world.lidar.num_beams=9")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        make_run(folder / f"runs/seed-{seed}", (*SMALL, f"seed={seed}"), steps=(100 + seed,))
    return folder


def pipeline(**keys: Any) -> PipelineOrchestrator:
    return PipelineOrchestrator(
        {
            "name": "mine",
            "wiring": "local",
            "steps": ["train", "select", "visualise", "register"],
            "train": {"given": ["runs/seed-0", "runs/seed-1"]},
            "select": {"by": "mean"},
            "visualise": {"film_episodes": 0},
            "registry": {"place": "models", "bundle": False, "gate": None},
            **keys,
        }
    )


@pytest.mark.parametrize(
    "steps",
    [
        ["train", "select", "register"],
        pytest.param(
            ["train", "select", "evaluate", "visualise", "report", "export", "register"], marks=pytest.mark.slow
        ),
    ],
)
def test_all_seeds_go_on_together(
    steps: list[str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    small = {"evaluate": {"episodes": 50}, "visualise": {"film_episodes": 1}} if "evaluate" in steps else {}
    done = pipeline(steps=steps, **small).run(quiet=True)
    assert done.done == tuple(steps)
    facts = done.facts["select"]
    assert (facts["name"], facts["path"]) == ("mean of seeds", "select/ensemble.json")
    told = json.loads((done.path / "select/ensemble.json").read_text())
    assert [Path(one["path"]).parts[-3] for one in told["members"]] == ["seed-0", "seed-1"]
    version = Registry(tmp_path / "models").version("robot_nav", 1)
    assert version.provenance["run"] == "mean of seed-0, seed-1"
    (entrant,) = find_entrants([f"mean={done.path / 'select'}"], foreign=lambda *_: None)
    assert entrant.facts.kind == "ensemble"
    assert pipeline(steps=steps, **small).run(quiet=True).done == ()
    if "evaluate" in steps:
        assert done.facts["evaluate"]["entrants"][-1] == "mean of seeds"
        assert (done.path / "visualise/film.gif").is_file()
        assert (done.path / "export/bundle/policy.onnx").is_file()


@pytest.mark.slow
def test_an_ensemble_may_be_given(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    word = "ensemble:vote:runs/seed-0,runs/seed-1"
    done = pipeline(steps=["select", "register"], select={"given": word}).run(quiet=True)
    assert Registry(tmp_path / "models").version("robot_nav", 1).provenance["run"] == "vote of seed-0, seed-1"
    assert done.facts["select"]["given"] == word
    with pytest.raises(UserError, match=r"select\.given|runs/gone"):
        pipeline(steps=["select"], select={"given": "ensemble:runs/seed-0,runs/gone"}).run(quiet=True)
