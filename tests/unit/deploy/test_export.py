"""A run becomes a bundle; what is no bundle, or none any more, is refused by name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import robonav_ray
from robonav_policy import BundleError, Policy, ScanError, read_bundle
from robonav_policy.policy import ARRIVED
from robonav_policy.spec import parse_spec
from robonav_ray.errors import UserError
from robonav_ray.files.manifest import FileEntry, manifest_bytes
from robonav_ray.registry.registry import Registry
from robonav_ray.runs.run_directory import RunDirectory
from tests.conftest import Robonav
from tests.made_up_runs import TINY, make_run

ROOT = Path(__file__).parents[3]
GOAL, POSE = (3.0, 1.0), (0.0, 0.0, 0.0)


def open_space(policy: Policy) -> np.ndarray:
    return np.full(policy.spec.scan.num_beams, policy.spec.scan.range_max)


def rewritten(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the spec, and make the manifest fit it again."""
    spec = json.loads((bundle / "spec.json").read_text())
    change(spec)
    (bundle / "spec.json").write_text(json.dumps(spec))
    manifest = json.loads((bundle / "manifest.json").read_text())
    entries = []
    for name in manifest["files"]:
        data = (bundle / name).read_bytes()
        entries.append(FileEntry(name, len(data), hashlib.sha256(data).hexdigest()))
    head = {"kind": manifest["kind"], "format_version": manifest["format_version"]}
    (bundle / "manifest.json").write_bytes(manifest_bytes(head, entries, {}))
    return bundle


def test_a_bundle_holds_what_a_robot_needs(made_bundle: Path, small_run: RunDirectory) -> None:
    found, files = read_bundle(made_bundle), {path.name for path in made_bundle.iterdir()}
    assert files == {
        "policy.onnx",
        "policy.npz",
        "spec.json",
        "manifest.json",
        "README.md",
        "robonav_policy",
        "robonav_nav",
    }
    assert sum(path.stat().st_size for path in made_bundle.rglob("*") if path.is_file()) < 2_000_000
    spec = found.spec.document
    assert spec["scan"]["num_beams"] * spec["scan"]["stack"] + 12 == spec["observation"]["size"] == found.spec.obs_dim
    assert spec["actions"]["columns"] == ["v (m/s)", "omega (rad/s)"]
    assert spec["actions"]["table"][-1] == [1.0, 1.5]
    assert (spec["rate"]["hz"], spec["body"]["radius_m"], spec["limits"]["max_speed"]) == (10.0, 0.25, 1.0)
    assert spec["training"]["config"]["algo"]["hidden_dims"] == [16]
    assert (spec["provenance"]["run"], spec["provenance"]["checkpoint"]) == ("small", "env-000000000100")
    assert {row["name"] for row in spec["observation"]["numbers"]} >= {"scan 0", "goal distance", "time_left"}
    assert str(ROOT).encode() not in found.files["policy.onnx"], "no file of this machine is named"


def test_the_same_run_gives_the_same_bundle_and_another_is_not_replaced(
    small_run: RunDirectory, made_bundle: Path, bundle: Path, tmp_path: Path
) -> None:
    again = robonav_ray.export(small_run.path, out=bundle, format=("numpy", "onnx"))
    assert not again.is_new
    assert again.sha256 == read_bundle(made_bundle).sha256
    with pytest.raises(UserError, match="holds another bundle already"):
        robonav_ray.export(small_run.path, out=bundle, format="numpy")
    (bundle / "policy.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"policy\.onnx.*nothing was written: remove the folder, or name another"):
        robonav_ray.export(small_run.path, out=bundle, format="numpy")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files already"):
        robonav_ray.export(small_run.path, out=tmp_path / "mine", format="numpy")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    beside = robonav_ray.export(small_run.path, format="numpy")
    assert beside.folder == small_run.path / "bundles" / "env-000000000100"
    assert beside.is_new


def test_a_bundle_drives(made_bundle: Path) -> None:
    policies = [Policy.load(made_bundle, kind=kind) for kind in ("onnx", "numpy")]
    for policy in policies:
        twist = policy.act(open_space(policy), POSE, GOAL)
        assert policy.last.problem is None
        assert twist == tuple(pytest.approx(float(v)) for v in policy.spec.actions[policy.last.action])
    first, second = (policy.last.q_values for policy in policies)
    assert np.allclose(first, second, atol=1e-5)
    policy = policies[0]
    assert policy.act(open_space(policy), POSE, []) == (0.0, 0.0)
    assert policy.last.problem == ARRIVED


@pytest.mark.parametrize(
    ("scan", "pose", "goal", "said"),
    [
        ([], POSE, GOAL, "is empty"),
        (np.full(36, np.nan), POSE, GOAL, "no measured range"),
        (None, (0.0, np.inf, 0.0), GOAL, "pose"),
        (None, (0.0, 0.0), GOAL, "pose"),
        (None, POSE, (1.0, np.nan), "goal"),
        (None, POSE, (1.0, 2.0, 3.0), "goal"),
    ],
)
def test_what_a_sensor_gives_stops_a_robot_and_raises_nothing(
    made_bundle: Path, scan: Any, pose: Any, goal: Any, said: str
) -> None:
    policy = Policy.load(made_bundle, kind="numpy")
    assert policy.act(open_space(policy) if scan is None else scan, pose, goal) == (0.0, 0.0)
    assert policy.last.problem is not None
    assert said in policy.last.problem
    assert policy.problems == 1
    policy.act(open_space(policy), POSE, GOAL)
    assert policy.last.problem is None, "it goes on with the next good scan"


def test_a_lidar_that_sees_less_is_refused_unless_allowed(made_bundle: Path) -> None:
    half = SimpleNamespace(
        ranges=[2.0] * 181, angle_min=-1.57, angle_increment=3.14 / 180, range_min=0.1, range_max=8.0
    )
    policy = Policy.load(made_bundle, kind="numpy")
    assert policy.act(half, POSE, GOAL) == (0.0, 0.0)
    assert "blind in" in str(policy.last.problem)
    from robonav_policy import Lidar

    narrow = Lidar(181, -1.57, 3.14 / 180, 8.0, 0.1)
    with pytest.raises(ScanError, match="allow_less"):
        Policy.load(made_bundle, lidar=narrow)
    allowed = Policy.load(made_bundle, lidar=narrow, allow_less=True, kind="numpy")
    allowed.act(half, POSE, GOAL)
    assert allowed.last.problem is None
    assert allowed.last.unseen_frac == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            lambda b: (b / "policy.onnx").write_bytes(b"x" * (b / "policy.onnx").stat().st_size),
            "does not match its hash",
        ),
        (lambda b: (b / "policy.onnx").write_bytes(b""), "does not match its hash"),
        (lambda b: (b / "robonav_policy/policy.py").write_text("import os"), "does not match its hash"),
        (lambda b: (b / "spec.json").unlink(), "spec.json: is missing"),
        (lambda b: (b / "manifest.json").unlink(), "manifest.json: is missing"),
        (lambda b: (b / "manifest.json").write_text("{}"), "hash that it holds of itself"),
        (lambda b: (b / "extra.py").write_text(""), "is not named by the manifest"),
        (lambda b: rewritten(b, lambda s: s.update(format_version=99)), "format_version is 99"),
        (lambda b: rewritten(b, lambda s: s["units"].update(length="ft")), "units are"),
        (lambda b: rewritten(b, lambda s: s["scan"].update(num_beams=30)), "observation.size"),
        (lambda b: rewritten(b, lambda s: s["scan"].update(range_max=float("nan"))), "scan.range_max"),
        (lambda b: rewritten(b, lambda s: s["actions"].update(table=[[0, 0]] * 9)), "Q values"),
        (lambda b: rewritten(b, lambda s: s.pop("limits")), "limits: is missing"),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused(
    bundle: Path, harm: Callable[[Path], object], said: str, robonav_here: Robonav
) -> None:
    harm(bundle)
    done = robonav_here("export", "--verify", bundle)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    if "not named" not in said:
        with pytest.raises(BundleError):
            Policy.load(bundle)


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    float("nan"),
    float("inf"),
    -0.5,
    "x",
    "",
    [],
    {},
    [[1, 2]],
    [["a", 1]],
)


def leaves(found: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return [path, *(one for key, value in below for one in leaves(value, (*path, key)))]


def test_a_spec_of_any_values_is_read_or_refused(made_bundle: Path) -> None:
    """Whoever can write the hashes can write the values: none of them ends in another error."""
    read, kept = (made_bundle / "spec.json").read_text(), ("training", "evaluation", "provenance", "algorithm")
    places = [path for path in leaves({k: v for k, v in json.loads(read).items() if k not in kept}) if path]
    places = [path for path in places if path[:2] != ("observation", "numbers")]
    refused = 0
    for path in places[:: max(1, len(places) // 50)]:
        for odd in ODD:
            spec = json.loads(read)
            above = spec
            for key in path[:-1]:
                above = above[key]
            above[path[-1]] = odd
            try:
                parse_spec(spec)
            except BundleError:
                refused += 1
    assert refused > 200


def test_links_and_odd_files_are_no_parts_of_a_bundle(bundle: Path, tmp_path: Path) -> None:
    (bundle / "README.md").rename(tmp_path / "elsewhere.md")
    (bundle / "README.md").symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(BundleError, match=r"README\.md"):
        read_bundle(bundle)
    (bundle / "README.md").unlink()
    os.mkfifo(bundle / "README.md")
    with pytest.raises(BundleError, match="no plain file"):
        read_bundle(bundle)


def test_a_whole_bundle_is_told(made_bundle: Path, robonav_here: Robonav) -> None:
    done = robonav_here("export", "--verify", made_bundle, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["obs_dim"] == 120
    assert told["checked"][-2:] == ["policy.onnx answers", "policy.npz answers"]
    assert "opset 20" in " ".join(told["checked"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (TINY, "env.id=CartPole-v1"),
        (("algo.hidden_dims=[8]", "env.world.observation=state"), "true state"),
        (("algo.hidden_dims=[8]", "env.world.observation=neighbors"), "env.world.observation=neighbors"),
    ],
)
def test_a_run_that_no_robot_can_drive_with_is_refused(
    tmp_path: Path, overrides: tuple[str, ...], said: str, robonav_here: Robonav
) -> None:
    run = make_run(tmp_path / "run", overrides, steps=(100,))
    done = robonav_here("export", run.path, "--out", tmp_path / "bundle")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "bundle").exists()


def test_wrong_words_are_refused(small_run: RunDirectory, made_bundle: Path, robonav_here: Robonav) -> None:
    for words, said in (
        ((), "one of the two"),
        ((small_run.path, "--verify", made_bundle), "one of the two"),
        ((small_run.path, "--format", "onxx"), "none of onnx, pt2, numpy"),
        ((small_run.path, "--out", "s3://bucket/x"), "folder of this machine"),
        (("nowhere",), "nowhere"),
        (("--verify", small_run.path), "manifest.json: is missing"),
        (("--verify", made_bundle, "--format", "numpy"), "leave --out"),
    ):
        done = robonav_here("export", *words)
        assert done.returncode == 2, words
        assert said in " ".join(done.stderr.split()), words


def test_a_version_of_a_model_carries_its_bundle(
    small_run: RunDirectory, tmp_path: Path, robonav_here: Robonav
) -> None:
    place = tmp_path / "models"
    added = robonav_here("registry", "add", small_run.path, "--name", "robot_nav", "--registry", place)
    assert added.returncode == 0
    word = f"{place}/robot_nav@challenger"
    assert robonav_here("export", word, "--format", "numpy").returncode == 0
    assert "nothing was written" in robonav_here("export", word, "--format", "numpy").stdout
    registry = Registry(place)
    entry = registry.journal("robot_nav")[-1]
    assert (entry.kind, entry.facts["version"]) == ("bundle", 1)
    bundle = place / "robot_nav" / "bundles" / "1"
    assert entry.facts["bundle_sha256"] == read_bundle(bundle).sha256
    assert read_bundle(bundle).spec.name == "robot_nav@1"
    shown = json.loads(robonav_here("registry", "show", "robot_nav@1", "--registry", place, "--json").stdout)
    assert shown["bundle"]["sha256"] == entry.facts["bundle_sha256"]
    assert robonav_here("registry", "verify", "--registry", place).returncode == 0
    (bundle / "policy.npz").write_bytes(b"")
    done = robonav_here("registry", "verify", "--registry", place)
    assert done.returncode == 1
    assert "policy.npz" in done.stderr
    assert "written" in robonav_here("export", word, "--format", "numpy").stdout, "a damaged one is replaced"


LIGHT = """
import sys
sys.path.insert(0, sys.argv[1])
import robonav_policy
loaded = {"torch", "ray", "numba", "robonav_ray", "onnxruntime"} & sys.modules.keys()
assert not loaded, loaded
assert robonav_policy.__file__.startswith(sys.argv[1]), robonav_policy.__file__
policy = robonav_policy.Policy.load(sys.argv[1])
policy.act([5.0] * 36, (0.0, 0.0, 0.0), (3.0, 1.0))
assert policy.last.problem is None
loaded = {"torch", "ray", "numba", "robonav_ray"} & sys.modules.keys()
assert not loaded, loaded
"""


def test_a_bundle_drives_where_nothing_of_ours_is_installed(bundle: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(bundle)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(bundle)
