"""How many values lie where: what travels of many numbers (weights, priorities, lengths) that a curve cannot show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

HISTOGRAM = "histogram"
"""What a histogram is called among the kinds of things that are tracked."""
MAX_BINS = 4096
MAX_NAME = 200


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


def check_name(name: str) -> None:
    """Raise ValueError for a name that no chart can have."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(
            f"{name[:MAX_NAME]!r} is no name of something tracked: write 1 to {MAX_NAME} characters that can be shown, "
            "for instance evaluation/curves"
        )


def count_between(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return (B,) int64: how many of the finite ``values`` (N,) lie between ``edges`` (B + 1,); those beyond an end are
    counted in the bin at that end.
    """
    finite = values[np.isfinite(values)]
    return np.histogram(np.clip(finite, edges[0], edges[-1]), edges)[0]
