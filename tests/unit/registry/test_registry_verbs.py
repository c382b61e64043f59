"""`robonav registry`, and the verbs and calls that take a model by name where a run is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.registry.mirror import Told
from robonav_ray.registry.registry import Registry
from robonav_ray.registry.verifying import verify
from robonav_ray.runs.listing import list_runs
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.initial_weights import find_initial
from tests.made_up_runs import TINY, make_run

Robonav = Callable[..., Any]


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `runs/first`, `runs/second` and the registry where it lies by default."""
    monkeypatch.delenv("ROBONAV_REGISTRY", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second", "models"):
        shutil.copytree(made / name, tmp_path / "runs" / name)
    return tmp_path


def test_from_a_run_to_a_champion_and_back(here: Path, robonav_here: Robonav) -> None:
    shutil.rmtree(here / "runs" / "models")
    assert "no models in runs/models" in robonav_here("registry", "list").stdout
    said = robonav_here("registry", "add", "runs/first", "--name", "robot_nav")
    assert said.stdout.startswith("robot_nav@1: env-000000000200 of first (last), 200 env steps; aliases: challenger\n")
    assert "robonav registry promote robot_nav@challenger" in said.stdout
    assert robonav_here("registry", "promote", "robot_nav@challenger").stdout == (
        "robot_nav@champion: new -> version 1 (generation 1, journal entry 3)\n"
    )
    added = json.loads(robonav_here("registry", "add", "runs/second", "--name", "robot_nav", "--json").stdout)
    assert (added["ref"], added["aliases"], added["provenance"]["run"]) == ("robot_nav@2", ["challenger"], "second")
    moved = json.loads(robonav_here("registry", "promote", "robot_nav@2", "--reason", "won", "--json").stdout)
    assert (moved["version"], moved["generation"], moved["entry"]["reason"]) == (2, 2, "won")
    listed = json.loads(robonav_here("registry", "list", "--json").stdout)
    assert listed[0]["aliases"] == {
        "challenger": {"version": 2, "generation": 2},
        "champion": {"version": 2, "generation": 2},
    }
    back = robonav_here("registry", "rollback", "robot_nav", "--reason", "collides")
    assert back.stdout == "robot_nav@champion: version 2 -> version 1 (generation 3, journal entry 7)\n"
    shown = json.loads(robonav_here("registry", "show", "robot_nav", "--json").stdout)
    assert [entry["kind"] for entry in shown["journal"]][-1] == "rolled_back"
    differs = json.loads(robonav_here("registry", "diff", "robot_nav@1", "robot_nav@2", "--json").stdout)
    assert {one["part"] for one in differs["differences"]} == {"origin", "weights"}
    assert robonav_here("registry", "verify").stdout == "robot_nav: 2 versions, 7 journal entries: whole\n"


def test_tables_fit_eighty_columns_and_tell_what_there_is(here: Path, robonav_here: Robonav) -> None:
    seen = {}
    for words in (
        ["list"],
        ["show", "robot_nav"],
        ["show", "robot_nav@champion"],
        ["diff", "robot_nav@1", "robot_nav@2"],
    ):
        seen[words[-1]] = robonav_here("registry", *words).stdout
        assert max(map(len, seen[words[-1]].splitlines())) <= 80, words
    assert "robot_nav" in seen["list"]
    assert "moved champion" in seen["robot_nav"]
    assert "env-000000000200" in seen["robot_nav@champion"]


def test_mirrors_are_told_again_and_one_that_fails_is_exit_code_1(
    here: Path, robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = robonav_here("registry", "sync")
    assert said.stdout == (
        "robot_nav: no mirror is on in the configs of its versions (tracking.mlflow, tracking.wandb)\n"
    )
    told = [Told("robot_nav@1", "mlflow", None), Told("robot_nav@2", "mlflow", "no answer")]
    monkeypatch.setattr(Registry, "sync", lambda self, name: told)
    said = robonav_here("registry", "sync", "robot_nav")
    assert said.returncode == 1
    assert said.stdout == "robot_nav: 1 of 2 calls taken over by mlflow\n"
    told.pop()
    assert json.loads(robonav_here("registry", "sync", "--json").stdout) == {
        "robot_nav": [{"ref": "robot_nav@1", "mirror": "mlflow", "failure": None}]
    }


REFUSED: dict[str, tuple[list[str], str]] = {
    "a name with a slash": (["add", "runs/first", "--name", "a/b"], "'a/b' is no name of a model"),
    "no run": (["add", "runs/nowhere", "--name", "a"], "runs/nowhere: is not a run directory"),
    "another checkpoint": (["add", "runs/first", "--name", "a", "--checkpoint", "first"], "must be best or last"),
    "no alias": (["show", "robot_nav@champoin"], "did you mean 'champion'"),
    "no model": (["show", "robot_nva"], "did you mean 'robot_nav'"),
    "no version": (["promote", "robot_nav@9"], "there are 1, 2"),
    "no reference": (["promote", "robot_nav"], "write NAME@ALIAS or NAME@NUMBER"),
    "an alias like a number": (["promote", "robot_nav@1", "--alias", "3"], "is no name of an alias"),
    "a generation that is over": (["promote", "robot_nav@2", "--generation", "0"], "has moved meanwhile"),
    "nowhere to go back to": (["rollback", "robot_nav"], "never stood elsewhere"),
    "no bucket": (["list", "--registry", "s3://"], "names no bucket"),
    "a secret in the place": (["list", "--registry", "s3://me:secret@bucket/models"], "a password in it"),
    "two models": (["diff", "robot_nav@1", "other@1"], "other: there is no such model"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_end_with_one_message_and_change_nothing(here: Path, robonav_here: Robonav, mistake: str) -> None:
    words, message = REFUSED[mistake]
    before = sorted(path for path in (here / "runs" / "models").rglob("*"))
    said = robonav_here("registry", *words)
    assert (said.returncode, said.stdout) == (2, "")
    assert message in said.stderr
    assert said.stderr.count("robonav: ") == 1
    assert "secret" not in said.stderr
    assert sorted(path for path in (here / "runs" / "models").rglob("*")) == before


def test_verify_names_what_is_damaged(here: Path, robonav_here: Robonav) -> None:
    weights = here / "runs/models/robot_nav/versions/2/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    said = robonav_here("registry", "verify")
    assert said.returncode == 1
    assert "robot_nav@2: " in said.stderr
    assert "weights.safetensors: does not match its hash" in said.stderr
    said = robonav_here("evaluate", "robot_nav@2", "--episodes", "2")
    assert said.returncode == 2
    assert "versions/2/weights.safetensors: does not match its hash" in said.stderr


def test_an_evaluation_lies_beside_the_versions_and_changes_none(here: Path, robonav_here: Robonav) -> None:
    said = robonav_here("evaluate", "robot_nav@champion", "--episodes", "2", "--json")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["policy"] == "robot_nav@1"
    folder = Path(found["written"][0]).parent
    assert folder.parent == Path("runs/models/robot_nav/evaluations/1")
    assert (folder / "evaluation.json").is_file()
    assert verify(Registry(here / "runs/models"), "robot_nav").problems == []
    assert [facts.name for facts in list_runs(here / "runs")] == ["first", "second"]  # a version is no run
    said = robonav_here("evaluate", "robot_nav@champion", "evaluation.weights=online")
    assert said.returncode == 2
    assert "holds the averaged network alone" in said.stderr
    said = robonav_here("train", "--resume", "robot_nav@champion")
    assert said.returncode == 2
    assert "--init-from robot_nav@champion" in said.stderr
    said = robonav_here("plot", "robot_nav@champion")
    assert said.returncode == 2
    assert "robot_nav@1: a version of a model has no curves; name the run that it came from" in said.stderr


def test_a_run_begins_with_the_weights_of_a_model(here: Path) -> None:
    config = load_run_config(None, TINY)
    task = describe_task(config)
    by_name, by_path = (find_initial(where, config, task) for where in ("robot_nav@champion", "runs/first"))
    assert not by_name.left
    assert by_name.env_steps == by_path.env_steps == 200
    assert all(np.array_equal(array, by_path.arrays[name]) for name, array in by_name.arrays.items())
    assert (by_name.source, by_name.checkpoint) == ("runs/models/robot_nav/versions/1", "1")


def test_models_take_part_in_an_exam_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "runs" / "native", ("name=mine", "algo.hidden_dims=[8]"), steps=(100, 200))
    registry = Registry("runs/models")
    for checkpoint, alias in (("env-000000000100", "champion"), ("env-000000000200", "challenger")):
        registry.add(run.checkpoints / checkpoint, "m", alias=alias)
    found = find_entrants(["m@champion", "mine=m@2", "orca", "runs/native"], foreign=lambda *_: None)
    assert [entrant.facts.name for entrant in found] == ["m@1", "mine", "orca", "native"]
    assert [entrant.facts.source for entrant in found[:2]] == ["runs/models/m/versions/1", "runs/models/m/versions/2"]
    assert found[0].facts.method == "m@1"
    assert found[1].fingerprint == found[3].fingerprint != found[0].fingerprint
    again = find_entrants([f"m@1={found[0].facts.source}"], foreign=lambda *_: None)  # as an exam is replayed
    assert (again[0].facts.name, again[0].fingerprint) == ("m@1", found[0].fingerprint)
