"""Samples per insert, kept by one global ledger (after Reverb's SampleToInsertRatio, Cassirer et al. 2021).

The balance, in drawn rows since warm-up, is ``samples_per_insert * inserted - sampled``. Inserts may raise it to
``error_buffer``, samples may lower it to ``-error_buffer``; the side that would cross the line waits. Hence,
cumulatively, ``|achieved / samples_per_insert - 1| <= error_buffer / (samples_per_insert * inserted since warm-up)``.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from robonav_ray.ranges import MAX_COUNT, check_numbers, count, real, require

Side = Literal["insert", "sample"]
_SAVED = {
    "samples_per_insert": real(low=1e-9, high=1e9),
    "min_size": count(low=1),
    "num_inserted": count(),
    "num_sampled": count(),
    "num_lost_insert_rows": count(low=-MAX_COUNT),
    "baseline_inserted": count(),
    "baseline_sampled": count(),
}
_MAX_BUFFERS = 64
"""Saved counts may be out of balance by so many error buffers: sizes of calls may have changed since, and open ones are
left out. More would keep one side waiting for the other for good."""


class Reservation(NamedTuple):
    """Leave to insert or to sample ``rows``; every one is settled or cancelled (or expires)."""

    id: int
    side: Side
    rows: int


class LedgerStats(NamedTuple):
    """The ledger's figures."""

    num_inserted: int
    """Rows inserted, settled ones only."""
    num_sampled: int
    """Rows handed to the learner over all ranks, settled ones only."""
    open_insert_rows: int
    """Rows reserved for inserting, not settled yet."""
    open_sample_rows: int
    """Rows reserved for sampling, not handed out yet."""
    balance: float
    """In drawn rows, open reservations included."""
    achieved_samples_per_insert: float
    paused: bool
    num_lost_insert_rows: int
    """Rows reserved but never stored: cancelled or expired."""
    num_lost_inserts: int = 0
    """Fragments of which that is true."""


def least_error_buffer(samples_per_insert: float, max_insert_rows: int, max_sample_rows: int) -> float:
    """Return the least error buffer with which the two sides can never block each other (see
    ``SamplesPerInsertLedger``).
    """
    return (samples_per_insert * max_insert_rows + max_sample_rows) / 2


class SamplesPerInsertLedger:
    """Counts rows in and rows out, and admits the side that keeps the balance within the error buffer.

    With n = ``max_insert_rows`` (rows of one fragment), m = ``max_sample_rows`` (rows of one sample call, times the
    ranks, because ranks step together and each must get its part), r = samples_per_insert and E = error_buffer:

    * an insert of n waits only while balance > E - r n,
    * a sample of m waits only while balance < m - E.

    Both hold at once for some balance only if E - r n < m - E. So **2 E >= r n + m** means that one side can always go
    on; anything less is refused at construction. During warm-up (fewer than ``min_size`` rows) inserts are always
    admitted and samples never; the rows of the warm-up do not count towards the ratio.
    """

    def __init__(
        self,
        samples_per_insert: float,
        min_size: int,
        error_buffer: float | None,
        max_insert_rows: int,
        max_sample_rows: int,
    ) -> None:
        """``error_buffer`` None takes twice the least that cannot block; ValueError when a given one is less than the
        least.
        """
        if samples_per_insert <= 0 or min_size < 1 or max_insert_rows < 1 or max_sample_rows < 1:
            raise ValueError(
                "samples_per_insert must be above 0; min_size, max_insert_rows and max_sample_rows at least 1"
            )
        least = least_error_buffer(samples_per_insert, max_insert_rows, max_sample_rows)
        if error_buffer is not None and error_buffer < least:
            raise ValueError(
                f"replay.error_buffer ({error_buffer:g}) would let rollouts and learner wait for each other without "
                "end: it must be at least (samples_per_insert x rows per fragment + rows per sample call x ranks) / 2 "
                f"= ({samples_per_insert:g} x {max_insert_rows} + {max_sample_rows}) / 2 = {least:g}; leave it out to "
                "have it computed"
            )
        self.samples_per_insert = samples_per_insert
        self.error_buffer = 2 * least if error_buffer is None else error_buffer
        self.min_size, self.max_insert_rows, self.max_sample_rows = min_size, max_insert_rows, max_sample_rows
        self.paused = False
        self._inserted = self._sampled = self._lost = 0  # open reservations included in the first two
        self._lost_inserts = 0
        self._given_error_buffer = error_buffer
        self._baseline_inserted, self._baseline_sampled = min_size, 0
        self._next_id = 0
        self._open: dict[int, tuple[Reservation, float]] = {}
        # Asked for with every call, of which there are thousands a second with many workers: neither goes through all
        # that is open.
        self._open_rows: dict[str, int] = {"insert": 0, "sample": 0}
        self._none_expires_before = math.inf

    @property
    def balance(self) -> float:
        """Drawn rows that the rollouts are ahead of the learner (negative: behind), open reservations counted as
        done.
        """
        return self.samples_per_insert * (self._inserted - self._baseline_inserted) - (
            self._sampled - self._baseline_sampled
        )

    @property
    def achieved_samples_per_insert(self) -> float:
        """Rows sampled per row inserted, cumulatively since warm-up; 0 before the first."""
        inserted = self._inserted - self._baseline_inserted
        return (self._sampled - self._baseline_sampled) / inserted if inserted > 0 else 0.0

    def stats(self) -> LedgerStats:
        """Return the figures as they are now."""
        open_rows = {side: self.open_rows(side) for side in ("insert", "sample")}
        return LedgerStats(
            num_inserted=self._inserted - open_rows["insert"],
            num_sampled=self._sampled - open_rows["sample"],
            open_insert_rows=open_rows["insert"],
            open_sample_rows=open_rows["sample"],
            balance=self.balance,
            achieved_samples_per_insert=self.achieved_samples_per_insert,
            paused=self.paused,
            num_lost_insert_rows=self._lost,
            num_lost_inserts=self._lost_inserts,
        )

    def announce(self, max_insert_rows: int) -> None:
        """Let fragments have up to ``max_insert_rows`` rows from now on; a computed error buffer follows.

        Raises:
            ValueError: When the error buffer was given, and is too small for that.
        """
        least = least_error_buffer(self.samples_per_insert, max_insert_rows, self.max_sample_rows)
        if self._given_error_buffer is None:
            self.error_buffer = 2 * least
        elif self._given_error_buffer < least:
            raise ValueError(
                f"replay.error_buffer ({self._given_error_buffer:g}) is too small for fragments of {max_insert_rows} "
                f"rows, which need at least {least:g}"
            )
        self.max_insert_rows = max_insert_rows

    def open_rows(self, side: str) -> int:
        """Return the rows of one side that are reserved and not yet settled."""
        return self._open_rows[side]

    def can_insert(self, rows: int) -> bool:
        """Return whether ``reserve_insert`` would be granted; ValueError for more rows than announced at
        construction.
        """
        self._check_rows(rows, self.max_insert_rows, "insert")
        if self.paused:
            return False
        return (
            self._inserted < self._baseline_inserted
            or self.balance + self.samples_per_insert * rows <= self.error_buffer
        )

    def can_sample(self, rows: int) -> bool:
        """Return whether ``reserve_sample`` would be granted; ValueError for more rows than announced at
        construction.
        """
        self._check_rows(rows, self.max_sample_rows, "sample")
        warm = self._inserted - self.open_rows("insert") >= self._baseline_inserted
        return warm and not self.paused and self.balance - rows >= -self.error_buffer

    def reserve_insert(self, rows: int, expires_at: float = math.inf) -> Reservation | None:
        """Count ``rows`` as inserted and return the reservation, or None when the caller must wait."""
        if not self.can_insert(rows):
            return None
        self._inserted += rows
        return self._open_reservation("insert", rows, expires_at)

    def reserve_sample(self, rows: int, expires_at: float = math.inf) -> Reservation | None:
        """Count ``rows`` as sampled and return the reservation, or None when the caller must wait."""
        if not self.can_sample(rows):
            return None
        self._sampled += rows
        return self._open_reservation("sample", rows, expires_at)

    def settle(self, reservation: Reservation, rows_done: int | None = None) -> None:
        """Close the reservation: ``rows_done`` (all by default) were really inserted, or handed to the learner.

        One that had expired meanwhile is counted again, so that a slow client is not taken for a dead one for good.
        """
        done = reservation.rows if rows_done is None else rows_done
        was_open = self._open.pop(reservation.id, None) is not None
        if was_open:
            self._open_rows[reservation.side] -= reservation.rows
        change = done - (reservation.rows if was_open else 0)
        if reservation.side == "insert":
            self._inserted += change
            self._lost -= change
            self._lost_inserts += (done == 0) - (not was_open)
        else:
            self._sampled += change

    def cancel(self, reservation: Reservation) -> None:
        """Close the reservation: nothing was inserted, or handed out. Does nothing when it had expired."""
        if reservation.id in self._open:
            self.settle(reservation, 0)

    def expire(self, now: float) -> int:
        """Cancel reservations whose ``expires_at`` has passed (their clients are dead); return how many."""
        if now < self._none_expires_before:
            return 0
        late = [r for r, expires_at in self._open.values() if expires_at <= now]
        for reservation in late:
            self.cancel(reservation)
        self._none_expires_before = min((expires_at for _, expires_at in self._open.values()), default=math.inf)
        return len(late)

    def rebase(self, size: int) -> bool:
        """Start the warm-up anew if only ``size`` rows, fewer than ``min_size``, are left in the replay; return whether
        it did.

        Needed when rows were lost with a shard: the balance may say that it is the learner's turn while there is
        nothing to draw. The ratio counts from the end of the new warm-up; what is open now counts when it settles.
        """
        if size >= self.min_size:
            return False
        self._baseline_inserted = self._inserted - self.open_rows("insert") + self.min_size - size
        self._baseline_sampled = self._sampled - self.open_rows("sample")
        return True

    def pause(self) -> None:
        """Admit nothing until ``resume``: the mark at which a checkpoint is cut."""
        self.paused = True

    def resume(self) -> None:
        """Admit again."""
        self.paused = False

    def state_dict(self) -> dict[str, Any]:
        """Return settled counts only: what is open at the cut is after it (its rows are not in, its batches will be
        drawn anew).
        """
        stats = self.stats()
        return {
            "samples_per_insert": self.samples_per_insert,
            "min_size": self.min_size,
            "num_inserted": stats.num_inserted,
            "num_sampled": stats.num_sampled,
            "num_lost_insert_rows": self._lost,
            "baseline_inserted": self._baseline_inserted,
            "baseline_sampled": self._baseline_sampled,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the counts of ``state``; ValueError, and nothing changed, when it does not fit.

        When the ratio has been changed since, it is kept from here on: the past is not made up for.
        """
        check_numbers("ledger state", state, _SAVED)
        inserted, sampled = state["num_inserted"], state["num_sampled"]
        since_inserted, since_sampled = state["baseline_inserted"], state["baseline_sampled"]
        if inserted < since_inserted:
            since_inserted += self.min_size - state["min_size"]
        elif state["samples_per_insert"] != self.samples_per_insert:
            since_inserted, since_sampled = inserted, sampled
        require(
            since_inserted - inserted <= self.min_size,
            "baseline_inserted: the warm-up would last longer than min_size rows",
        )
        ahead = self.samples_per_insert * max(inserted - since_inserted, 0) - (sampled - since_sampled)
        require(
            abs(ahead) <= _MAX_BUFFERS * self.error_buffer,
            f"num_inserted and num_sampled are out of balance by {ahead:.4g} rows, more than the pacing ever lets "
            "happen",
        )
        self._open.clear()
        self._open_rows = {"insert": 0, "sample": 0}
        self.paused = False
        self._inserted, self._sampled, self._lost = inserted, sampled, state["num_lost_insert_rows"]
        self._baseline_inserted, self._baseline_sampled = since_inserted, since_sampled

    def _open_reservation(self, side: Side, rows: int, expires_at: float) -> Reservation:
        reservation = Reservation(self._next_id, side, rows)
        self._next_id += 1
        self._open[reservation.id] = (reservation, expires_at)
        self._open_rows[side] += rows
        self._none_expires_before = min(self._none_expires_before, expires_at)
        return reservation

    @staticmethod
    def _check_rows(rows: int, most: int, side: str) -> None:
        if rows > most:
            raise ValueError(
                f"a {side} of {rows} rows was not announced to the ledger (at most {most}): it could block both sides "
                "without end; make the call smaller, or the number given at the start larger"
            )
