"""Remembers which fragments were stored, so that a retried insert is not stored twice."""

from __future__ import annotations

from typing import Any

WINDOW = 1024
"""Fragments of one worker's life that are remembered; older ones count as seen. Far above what can be in flight."""
LIVES = 2
"""Lives (incarnations) of one worker that are remembered; fragments of older lives count as seen."""


class DuplicateFilter:
    """Knows a fragment by (worker, incarnation, sequence); memory is bounded by workers x LIVES x WINDOW.

    Sequences of one worker may arrive out of order (they are shared out over shards and retried), by less than WINDOW.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._seen: dict[int, dict[int, set[int]]] = {}

    def is_new(self, worker: int, incarnation: int, sequence: int) -> bool:
        """Return True the first time it is asked about a fragment, and remember it."""
        lives = self._seen.setdefault(worker, {})
        if incarnation not in lives:
            if len(lives) >= LIVES and incarnation < min(lives):
                return False
            lives[incarnation] = set()
            if len(lives) > LIVES:
                del lives[min(lives)]
        sequences = lives[incarnation]
        newest = max(sequences, default=sequence)
        if sequence in sequences or sequence <= newest - WINDOW:
            return False
        sequences.add(sequence)
        if sequence > newest:
            sequences.difference_update([s for s in sequences if s <= sequence - WINDOW])
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return plain lists and strings, fit for JSON."""
        return {str(w): {str(i): sorted(s) for i, s in lives.items()} for w, lives in self._seen.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._seen = {int(w): {int(i): set(s) for i, s in lives.items()} for w, lives in state.items()}
