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

SCALARS, HISTOGRAM = "scalars", "histogram"
"""Kinds of what needs no file of its own, beside those of ``Kind``."""
MAX_BINS = 4096
MAX_NAME = 200


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


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often values fell between neighbouring edges."""

    name: str
    edges: np.ndarray
    """(B + 1,) float64, rising."""
    counts: np.ndarray
    """(B,) float64, none negative."""

    def __post_init__(self) -> None:
        check_name(self.name)
        edges, counts = np.asarray(self.edges, np.float64), np.asarray(self.counts, np.float64)
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "counts", counts)
        if edges.ndim != 1 or counts.shape != (len(edges) - 1,) or not 1 <= len(counts) <= MAX_BINS:
            raise ValueError(
                f"histogram {self.name!r}: has edges {edges.shape} and counts {counts.shape}, and needs (B + 1,) and "
                f"(B,) with 1 to {MAX_BINS} bins"
            )
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
            raise ValueError(f"histogram {self.name!r}: its edges must be finite and rise")
        if not (np.isfinite(counts).all() and (counts >= 0).all()):
            raise ValueError(f"histogram {self.name!r}: its counts must be finite and not negative")

    @classmethod
    def of(cls, name: str, values: Any, num_bins: int = 30) -> Histogram:
        """Return how ``values`` (any shape) fall into equal bins from the least to the largest; what is not finite is
        left out.

        Raises:
            ValueError: When none is left.
        """
        flat = np.asarray(values, np.float64).ravel()
        flat = flat[np.isfinite(flat)]
        if not len(flat):
            raise ValueError(f"histogram {name!r}: needs at least one finite value")
        low, high = float(flat.min()), float(flat.max())
        try:
            counts, edges = np.histogram(flat, num_bins, (low, high))
        except ValueError:  # so near to each other that no edge fits between them
            width = max(abs(low), abs(high)) * 1e-6 + 1e-6
            counts, edges = np.histogram(flat, 1, (low - width, high + width))
        return cls(name, edges, counts)

    @property
    def tag(self) -> str:
        """What stands once at a step."""
        return f"{HISTOGRAM}:{self.name}"


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


def check_name(name: str) -> None:
    """Raise ValueError for a name that no chart can have."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(
            f"{name[:MAX_NAME]!r} is no name of something tracked: write 1 to {MAX_NAME} characters that can be shown, "
            "for instance evaluation/curves"
        )


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
