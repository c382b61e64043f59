"""What each fault cost, from the run's own records: how long the learner stood still, what was lost, what was done
twice.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proofs.chaos.record import Commit, Reading, times_of_change

USUAL_S = 20.0
"""So long before a fault is looked at for what is usual."""
STALL_S = 2.0
"""From here on a learner that makes no steps counts as stalled; the cut of a checkpoint takes less."""
READING_S = 1.0
"""What lies between two readings beyond this is no training."""
COMMIT_SLACK_S = 2.0
"""A reading so soon after a commit may have been taken before it."""


@dataclass(frozen=True)
class Cost:
    """The cost of one fault; None where the records do not tell."""

    stall_s: float | None
    """Longest time in which the learner made no steps. Steps made unseen (while the driver was busy) are taken off at
    the usual rate."""
    silent_s: float | None
    """Longest time without a new reading of the learner's steps."""
    resumed_s: float | None
    """From the fault to the end of the learner's last stall; 0 when it did not stall; None when it never went on."""
    env_silent_s: float | None
    """Longest time without a new reading of the env steps."""
    env_dip_frac: float | None
    """Least env steps/s over 3 s, against the usual."""
    env_dip_s: float | None
    """Until env steps/s were back at 80 % of the usual; 0 without a dip, None when they never were."""
    rows_lost: float
    """Rows reserved at the ledger that no shard has stored."""
    replay_rows_lost: float
    """Stored rows that went with a shard."""
    redone_steps: int
    """Learner steps that were done again."""
    redone_s: float
    """Training time that was done again."""
    events: tuple[dict[str, Any], ...] = ()
    """What the run's supervisors said."""


def cost_of(readings: Sequence[Reading], begin: float, end: float, events: Sequence[dict[str, Any]] = ()) -> Cost:
    """Return what the fault at ``begin`` cost; ``end`` is the next fault, or the end of the run (epoch seconds)."""
    learner = times_of_change(readings, "learner_step")
    env = times_of_change(readings, "env_steps")
    usual = rate(learner, begin - USUAL_S, begin)
    stall, resumed = longest_stall(learner, begin, end, usual)
    frac, dip_s = env_dip(env, begin, end)
    steps, seconds = redone(learner, begin, end)
    return Cost(
        stall_s=stall,
        silent_s=longest_gap(learner, begin, end),
        resumed_s=resumed,
        env_silent_s=longest_gap(env, begin, end),
        env_dip_frac=frac,
        env_dip_s=dip_s,
        rows_lost=_rise(readings, "rows_lost", begin, end),
        replay_rows_lost=_drop(readings, begin, end),
        redone_steps=steps,
        redone_s=seconds,
        events=tuple(event for event in events if begin <= float(event.get("time", 0.0)) < end),
    )


def rate(changes: Sequence[tuple[float, int]], begin: float, end: float) -> float | None:
    """Return the median rate per second between readings of a window; None without any."""
    inside = [change for change in changes if begin <= change[0] <= end]
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(inside) if b[1] > a[1] and b[0] > a[0]]
    return statistics.median(steps) if steps else None


def gaps(changes: Sequence[tuple[float, int]], begin: float, end: float) -> list[tuple[float, float, int, bool]]:
    """Return (from, to, steps, ended) of the times between readings that reach into a window; ``ended`` is False for
    one still open.
    """
    found = [
        (max(a[0], begin), min(b[0], end), b[1] - a[1], b[0] <= end)
        for a, b in itertools.pairwise(changes)
        if a[0] < end and b[0] > begin
    ]
    if changes and changes[-1][0] < end:
        found.append((max(changes[-1][0], begin), end, 0, False))
    return found


def longest_gap(changes: Sequence[tuple[float, int]], begin: float, end: float) -> float | None:
    """Return the longest time between two readings; None without readings."""
    found = gaps(changes, begin, end)
    return max(to - since for since, to, _, _ in found) if found else None


def longest_stall(
    changes: Sequence[tuple[float, int]], begin: float, end: float, usual: float | None
) -> tuple[float | None, float | None]:
    """Return the longest stall, and when the last one was over, in seconds after ``begin``: 0 without one, None when it
    never was.
    """
    found = gaps(changes, begin, end)
    if not found:
        return None, None
    stalls = [
        (max(0.0, to - since - max(steps, 0) / usual) if usual else to - since, to, ended)
        for since, to, steps, ended in found
    ]
    longest = max(stall for stall, _, _ in stalls)
    _, to, ended = max(
        (entry for entry in stalls if entry[0] >= STALL_S), key=lambda entry: entry[1], default=(0.0, begin, True)
    )
    return longest, to - begin if ended else None


def env_dip(
    changes: Sequence[tuple[float, int]], begin: float, end: float, bin_s: float = 3.0
) -> tuple[float | None, float | None]:
    """Return the least env steps/s against the usual, and the seconds until 80 % of it were there again."""
    usual = mean_rate(changes, begin - USUAL_S, begin)
    if not usual or end - begin < bin_s:
        return None, None
    fracs = []
    since = begin
    while since + bin_s <= end:
        fracs.append(mean_rate(changes, since, since + bin_s) / usual)
        since += bin_s / 3
    low = min(range(len(fracs)), key=fracs.__getitem__)
    if fracs[low] >= 0.8:
        return fracs[low], 0.0
    back = next((i for i in range(low, len(fracs)) if fracs[i] >= 0.8), None)
    return fracs[low], None if back is None else back * bin_s / 3


def mean_rate(changes: Sequence[tuple[float, int]], begin: float, end: float) -> float:
    """Return steps forward per second of a window; steps back, where a resumed run begins earlier, do not count."""
    total = sum(max(0, b[1] - a[1]) for a, b in itertools.pairwise(changes) if begin < b[0] <= end)
    return total / (end - begin)


def redone(changes: Sequence[tuple[float, int]], begin: float, end: float) -> tuple[int, float]:
    """Return the learner steps, and the seconds of training, between where the learner went back to and where it had
    been.

    Seconds in which it stood still, after an earlier fault, are no training.
    """
    steps, seconds = 0, 0.0
    for i in range(1, len(changes)):
        (time, value), (_, had) = changes[i], changes[i - 1]
        if not (begin <= time < end and value < had):
            continue
        trained = 0.0
        for a, b in zip(changes[i - 2 :: -1], changes[i - 1 :: -1], strict=False):  # back through the last ascent
            if b[1] <= value or a[1] > b[1]:
                break
            trained += min(b[0] - a[0], READING_S)
        steps, seconds = max(steps, had - value), max(seconds, trained)
    return steps, seconds


def behind_commits(readings: Sequence[Reading], commits: Sequence[Commit]) -> list[str]:
    """Return a line for every reading, new in itself, that lies behind what was committed before it."""
    found = []
    before: dict[str, int] = {}
    for reading in readings:
        committed = [c for c in commits if c.time + COMMIT_SLACK_S <= reading.time]
        for name, most in (
            ("env_steps", max((c.env_steps for c in committed), default=0)),
            ("learner_step", max((c.learner_steps for c in committed), default=0)),
        ):
            value = getattr(reading, name)
            if value is None or value == before.get(name):
                continue
            before[name] = value
            if value < most:
                found.append(f"{name} {value} at {reading.time:.1f}, after {most} had been committed")
    return found


def pacing_error(readings: Sequence[Reading], configured: float) -> float | None:
    """Return how far the achieved samples per insert are from the configured ones at the end, as a part of them."""
    last = next((r.samples_per_insert for r in reversed(readings) if r.samples_per_insert), None)
    return None if last is None else abs(last / configured - 1.0)


def largest_balance(readings: Sequence[Reading]) -> float | None:
    """Return the furthest that the ledger's balance was from 0 once the learner was at work, in drawn rows."""
    found = [abs(r.balance_rows) for r in readings if r.balance_rows is not None and r.samples_per_insert]
    return max(found, default=None)


def _values(readings: Sequence[Reading], name: str, begin: float, end: float) -> list[float]:
    return [value for r in readings if begin <= r.time < end and (value := getattr(r, name)) is not None]


def _rise(readings: Sequence[Reading], name: str, begin: float, end: float) -> float:
    """Return by how much a counter rose; a counter that began anew counts from there."""
    before = _values(readings, name, 0.0, begin)
    total, last = 0.0, before[-1] if before else 0.0
    for value in _values(readings, name, begin, end):
        total, last = total + max(0.0, value - last), value
    return total


def _drop(readings: Sequence[Reading], begin: float, end: float) -> float:
    """Return how many rows the replay had less at the end of a window than right before it; new rows hide a part of the
    loss.
    """
    before, after = _values(readings, "replay_size", 0.0, begin), _values(readings, "replay_size", begin, end)
    return max(0.0, before[-1] - after[-1]) if before and after else 0.0
