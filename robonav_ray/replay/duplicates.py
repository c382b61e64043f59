"""Remembers which fragments were stored, so that a retried insert is not stored twice."""

from __future__ import annotations

from typing import Any

from robonav_ray.ranges import count, require

WINDOW = 1024
"""Fragments of one worker's life that are remembered; older ones count as seen. Far above what can be in flight."""
LIVES = 2
"""Lives of one worker that are remembered; fragments of older lives count as seen."""


class DuplicateFilter:
    """Knows a fragment by (worker, life, sequence); memory is bounded by workers x LIVES x WINDOW.

    Sequences of one worker may arrive out of order (they are shared out over shards and retried), by less than WINDOW.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._seen: dict[int, dict[int, set[int]]] = {}

    def is_new(self, worker: int, life: int, sequence: int) -> bool:
        """Return True the first time it is asked about a fragment, and remember it."""
        lives = self._seen.setdefault(worker, {})
        if life not in lives:
            if len(lives) >= LIVES and life < min(lives):
                return False
            lives[life] = set()
            if len(lives) > LIVES:
                del lives[min(lives)]
        sequences = lives[life]
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
        """Restore what ``state_dict`` returned; RangeError, and nothing changed, for what no filter has seen."""
        require(isinstance(state, dict), "seen: is no table of workers")
        seen: dict[int, dict[int, set[int]]] = {}
        for worker, lives in state.items():
            require(
                isinstance(lives, dict) and len(lives) <= LIVES,
                f"seen: worker {worker[:20]} has other than {LIVES} lives",
            )
            seen[_number(worker)] = {_number(life): _sequences(worker, sequences) for life, sequences in lives.items()}
        self._seen = seen

    def newest(self, worker: int, life: int) -> int:
        """Return the newest fragment of one worker's life that was seen; -1 when none was."""
        return max(self._seen.get(worker, {}).get(life, ()), default=-1)


def _number(text: str) -> int:
    """Return a worker or a life as a number."""
    require(text.isascii() and text.isdecimal() and len(text) < 16, f"seen: {text[:20]!r} is no worker or life")
    return int(text)


def _sequences(worker: str, sequences: Any) -> set[int]:
    count(None).check(f"seen: worker {worker[:20]}", sequences)
    found = set(sequences)
    require(len(found) == len(sequences), f"seen: worker {worker[:20]}: a fragment stands twice")
    require(
        not found or max(found) - min(found) < WINDOW,
        f"seen: worker {worker[:20]}: fragments farther apart than {WINDOW}",
    )
    return found
