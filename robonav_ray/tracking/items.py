"""What is tracked beside scalars: histograms, which stand in the spool themselves, and assets, which lie in files of
the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.histograms import HISTOGRAM, MAX_NAME, Histogram, check_name

SCALARS = "scalars"
"""Kind of what every point has."""


class Kind(StrEnum):
    """What an asset is, and how its file is written."""

    PICTURE = "picture"
    """png or jpg."""
    FILM = "film"
    """gif or mp4."""
    GRAPH = "graph"
    """json: ``{"nodes": [{"name", "op", "inputs": [names], "shape": [sizes]}]}``."""
    EMBEDDING = "embedding"
    """npz: vector (N, D) float32, label (N,) str, and where there are any thumbnail (N, H, W, 3) uint8."""
    TABLE = "table"
    """csv with a header."""
    FILE = "file"
    """Anything else."""


ALL_KINDS = frozenset((SCALARS, HISTOGRAM, *(str(kind) for kind in Kind)))


@dataclass(frozen=True)
class Asset:
    """Something that lies in a file below the run's directory."""

    kind: Kind
    name: str
    """As ``evaluation/curves``; its parts are separated by slashes."""
    path: Path
    note: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a backend may show with it."""

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def tag(self) -> str:
        """What stands once at a step."""
        return f"{self.kind}:{self.name}"


Item = Histogram | Asset


_BY_SUFFIX = {".png": Kind.PICTURE, ".jpg": Kind.PICTURE, ".jpeg": Kind.PICTURE, ".gif": Kind.FILM, ".mp4": Kind.FILM,
              ".csv": Kind.TABLE}  # fmt: skip


def asset_of(path: Path, directory: Path) -> Asset:
    """Return a file below ``directory`` as what its suffix says that it is, named after where it lies; ValueError when
    it lies elsewhere.
    """
    kind = _BY_SUFFIX.get(path.suffix.lower(), Kind.FILE)
    below = path.relative_to(directory)
    return Asset(kind, (below if kind is Kind.FILE else below.with_suffix("")).as_posix()[-MAX_NAME:], path)


def as_json(item: Item, directory: Path) -> dict[str, Any]:
    """Return an item as it stands in the spool; the path of an asset is kept relative to ``directory``."""
    if isinstance(item, Histogram):
        return {"kind": HISTOGRAM, "name": item.name, "edges": _short(item.edges), "counts": _whole(item.counts)}
    below = item.path.relative_to(directory).as_posix()
    asset: dict[str, Any] = {"kind": str(item.kind), "name": item.name, "path": below}
    return asset | ({"note": dict(item.note)} if item.note else {})


def from_json(data: Any, directory: Path) -> Item | None:
    """Return what ``as_json`` wrote; None for what is no item, or one that leads out of ``directory``."""
    try:
        kind, name = data["kind"], data["name"]
        if kind == HISTOGRAM:
            return Histogram(name, np.array(data["edges"], np.float64), np.array(data["counts"], np.float64))
        below = Path(data["path"])
        if below.is_absolute() or ".." in below.parts or not below.parts:
            return None
        note = {str(key): str(value) for key, value in data.get("note", {}).items()}
        return Asset(Kind(kind), name, directory / below, note)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _short(edges: np.ndarray) -> list[float]:
    """Return the edges with 7 digits, where they still rise."""
    short = [float(f"{edge:.7g}") for edge in edges]
    return short if all(a < b for a, b in pairwise(short)) else edges.tolist()


def _whole(counts: np.ndarray) -> list[float]:
    return [int(count) if count == int(count) else count for count in counts.tolist()]
