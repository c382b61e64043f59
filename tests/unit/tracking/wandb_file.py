"""The ``.wandb`` file of an offline run, read by hand: LevelDB's log format around protobuf records."""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def bodies(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log whose crc fits; the last one may have been cut off."""
    assert data[:4] == b":W&B", data[:HEADER]
    at, parts = HEADER, []
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # the end of a block that no header fits into
            at += BLOCK - at % BLOCK
            continue
        crc, length, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + HEADER : at + HEADER + length]
        if len(body) < length or kind == 0:
            return
        assert crc == zlib.crc32(bytes([kind]) + body), f"the record at {at} is damaged"
        parts.append(body)
        at += HEADER + length
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


@dataclass
class Offline:
    """All that the sessions of a run have written, in their order."""

    ids: set[str] = field(default_factory=set)
    group: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    artifacts: list[tuple[str, str, list[str], list[str]]] = field(default_factory=list)
    """(name, type, aliases, files)"""
    alerts: list[tuple[str, str]] = field(default_factory=list)
    metrics: list[tuple[str, str]] = field(default_factory=list)
    """(name or glob, step metric)"""
    exit_codes: list[int] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)


def read_offline(directory: Path) -> Offline:
    """Read every session below ``directory/wandb``."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = Offline()
    for path in sorted(directory.glob("wandb/*run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        for body in bodies(path.read_bytes()):
            record = Record()
            record.ParseFromString(body)
            _take(found, record)
    return found


def _take(found: Offline, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    found.kinds.add(kind)
    if kind == "run":
        found.ids.add(record.run.run_id)
        found.group = record.run.run_group
        found.config |= _values(record.run.config.update)
    elif kind == "config":
        found.config |= _values(record.config.update)
    elif kind == "history":
        found.rows.append(_values(record.history.item))
    elif kind == "summary":
        found.summary |= _values(record.summary.update)
    elif kind == "files":
        found.files += [file.path for file in record.files.files]
    elif kind == "artifact":
        artifact = record.artifact
        names = [entry.path for entry in artifact.manifest.contents]
        found.artifacts.append((artifact.name, artifact.type, sorted(artifact.aliases), names))
    elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
        artifact = record.request.log_artifact.artifact
        names = [entry.path for entry in artifact.manifest.contents]
        found.artifacts.append((artifact.name, artifact.type, sorted(artifact.aliases), names))
    elif kind == "alert":
        found.alerts.append((record.alert.title, record.alert.text))
    elif kind == "metric":
        found.metrics.append((record.metric.name or record.metric.glob_name, record.metric.step_metric))
    elif kind == "exit":
        found.exit_codes.append(record.exit.exit_code)


def _values(items: Any) -> dict[str, Any]:
    return {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}
