"""Does the ledger keep the ratio, never block both sides, and forget the dead?"""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from robonav_ray.replay.pacing import Reservation, SamplesPerInsertLedger, least_error_buffer
from tests.oracles_replay import NaiveLedger


def test_agrees_with_the_naive_rule() -> None:
    rng = np.random.default_rng(0)
    ledger, naive = SamplesPerInsertLedger(3.0, 100, 90.0, 20, 50), NaiveLedger(3.0, 100, 90.0)
    for _ in range(5000):
        if rng.random() < 0.5:
            rows = int(rng.integers(1, 21))
            reservation, ok = ledger.reserve_insert(rows), naive.insert(rows)
        else:
            rows = int(rng.integers(1, 51))
            reservation, ok = ledger.reserve_sample(rows), naive.sample(rows)
        assert (reservation is not None) == ok
        if reservation is not None:
            ledger.settle(reservation)
    assert ledger.stats().num_inserted == naive.inserted > 1000
    assert ledger.stats().num_sampled == naive.sampled


@pytest.mark.parametrize(
    ("ratio", "insert_rows", "sample_rows"), [(8.0, 1024, 4096), (0.25, 7, 3), (100.0, 1, 1), (1.0, 1, 5000)]
)
def test_cumulative_ratio_is_within_five_percent(ratio: float, insert_rows: int, sample_rows: int) -> None:
    rng = np.random.default_rng(1)
    ledger = SamplesPerInsertLedger(ratio, 500, None, insert_rows, sample_rows)
    least = 21 * ledger.error_buffer / ratio
    eager = rng.random() * 0.9
    while ledger.stats().num_inserted - 500 < least:
        sampling = rng.random() < eager
        reserve, rows = (ledger.reserve_sample, sample_rows) if sampling else (ledger.reserve_insert, insert_rows)
        reservation = reserve(rows)
        if reservation is not None:
            ledger.settle(reservation)
    assert ledger.achieved_samples_per_insert == pytest.approx(ratio, rel=0.05)


def test_too_small_an_error_buffer_is_refused_and_would_have_blocked() -> None:
    least = least_error_buffer(4.0, 10, 60)
    assert least == 50.0
    with pytest.raises(ValueError, match=r"replay\.error_buffer \(49\).*\(4 x 10 \+ 60\) / 2 = 50"):
        SamplesPerInsertLedger(4.0, 100, 49.0, 10, 60)
    naive = NaiveLedger(4.0, 100, 24.0)
    while naive.insert(10):
        pass
    assert not naive.sample(60)
    ledger = SamplesPerInsertLedger(4.0, 100, 50.0, 10, 60)
    while ledger.reserve_insert(10):
        pass
    for reservation in [r for r, _ in ledger._open.values()]:
        ledger.settle(reservation)
    assert ledger.reserve_sample(60) is not None
    assert SamplesPerInsertLedger(4.0, 100, None, 10, 60).error_buffer == 100.0


class BothSides(RuleBasedStateMachine):
    """Any order of reserving, settling, cancelling and dying; whenever nothing is open, one side can go on."""

    @initialize(
        ratio=st.sampled_from([0.1, 1.0, 3.7, 8.0]),
        min_size=st.integers(1, 200),
        insert_rows=st.integers(1, 50),
        sample_rows=st.integers(1, 300),
        slack=st.sampled_from([1.0, 1.0, 1.5]),
    )
    def start(self, ratio: float, min_size: int, insert_rows: int, sample_rows: int, slack: float) -> None:
        self.sizes = {"insert": insert_rows, "sample": sample_rows}
        buffer = least_error_buffer(ratio, insert_rows, sample_rows) * slack
        self.ledger = SamplesPerInsertLedger(ratio, min_size, buffer, insert_rows, sample_rows)
        self.open: list[Reservation] = []
        self.done = {"insert": 0, "sample": 0}
        self.now = 0.0

    @rule(side=st.sampled_from(["insert", "sample"]), part=st.floats(0.01, 1))
    def reserve(self, side: str, part: float) -> None:
        rows = math.ceil(part * self.sizes[side])
        reserve = self.ledger.reserve_insert if side == "insert" else self.ledger.reserve_sample
        if (reservation := reserve(rows, expires_at=self.now + 5)) is not None:
            self.open.append(reservation)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.open:
            reservation = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            done = data.draw(st.integers(0, reservation.rows))
            self.ledger.settle(reservation, done)
            self.done[reservation.side] += done

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.open:
            self.ledger.cancel(self.open.pop(data.draw(st.integers(0, len(self.open) - 1))))

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        """Clients that were slow are expired here and may still settle later."""
        self.now += seconds
        late = sum(expires_at <= self.now for _, expires_at in self.ledger._open.values())
        assert self.ledger.expire(self.now) == late

    @rule()
    def everyone_dies(self) -> None:
        self.open.clear()
        self.now += 6
        self.ledger.expire(self.now)

    @rule()
    def restart(self) -> None:
        state = self.ledger.state_dict()
        self.ledger.load_state_dict(state)
        self.open.clear()
        assert self.ledger.state_dict() == state

    @rule(part=st.floats(0, 1.2))
    def shards_are_lost(self, part: float) -> None:
        """After every interruption a new warm-up leads back to a ratio that both sides can keep."""
        size = math.floor(part * self.ledger.min_size)
        assert self.ledger.rebase(size) == (size < self.ledger.min_size)

    @invariant()
    def counts_are_what_was_done(self) -> None:
        if hasattr(self, "ledger"):
            stats = self.ledger.stats()
            assert (stats.num_inserted, stats.num_sampled) == (self.done["insert"], self.done["sample"])

    @invariant()
    def what_is_open_is_summed_and_has_not_expired(self) -> None:
        if hasattr(self, "ledger"):
            open_ = self.ledger._open.values()
            for side in ("insert", "sample"):
                assert self.ledger.open_rows(side) == sum(r.rows for r, _ in open_ if r.side == side)
            assert self.ledger.expire(self.now) == sum(expires_at <= self.now for _, expires_at in open_) == 0

    @invariant()
    def one_side_can_always_go_on(self) -> None:
        if hasattr(self, "ledger") and not self.ledger._open:
            assert self.ledger.can_insert(self.sizes["insert"]) or self.ledger.can_sample(self.sizes["sample"])


TestBothSides = BothSides.TestCase
TestBothSides.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_samples_wait_for_rows_that_are_really_stored() -> None:
    ledger = SamplesPerInsertLedger(1.0, 10, 1000.0, 10, 10)
    reservation = ledger.reserve_insert(10)
    assert reservation is not None
    assert not ledger.can_sample(1)
    ledger.settle(reservation)
    assert ledger.can_sample(10)


@pytest.mark.parametrize("left", [0, 37])
def test_when_the_rows_are_lost_the_warm_up_starts_anew(left: int) -> None:
    """Without ``rebase`` both sides would wait for ever: the learner for rows, the rollouts for the learner."""
    ledger = SamplesPerInsertLedger(2.0, 100, 200.0, 20, 50)
    while (reservation := ledger.reserve_insert(20)) is not None:
        ledger.settle(reservation)
    assert not ledger.rebase(100)
    assert not ledger.can_insert(20)
    in_flight = ledger.reserve_sample(50)
    assert in_flight is not None
    assert ledger.rebase(left)
    ledger.settle(in_flight, 0)
    stored = left
    while stored < 100:
        assert not ledger.can_sample(1)
        reservation = ledger.reserve_insert(1)
        assert reservation is not None
        ledger.settle(reservation)
        stored += 1
    assert ledger.balance == 0.0
    assert ledger.can_sample(50)
    again = SamplesPerInsertLedger(2.0, 100, 200.0, 20, 50)
    again.load_state_dict(ledger.state_dict())
    assert again.balance == 0.0


def test_lost_and_duplicate_rows_do_not_count() -> None:
    ledger = SamplesPerInsertLedger(1.0, 10, 1000.0, 10, 10)
    for done in (10, 0, 4):
        reservation = ledger.reserve_insert(10)
        assert reservation is not None
        ledger.settle(reservation, done)
    assert ledger.stats().num_inserted == 14
    assert ledger.stats().num_lost_insert_rows == 16


def test_paused_admits_nobody_and_the_state_holds_settled_rows_only() -> None:
    ledger = SamplesPerInsertLedger(2.0, 10, 1000.0, 50, 10)
    first, late = ledger.reserve_insert(50), ledger.reserve_insert(7)
    assert first is not None
    assert late is not None
    ledger.settle(first)
    drawn = ledger.reserve_sample(10)
    assert drawn is not None
    ledger.pause()
    assert not ledger.can_insert(1)
    assert not ledger.can_sample(1)
    state = ledger.state_dict()
    assert (state["num_inserted"], state["num_sampled"]) == (50, 0)
    ledger.resume()
    ledger.settle(late)
    ledger.settle(drawn)
    assert ledger.stats()[:2] == (57, 10)
    again = SamplesPerInsertLedger(2.0, 10, 1000.0, 50, 10)
    again.load_state_dict(state)
    assert again.balance == 2.0 * 40
    with pytest.raises(ValueError, match="unknown"):
        again.load_state_dict(state | {"x": 1})


def test_a_changed_ratio_holds_from_now_on() -> None:
    ledger = SamplesPerInsertLedger(2.0, 10, 1000.0, 100, 10)
    reservation = ledger.reserve_insert(100)
    assert reservation is not None
    ledger.settle(reservation)
    changed = SamplesPerInsertLedger(8.0, 10, 1000.0, 100, 10)
    changed.load_state_dict(ledger.state_dict())
    assert changed.balance == 0.0


def test_calls_that_were_not_announced_are_refused() -> None:
    ledger = SamplesPerInsertLedger(1.0, 10, None, 20, 30)
    with pytest.raises(ValueError, match="insert of 21 rows"):
        ledger.reserve_insert(21)
    with pytest.raises(ValueError, match="sample of 31 rows"):
        ledger.can_sample(31)
    with pytest.raises(ValueError, match="above 0"):
        SamplesPerInsertLedger(0.0, 10, None, 20, 30)
