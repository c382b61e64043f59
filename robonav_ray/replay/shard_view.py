"""What a client knows of the shards: who they are, which to leave alone, and how to draw from all of them at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.replay.mixing import MixedDraw, mix, shard_probability, split_by_mass
from robonav_ray.replay.pacing import LedgerStats
from robonav_ray.replay.row_layout import RowLayout
from robonav_ray.replay.shard_records import ShardSample, ShardStats


class ReplayStats(NamedTuple):
    """Figures of the whole replay."""

    shards: list[ShardStats]
    """Of the shards that answered."""
    ledger: LedgerStats
    num_restarts: int
    """Shards replaced so far."""


class ShardView:
    """Handles by shard index, without those that were found dead (until replaced) or slow (for a while)."""

    def __init__(self) -> None:
        """Know no shard yet; life -1 is older than any."""
        self.life = -1
        self._handles: dict[int, Any] = {}
        self._blocked_until: dict[int, float] = {}

    def take(self, life: int, handles: list[Any]) -> None:
        """Take over a newer list of handles; a shard whose handle changed is trusted again."""
        if life != self.life:
            self.life = life
            same = {i for i, handle in enumerate(handles) if self._handles.get(i) == handle}
            self._blocked_until = {i: t for i, t in self._blocked_until.items() if i in same}
            self._handles = dict(enumerate(handles))

    def live(self) -> dict[int, Any]:
        """Return the shards to talk to now."""
        now = time.monotonic()
        return {i: h for i, h in self._handles.items() if self._blocked_until.get(i, 0.0) <= now}

    def block(self, index: int, seconds: float = float("inf")) -> None:
        """Leave a shard alone from now on."""
        self._blocked_until[index] = time.monotonic() + seconds


class ShardedDraw:
    """Draws calls from the shards that answer, by the masses in their previous answers."""

    def __init__(self, layout: RowLayout, seed: int) -> None:
        """``seed`` is of the split over shards and the order of rows; shards draw with their own rngs."""
        self._layout = layout
        self._rng = np.random.default_rng(seed)
        self._stats: dict[int, ShardStats] = {}

    def draw(
        self, num: int, live: Iterable[int], ask: Callable[[dict[int, int]], dict[int, ShardSample]]
    ) -> MixedDraw | None:
        """Return ``num`` rows mixed over the ``live`` shards, or None when one did not deliver or none has rows: try
        again.

        ``ask`` takes {shard: rows wanted} and returns the answers of those that gave one. A shard with nothing to draw
        is asked too: its answer says what its mass is now. Rows are copied out of the answers, which are not kept.
        """
        indices = list(live)
        unknown = [i for i in indices if i not in self._stats]
        if unknown:
            self._note(unknown, ask(dict.fromkeys(unknown, 0)))
        indices = [i for i in indices if i in self._stats]
        mass = np.array([self._stats[i].mass for i in indices])
        if not mass.sum() > 0.0:
            self._stats.clear()
            return None
        shard_prob = shard_probability(mass)
        counts = split_by_mass(shard_prob, num, self._rng)
        answers = ask(dict(zip(indices, counts.tolist(), strict=True)))
        self._note(indices, answers)
        draws = [answers[i] for i in indices if i in answers]
        if [len(d.item_id) for d in draws] != counts.tolist():
            return None

        def copy_rows(s: int, columns: tuple[np.ndarray, ...], position: np.ndarray) -> None:
            self._layout.spread(draws[s].rows, np.arange(len(position)), columns, position)

        return mix(self._layout, shard_prob, draws, copy_rows, self._rng)

    def _note(self, asked: list[int], answers: dict[int, ShardSample]) -> None:
        """Keep the figures in the answers; forget shards that gave none."""
        for index in asked:
            self._stats.pop(index, None)
        self._stats |= {index: answer.stats for index, answer in answers.items()}
