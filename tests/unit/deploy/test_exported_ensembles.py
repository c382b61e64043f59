"""An ensemble as a bundle and as a version of a model: one graph, one version, the same actions."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robonav_ray as rn
from robonav_policy.bundle import read_bundle
from robonav_policy.models import open_model
from robonav_ray.deploy import export as exporting
from robonav_ray.deploy import graph
from robonav_ray.deploy.checking import verify_bundle
from robonav_ray.deploy.export import export
from robonav_ray.errors import UserError
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.files.manifest import FileEntry, manifest_bytes
from robonav_ray.registry.contents import content_of
from robonav_ray.registry.registry import Registry
from robonav_ray.registry.verifying import verify
from robonav_ray.runs.checkpoint import CheckpointError
from robonav_ray.runs.ensembles import write_ensemble
from robonav_ray.runs.located import located
from robonav_ray.runs.policies import read_policy
from robonav_ray.runs.stored_models import content_id
from tests.made_up_runs import make_run

SMALL = ("algo.hidden_dims=[8]", "env.world.lidar.num_beams=9")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs by different algorithms, `mean/ensemble.json` and `vote/ensemble.json`, and `models` with both."""
    folder = tmp_path_factory.mktemp("exported")
    for seed, more in enumerate(((), ("algo.distribution=qr", "algo.reward_scale=0.05"))):
        make_run(folder / f"runs/{seed}", (*SMALL, f"seed={seed}", *more), steps=(100 + seed,))
    for how in ("mean", "vote"):
        write_ensemble(folder / how / "ensemble.json", how, [folder / "runs/0", folder / "runs/1"])  # type: ignore[arg-type]
        Registry(folder / "models").add(folder / how, "m")
    return folder


def obs_of(policy: Any) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1.0, 1.0, (200, policy.obs_dim)).astype(np.float32)


def entrant_policy(word: str) -> Any:
    (found,) = find_entrants([word], foreign=lambda *_: None)
    return found.policy  # type: ignore[attr-defined]


def test_the_mean_of_members_is_one_module(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one graph is exported, but for the seconds that torch's exporter takes."""
    modules = list[torch.nn.Module]()
    monkeypatch.setattr(graph, "onnx_bytes", lambda module, obs_dim: modules.append(module) or b"graph")
    monkeypatch.setattr(exporting, "check_model", lambda *_: None)
    bundle = export(made / "mean", out=tmp_path / "bundle")
    policy = entrant_policy(str(made / "mean"))
    obs = obs_of(policy)
    assert np.allclose(modules[0](torch.from_numpy(obs)).detach().numpy(), policy.q_values(obs), atol=1e-5)
    told = json.loads((bundle.folder / "spec.json").read_text())["provenance"]["ensemble"]
    assert (told["how"], [one["run"] for one in told["members"]]) == ("mean", ["0", "1"])
    assert not export(made / "mean/ensemble.json", out=tmp_path / "bundle").is_new
    shutil.copytree(made / "models", tmp_path / "models")
    carried = export(f"{tmp_path / 'models'}/m@1")
    assert json.loads((carried.folder / "spec.json").read_text())["provenance"]["ensemble"] == told


@pytest.mark.slow
def test_one_graph_takes_the_mean_of_members(made: Path, tmp_path: Path) -> None:
    bundle = export(made / "mean", out=tmp_path / "bundle")
    assert verify_bundle(bundle.folder).checked
    model, policy = open_model(read_bundle(bundle.folder)), entrant_policy(str(made / "mean"))
    obs = obs_of(policy)
    assert np.allclose(model(obs), policy.q_values(obs), atol=1e-5)
    (robot,) = find_entrants([str(bundle.folder)], foreign=lambda *_: None)
    assert robot.facts.kind == "bundle"


def test_a_version_acts_as_its_ensemble(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBONAV_REGISTRY", str(made / "models"))
    registry = Registry(made / "models")
    assert [version.number for version in registry.versions("m")] == [1, 2]
    assert verify(registry, "m").problems == []
    for number, how in ((1, "mean"), (2, "vote")):
        ours, theirs = entrant_policy(str(made / how)), entrant_policy(f"m@{number}")
        obs = obs_of(ours)
        assert np.array_equal(ours.greedy(obs), theirs.greedy(obs))
        assert np.array_equal(rn.load_policy(f"m@{number}").act(obs), ours.greedy(obs))
        with located(registry.version("m", number).location) as found:
            assert content_of(found, "again").content_id == registry.version("m", number).content_id
            with pytest.raises(CheckpointError, match="is an ensemble of several networks, and one is wanted here"):
                read_policy(found.checkpoint, "averaged")
    assert registry.add(made / "vote", "m").number == 2
    assert registry.version("m", 1).provenance["run"] == "mean of 0, 1"


@pytest.mark.parametrize(
    ("word", "options", "says"),
    [
        ("vote", {}, "its members vote, and a bundle holds one graph"),
        ("mean", {"format": "onnx,numpy"}, "holds the layers of one network"),
        ("mean", {"checkpoint": "last"}, "names a checkpoint of each member"),
        ("ensemble:{0}/runs/0,{0}/runs/1", {"out": None}, "--out DIR says where"),
    ],
)
def test_what_no_bundle_holds_is_refused(
    word: str, options: dict[str, Any], says: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    with pytest.raises(UserError, match=says):
        export(word.format(made), **{"out": tmp_path / "bundle", **options})
    assert not (tmp_path / "bundle").exists()


def without_a_weight(members: dict[str, Any]) -> None:
    members["members"].append(members["members"][0])


def with_another_config(members: dict[str, Any]) -> None:
    members["members"][1]["config"]["algo"]["hidden_dims"] = [9]


def with_no_config(members: dict[str, Any]) -> None:
    members["members"][1]["config"]["algo"] = {"hiden": 1}


def with_another_way(members: dict[str, Any]) -> None:
    members["how"] = "best"


def with_other_facts(members: dict[str, Any]) -> None:
    members["members"][0]["facts"]["env_steps"] = -1


@pytest.mark.parametrize(
    "change", [without_a_weight, with_another_config, with_no_config, with_another_way, with_other_facts]
)
def test_a_version_of_a_stranger_is_vetted(
    change: Callable[[dict[str, Any]], None], made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "models", tmp_path / "models")
    version = tmp_path / "models/m/versions/1"
    members = json.loads((version / "members.json").read_text())
    change(members)
    (version / "members.json").write_text(json.dumps(members))
    entries = [_entry(path) for path in sorted(version.iterdir()) if path.name != "manifest.json"]
    content = content_id(entries)
    provenance = json.loads((version / "provenance.json").read_text()) | {"content_id": content}
    (version / "provenance.json").write_text(json.dumps(provenance))
    entries = [_entry(version / entry.name) for entry in entries]
    (version / "manifest.json").write_bytes(manifest_bytes({"format_version": 1, "content_id": content}, entries, {}))
    with pytest.raises(UserError, match=r"versions/1"):
        entrant_policy(f"{tmp_path / 'models'}/m@1")
    assert verify(Registry(tmp_path / "models"), "m").problems


def _entry(path: Path) -> FileEntry:
    data = path.read_bytes()
    return FileEntry(path.name, len(data), hashlib.sha256(data).hexdigest())
