"""Versions and journals made by an attacker, with hashes that fit: refused with a message that names them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from robonav_ray.errors import UserError
from robonav_ray.files.manifest import MANIFEST, FileEntry, manifest_bytes
from robonav_ray.registry.by_name import located
from robonav_ray.registry.registry import Registry
from robonav_ray.registry.verifying import verify
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import REGISTRY_FILE
from robonav_ray.runs.stored_models import MAX_TEXT, MODEL_FILES, content_id
from robonav_ray.runs.task import describe_task
from tests.made_up_runs import make_run
from tests.odd_files import ODD_FILES, TOO_LARGE, put


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run = make_run(folder / "run")
    Registry(folder / "models").add(run.path, "m", alias="champion")
    return folder / "models"


@pytest.fixture
def evil(good: Path, tmp_path: Path) -> Path:
    """The folder of the one version, to be spoilt."""
    return Path(shutil.copytree(good, tmp_path / "models")) / "m" / "versions" / "1"


def forge(version: Path, **files: bytes) -> None:
    """Replace files and write a manifest whose hashes fit, as an attacker can; the provenance tells the content too."""
    for name, data in files.items():
        (version / f"{name}.{'safetensors' if name == 'weights' else 'json'}").write_bytes(data)
    entries = [_entry(version, name) for name in MODEL_FILES]
    if "provenance" not in files:
        told = json.loads((version / "provenance.json").read_text())
        (version / "provenance.json").write_text(json.dumps({**told, "content_id": content_id(entries)}))
    entries = [_entry(version, name) for name in MODEL_FILES]
    head = {"format_version": 1, "content_id": content_id(entries)}
    (version / MANIFEST).write_bytes(manifest_bytes(head, entries, {}))


def _entry(version: Path, name: str) -> FileEntry:
    data = (version / name).read_bytes()
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())


def taken_up(place: Path) -> int:
    """Return the version of the policy of `m@1`, opened as a verb opens it."""
    with located(f"{place}/m@1") as found:
        config = found.run.config
        return load_policy(found.checkpoint, config, describe_task(config)).version


def refused(version: Path) -> str:
    """Return what both a verb and `registry promote` or `verify` say."""
    place = version.parents[2]
    with pytest.raises((UserError, OSError)) as caught:
        taken_up(place)
    said = str(caught.value)
    assert "\n" not in said
    assert verify(Registry(place), "m").problems
    return said


def test_the_forger_can_forge(evil: Path) -> None:
    forge(evil)
    assert taken_up(evil.parents[2]) == 1


def provenance(version: Path, **changed: Any) -> bytes:
    return json.dumps({**json.loads((version / "provenance.json").read_text()), **changed}).encode()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"env_steps": -1}, "env_steps is -1"),
        ({"env_steps": 10**13}, "env_steps"),
        ({"policy_version": 0}, "policy_version is 0"),
        ({"policy_version": True}, "policy_version"),
        ({"train_s": "long"}, "train_s"),
        ({"network": "mine"}, "neither online nor averaged"),
        ({"run": 3}, "run: is no text"),
        ({"run": "x" * (MAX_TEXT + 1)}, "run: is no text"),
        ({"versions": []}, "versions: is no mapping"),
        ({"more": 1}, "has not the keys"),
        ({"content_id": "0" * 64}, "content_id: is that of another version"),
        ({"format_version": 2}, "format_version"),
    ],
)
def test_provenance_is_vetted_by_value(evil: Path, changed: dict[str, Any], message: str) -> None:
    forge(evil, provenance=provenance(evil, **changed))
    assert message in refused(evil)


WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "not finite": (lambda: save({"head.bias": np.full(2, np.nan, np.float32)}), "head.bias[0] is nan"),
    "of another shape": (lambda: save({"head.bias": np.zeros(99, np.float32)}), "does not fit"),
    "none": (lambda: save({}), "does not fit"),
    "a header of terabytes": (lambda: (1 << 40).to_bytes(8, "little") + b"{}", "claims a header"),
    "beyond the file": (
        lambda: _tensors({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}), "lies outside",
    ),
    "no tensors": (lambda: b"\x80\x04pickled", "header"),
    "nothing": (lambda: b"", "header"),
}  # fmt: skip


def _tensors(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_vetted_by_value(evil: Path, kind: str) -> None:
    make, message = WEIGHTS[kind]
    forge(evil, weights=make())
    assert message in refused(evil)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("weights.safetensors", kind) for kind in (*ODD_FILES, "5 GB")),
        *((name, kind) for name in ("provenance.json", MANIFEST) for kind in ("link to a file", "pipe", "5 GB")),
    ],
)
def test_odd_files_in_a_version_are_refused(evil: Path, name: str, kind: str) -> None:
    put(TOO_LARGE if kind == "5 GB" else ODD_FILES[kind], evil / name)
    refused(evil)


def test_a_version_holds_nothing_else_and_is_no_link(evil: Path, tmp_path: Path) -> None:
    (evil / "more.py").write_text("x")
    assert "more.py: is not in the manifest" in refused(evil)
    (evil / "more.py").unlink()
    evil.rename(tmp_path / "elsewhere")
    evil.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError), located(f"{evil.parents[2]}/m@1"):
        pass
    evil.unlink()
    (tmp_path / "elsewhere").rename(evil)
    (evil.parents[1] / "journal").rename(tmp_path / "journal")
    (evil.parents[1] / "journal").symlink_to(tmp_path / "journal")
    with pytest.raises((UserError, OSError), match="link"):
        Registry(evil.parents[2]).journal("m")


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "sub/../../x"])
def test_a_manifest_names_nothing_outside(evil: Path, name: str) -> None:
    entries = [_entry(evil, each) for each in MODEL_FILES[:-1]]
    entries.append(FileEntry(name, 1, "0" * 64))
    head = {"format_version": 1, "content_id": content_id(entries)}
    (evil / MANIFEST).write_bytes(manifest_bytes(head, entries, {}))
    assert "files: are not" in refused(evil)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"aliases": {"champion": {"version": 9, "generation": 1}}}, "name a version that there is not"),
        ({"aliases": {"../x": {"version": 1, "generation": 1}}}, "is no name of an alias"),
        ({"aliases": {"champion": {"version": 1, "generation": -1}}}, "generation is -1"),
        ({"versions": [0]}, "versions[0] is 0"),
        ({"kind": "Moved!"}, "kind: is no word"),
        ({"reason": "x" * 5000}, "reason: is no text"),
        ({"number": 7}, "number: is not 2"),
        ({"evidence_sha256": "../../etc/passwd"}, "evidence_sha256: is no hash"),
        ({"facts": []}, "facts: is no mapping"),
        ({"more": 1}, "has not the keys"),
    ],
)
def test_the_journal_is_vetted_by_value(evil: Path, changed: dict[str, Any], message: str) -> None:
    entry = evil.parents[1] / "journal" / f"{2:012d}.json"
    entry.write_text(json.dumps({**json.loads(entry.read_text()), **changed}))
    with pytest.raises(UserError) as caught:
        Registry(evil.parents[2]).aliases("m")
    assert message in str(caught.value)
    assert str(entry.name) in str(caught.value)


@pytest.mark.parametrize("kind", [*ODD_FILES, "5 GB"])
def test_odd_files_in_the_journal_are_refused(evil: Path, kind: str) -> None:
    put(TOO_LARGE if kind == "5 GB" else ODD_FILES[kind], evil.parents[1] / "journal" / f"{2:012d}.json")
    registry = Registry(evil.parents[2])
    before = sorted(os.listdir(evil.parents[1] / "journal"))
    for look in (registry.journal, registry.aliases):
        with pytest.raises(UserError, match=r"000000000002\.json"):
            look("m")
    with pytest.raises(UserError, match=r"000000000002\.json"):
        registry.set_alias("m", "staging", 1, expected_generation=0)
    assert sorted(os.listdir(evil.parents[1] / "journal")) == before


def test_what_a_version_says_of_itself_is_shown_as_text(evil: Path, robonav_here: Callable[..., Any]) -> None:
    forge(evil, provenance=provenance(evil, run="\x1b[31m[red]x[/]", reason="a\nrobonav: done"))
    entries = [_entry(evil, name) for name in MODEL_FILES]
    head = {"format_version": 1, "content_id": content_id(entries)}
    (evil / MANIFEST).write_bytes(manifest_bytes(head, entries, {}))
    said = robonav_here("registry", "show", "m@1", "--registry", evil.parents[2])
    assert said.returncode == 0
    assert "\x1b[31m" not in said.stdout
    assert r"\x1b[31m[red]x[/]" in said.stdout


def test_a_link_in_place_of_a_model_or_of_the_lock_is_not_followed(evil: Path, tmp_path: Path) -> None:
    place = evil.parents[2]
    (tmp_path / "outside").mkdir()
    (place / "other").symlink_to(tmp_path / "outside")
    with pytest.raises((UserError, OSError), match="link"):
        Registry(place).aliases("other")
    put(lambda path: path.symlink_to(tmp_path / "outside" / "made"), place / "m" / ".lock")
    with pytest.raises((UserError, OSError), match="link"):
        Registry(place).promote("m", 1, alias="staging")
    assert list((tmp_path / "outside").iterdir()) == []
    assert (place / REGISTRY_FILE).is_file()
