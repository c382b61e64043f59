"""Checkpoints made by an attacker, with hashes that fit: refused with a message, nothing run, nothing
outside touched."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.files.manifest import MANIFEST
from robonav_ray.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    CheckpointWriter,
    Counters,
    open_checkpoint,
)  # fmt: skip
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from robonav_ray.runs.vetting import MAX_JSON_DEPTH
from robonav_ray.runtime.judge import load_policy
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.wiring import RunSession
from tests.e2e.test_local_wiring import SMALL
from tests.security.checkpoint_kinds import forge

OWNED = "the pickle was loaded"


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, OWNED))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the one-process wiring, which holds every kind of file."""
    folder = tmp_path_factory.mktemp("good")
    config = load_run_config(None, SMALL)
    wiring = LocalWiring(RunSession(config, describe_task(config), RunDirectory(folder), None, time.monotonic()))
    for _ in range(30):
        wiring.round()
    writer = CheckpointWriter(folder / "checkpoints", Counters(100, 10, 1.0, 1))
    wiring.save(writer)
    return writer.commit().path


@pytest.fixture
def evil(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "evil"))


def take_up(folder: Path) -> None:
    """Everything that `robonav train --local --resume` and `robonav evaluate` read of a checkpoint."""
    config = load_run_config(None, SMALL)
    checkpoint = open_checkpoint(folder)
    task = describe_task(config)
    load_policy(checkpoint, config, task)
    LocalWiring(RunSession(config, task, RunDirectory(folder.parent), checkpoint, time.monotonic())).close()


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        take_up(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_forger_can_forge(evil: Path) -> None:
    take_up(forge(evil))


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def pickled(folder: Path, canary: Path) -> bytes:
    return pickle.dumps(Bomb(canary))


def object_array(folder: Path, canary: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Bomb(canary)], dtype=object), allow_pickle=True)
    return file.getvalue()


def archive_of_objects(folder: Path, canary: Path) -> bytes:
    file = io.BytesIO()
    np.savez(file, obs=np.array([Bomb(canary)], dtype=object))
    return file.getvalue()


def deflated(folder: Path, canary: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "obs.npy", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (50000000,), }\n", bytes(50_000_000))
        )
    return file.getvalue()


def climbing(folder: Path, canary: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../obs.npy", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", b"x"))
    return file.getvalue()


def vast(folder: Path, canary: Path) -> bytes:
    return npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }\n", bytes(8))


def negative(folder: Path, canary: Path) -> bytes:
    return npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\n", bytes(8))


def no_header(folder: Path, canary: Path) -> bytes:
    return npy("__import__('pathlib').Path('" + str(canary) + "').touch()\n")


def deep_header(folder: Path, canary: Path) -> bytes:
    return npy("(" * 9000 + "\n")


def wide_header(folder: Path, canary: Path) -> bytes:
    return b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"{}"


def tensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


JSON = {
    "deep": b"[" * 200_000,
    "deep, whole": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "NaN": b'{"env_steps": NaN}',
    "beyond floats": b'{"env_steps": 1e999}',
    "long number": b'{"env_steps": ' + b"9" * 10_000 + b"}",
    "twice": b'{"env_steps": 1, "env_steps": 2}',
    "no text": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "nothing": b"",
    "null": b"null",
}
REPLACED: list[tuple[str, str, Callable[[Path, Path], bytes]]] = [
    *(
        ("a pickle", name, pickled)
        for name in ("replay/shard_000/rows.npy", "rollout/worker.npz", "learner/learner.safetensors")
    ),
    ("an array of objects", "replay/shard_000/rows.npy", object_array),
    ("an archive of objects", "rollout/worker.npz", archive_of_objects),
    ("an archive that unpacks to much", "rollout/worker.npz", deflated),
    ("an archive that climbs", "rollout/worker.npz", climbing),
    *((f.__name__, "replay/shard_000/leaf.npy", f) for f in (vast, negative, no_header, deep_header, wide_header)),
    *(
        (f"safetensors: {what}", "learner/learner.safetensors", lambda *_, data=data: data)
        for what, data in {
            "a vast header": tensors({}, length=2**62),
            "a vast tensor": tensors(
                {"online.w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, bytes(4)
            ),
            "before the file": tensors({"online.w": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, bytes(4)),
            "a deep header": tensors(b"[" * 100_000),
            "a list": tensors([1, 2]),
            "of no type": tensors({"online.w": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
            "none of ours": tensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
            "nothing": b"",
        }.items()
    ),
    *(
        (f"{name}: {what}", name, lambda *_, data=data: data)
        for name in (
            "counters.json",
            "curriculum.json",
            "learner/learner.json",
            "replay/replay.json",
            "rollout/weights.json",
        )
        for what, data in JSON.items()
    ),
]


@pytest.mark.parametrize(("what", "name", "make"), REPLACED, ids=[what for what, _, _ in REPLACED])
def test_a_file_that_is_not_what_its_name_says(
    evil: Path, tmp_path: Path, what: str, name: str, make: Callable[[Path, Path], bytes]
) -> None:
    canary = tmp_path / "canary"
    (evil / name).write_bytes(make(evil, canary))
    text = refused(forge(evil))
    assert str(evil) in text
    assert not canary.exists()


@pytest.mark.parametrize(("key", "value"), [
    ("env_steps", -1), ("env_steps", "7"), ("env_steps", 2**80), ("learner_steps", True), ("train_seconds", None),
    ("incarnation", 1.5), ("incarnation", [1]), ("more", 1),
])  # fmt: skip
def test_counters_that_no_run_counts(evil: Path, key: str, value: object) -> None:
    counters = json.loads((evil / "counters.json").read_text())
    (evil / "counters.json").write_text(json.dumps({**counters, key: value}))
    assert "counters.json" in refused(forge(evil))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curriculum.json", "learner/learner.json", "replay/replay.json",
                                  "replay/shard_000/shard.json", "rollout/weights.json"])  # fmt: skip
@pytest.mark.parametrize("value", [None, "x", -1, [], {}, 2**70])
def test_documents_with_anything_in_the_place_of_anything(evil: Path, name: str, value: object) -> None:
    document = json.loads((evil / name).read_text())
    for key in document:
        (evil / name).write_text(json.dumps({**document, key: value}))
        forge(evil)
        with contextlib.suppress(CheckpointError):  # some keys may hold that, for instance a list that is empty
            take_up(evil)


def test_weights_that_are_not_finite(evil: Path) -> None:
    path = evil / "learner" / "learner.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    path.write_bytes(data[: 8 + length] + np.full((len(data) - 8 - length) // 4, np.nan, np.float32).tobytes())
    assert re.search(r"evil/learner/learner\.safetensors: \S+ is nan and must be from", refused(forge(evil)))


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/hostname", "learner/../../outside.json", "a\\b", "./counters.json", ""]
)
def test_names_that_lead_outside(evil: Path, name: str) -> None:
    (evil.parent / "outside.json").write_text("{}")
    assert "outside of the checkpoint" in refused(forge(evil, **{"counters.json": name}))


def test_links_are_never_followed(evil: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (evil / "counters.json").unlink()
    (evil / "counters.json").symlink_to(secret)
    assert "is a link" in refused(forge(evil))
    (evil / "counters.json").unlink()
    shutil.move(evil / "replay", tmp_path / "elsewhere")
    (evil / "replay").symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refused(forge(evil))


def test_files_that_the_manifest_does_not_name(evil: Path) -> None:
    forge(evil)
    (evil / "rollout" / "more.npz").write_bytes(pickle.dumps(1))
    assert "more.npz: is not in the manifest" in refused(evil)


def test_a_pipe_in_the_place_of_a_file_does_not_hang(evil: Path) -> None:
    forge(evil)
    (evil / "counters.json").unlink()
    os.mkfifo(evil / "counters.json")
    assert "is missing" in refused(evil)


@pytest.mark.parametrize(
    "text", [*JSON.values(), b'{"format_version": 2, "created": 0, "files": {}}', b'{"files": []}']
)
def test_manifests_that_are_none(evil: Path, text: bytes) -> None:
    (evil / MANIFEST).write_bytes(text)
    assert MANIFEST in refused(evil)


def test_a_manifest_without_files(evil: Path) -> None:
    for path in list(evil.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "counters.json" in refused(forge(evil))


def test_depth_is_counted_outside_of_texts(evil: Path) -> None:
    name = "curriculum.json"
    document = json.loads((evil / name).read_text())
    document["stage_names"] = ["[" * (MAX_JSON_DEPTH + 5) + '"\\' for _ in document["stage_names"]]
    (evil / name).write_text(json.dumps(document))
    assert "nested" not in refused(forge(evil))
    assert isinstance(open_checkpoint(evil), Checkpoint)
