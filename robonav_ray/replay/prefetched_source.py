"""A BatchSource whose calls are drawn ahead of time; how they are drawn is up to the subclass."""

from __future__ import annotations

from robonav_ray.records import ReplaySample
from robonav_ray.replay.mixing import Annealing, MixedDraw
from robonav_ray.replay.pacing import Reservation
from robonav_ray.replay.prefetch import Prefetcher


class PrefetchedSource:
    """Keeps ``depth`` calls ready in a background thread. Rows count as sampled when they are handed out, and beta is
    theirs then.

    A subclass implements ``_make_call`` (in the background thread) and ``_settle``.
    """

    def __init__(self, annealing: Annealing, depth: int, wait_s: float) -> None:
        """Nothing is started before the first ``sample``, which waits at most ``wait_s`` seconds."""
        self._annealing, self._depth, self._wait_s = annealing, depth, wait_s
        self._prefetcher: Prefetcher[tuple[Reservation, MixedDraw]] | None = None
        self._num_rows = 0

    def set_learner_step(self, step: int) -> None:
        """Say which learner step the next batch is for (see ``mixing.Annealing``)."""
        self._annealing.learner_step = step

    @property
    def importance_exponent(self) -> float:
        """Beta of the next batch."""
        return self._annealing.exponent

    def sample(self, batch_size: int, num_batches: int) -> list[ReplaySample] | None:
        """Return ``num_batches`` batches of ``batch_size`` rows, or None when there are none within the time to wait.

        Raises what went wrong in the background thread. Changing the number of rows drops what was prefetched.
        """
        if self._prefetcher is None or batch_size * num_batches != self._num_rows:
            self.close()
            self._num_rows = batch_size * num_batches
            self._prefetcher = Prefetcher(self._make_call, self._depth)
        call = self._prefetcher.get(self._wait_s)
        if call is None:
            return None
        reservation, mixed = call
        self._settle(reservation, None)
        return mixed.batches(batch_size, self._annealing.next_exponents(num_batches))

    def close(self) -> None:
        """Stop the thread and give back what was not taken; ``sample`` starts it again."""
        if self._prefetcher is not None:
            for reservation, _ in self._prefetcher.close():
                self._settle(reservation, 0)
            self._prefetcher = None

    def _make_call(self) -> tuple[Reservation, MixedDraw] | None:
        """Reserve and draw ``_num_rows`` rows; None when that has to wait."""
        raise NotImplementedError

    def _settle(self, reservation: Reservation, rows_done: int | None) -> None:
        """Close a reservation: ``rows_done`` rows, None for all, were handed out."""
        raise NotImplementedError
