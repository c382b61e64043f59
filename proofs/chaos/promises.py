"""What is promised when something breaks, and the bounds that say whether a promise was kept: all of them in this one
place.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robonav_ray.part_names import Part, event_name

READING_S = 0.5
"""Two readings of the metrics are up to so far apart; figures taken from them are not more exact."""
NEVER = float("inf")
GIVEN_UP = ("fenced", "lost", "left")
"""Events that say that a part or a node is no longer waited for, by our own heartbeat or by Ray's."""


@dataclass(frozen=True)
class Bound:
    """One figure of a fault and the most that it may be."""

    figure: str
    """Key of the fault's figures (see ``figures_of``)."""
    most: float
    text: str
    speed: bool = True
    """Whether it is about speed alone, which a busy machine spoils."""


@dataclass(frozen=True)
class Promise:
    """What is promised for one kind of fault."""

    quote: str
    bounds: tuple[Bound, ...]


BACK_5 = Bound("back_s", 5.0, "its replacement at work within 5 s")
STALL_2 = Bound("stall_s", 2.0, "the learner never stalls over 2 s")
FULL_30 = Bound("resumed_s", 30.0, "the learner at work again within 30 s")
RESUMES = Bound("resumed_beyond_s", 0.0, "training resumes within 30 s, 45 s with a learner rank (seconds beyond)")
GOES_ON = Bound("driver_failed", 0, "the run goes on by itself", speed=False)
RECOVERS = Bound("not_recovered", 0, "it recovers at all", speed=False)
ONE_FRAGMENT = Bound("fragments_lost", 1.0, "at most one fragment lost on its way", speed=False)
ONE_INTERVAL = Bound(
    "intervals_redone", 1.0, "at most one checkpoint interval (and the seconds of writing it) redone", speed=False
)

PROMISES: dict[str, Promise] = {
    "worker": Promise(
        "rollout actors killed, 100 times in a run: at most one fragment lost each, none duplicated, back within 5 s, "
        "the learner never stalls over 2 s",
        (BACK_5, STALL_2, ONE_FRAGMENT, RECOVERS, GOES_ON),
    ),
    "shard": Promise(
        "a replay shard killed: learning goes on with the others within 2 s; the shard comes back from its snapshot; "
        "pacing error stays in its bounds",
        (
            STALL_2,
            Bound("began_empty", 0, "it comes back with the rows of its snapshot", speed=False),
            RECOVERS,
            GOES_ON,
        ),
    ),
    "rank": Promise(
        "a learner rank killed: back from the last commit; at most one checkpoint interval redone",
        (ONE_INTERVAL, RECOVERS, GOES_ON),
    ),
    "central": Promise(
        "the curriculum, the ledger, the weight store, the mailbox or the controller killed: training resumes, nothing "
        "committed is lost",
        (ONE_INTERVAL, RECOVERS, GOES_ON),
    ),
    "node": Promise(
        "a node dead: training resumes within 30 s, 45 s when it held a learner rank",
        (
            Bound("resumed_beyond_s", 0.0, "training resumes within 30 s, 45 s with a learner rank"),
            ONE_INTERVAL,
            RECOVERS,
            GOES_ON,
        ),
    ),
    "frozen": Promise(
        "a node or a process frozen: fenced within 15 s by our own heartbeat or Ray's tuned one; training resumes as "
        "when it is dead",
        (
            Bound("fenced_s", 15.0, "fenced, or its replacement at work, within 15 s"),
            RESUMES,
            ONE_INTERVAL,
            RECOVERS,
            GOES_ON,
        ),
    ),
    "add": Promise(
        "a node that joins during the run is used",
        (Bound("used_s", 60.0, "an actor of the run on it within 60 s"), GOES_ON),
    ),
    "driver": Promise(
        "the driver killed: `--resume auto` always finishes; counters never go behind the last commit; no duplicate "
        "(step, tag)",
        (FULL_30, ONE_INTERVAL, RECOVERS),
    ),
    "sigterm": Promise(
        "SIGTERM: committed and gone within 30 s, exit code 75, and the same command goes on",
        (
            Bound("gone_s", 30.0, "gone within 30 s"),
            Bound("wrong_code", 0, "exit code 75", speed=False),
            FULL_30,
            Bound("redone_s", READING_S, "nothing redone", speed=False),
            RECOVERS,
        ),
    ),
}


@dataclass(frozen=True)
class Verdict:
    """A bound held against all faults that it is for."""

    text: str
    median: float | None
    worst: float | None
    most: float
    num: int
    num_broken: int
    speed: bool

    @property
    def kept(self) -> bool:
        """Whether every fault kept it; what was not measured was not kept."""
        return self.num_broken == 0 and self.num > 0


def figures_of(fault: Mapping[str, Any], facts: Mapping[str, float]) -> dict[str, float | None]:
    """Return the figures that bounds speak of, from a fault's record with its ``cost`` in it; None where nothing is
    known.

    ``facts`` of the run: ``fragment_rows`` (rows of one fragment), ``checkpoint_s`` (interval, with the seconds that
    writing takes).
    """
    cost = fault["cost"]
    recovered = fault["back_s"] is not None and cost["resumed_s"] is not None
    fenced = _fenced_s(fault, cost["events"])
    resumed = cost["resumed_s"]
    return {
        "back_s": _or_never(fault["back_s"]),
        "used_s": None if fault["idle"] else _or_never(fault["back_s"]),
        "stall_s": cost["stall_s"],
        "resumed_s": _or_never(resumed),
        "resumed_beyond_s": max(0.0, _or_never(resumed) - (45.0 if fault["held_rank"] else 30.0)),
        "fenced_s": fenced,
        "began_empty": float(fault.get("began_empty", False)),
        "fragments_lost": round(cost["rows_lost"] / facts["fragment_rows"], 2),
        "intervals_redone": round(cost["redone_s"] / facts["checkpoint_s"], 2),
        "redone_s": cost["redone_s"],
        "not_recovered": float(not recovered),
        "driver_failed": float(fault["driver_exit"] is not None),
        "gone_s": fault["gone_s"],
        "wrong_code": float(fault["driver_exit"] != 75),
    }


_FROZEN = {"hang-worker": Part.WORKER, "hang-shard": Part.SHARD, "hang-rank": Part.RANK, "freeze": Part.NODE}


def _fenced_s(fault: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> float:
    """Return when what was frozen was given up: its own part, by name; a node when Ray or we said that it had left."""
    part = event_name(_FROZEN[fault["kind"]]) if fault["kind"] in _FROZEN else ""
    given_up = [
        e["time"] - fault["time"]
        for e in events
        if e.get("event") in GIVEN_UP and str(e.get("part", "")).startswith(part)
    ]
    return min(given_up, default=_or_never(fault["back_s"]))


def judge(promise: str, faults: Sequence[Mapping[str, Any]], facts: Mapping[str, float]) -> list[Verdict]:
    """Return the verdict on each bound of ``promise`` over the faults that it is for."""
    verdicts = []
    for bound in PROMISES[promise].bounds:
        values = [v for fault in faults if (v := figures_of(fault, facts)[bound.figure]) is not None]
        broken = [v for v in values if v > bound.most]
        median = statistics.median_high(values) if values else None
        verdicts.append(
            Verdict(bound.text, median, max(values, default=None), bound.most, len(values), len(broken), bound.speed)
        )
    return verdicts


@dataclass(frozen=True)
class Check:
    """Something that must hold for the whole run."""

    text: str
    figure: str
    """Key of the run's findings."""
    holds: Callable[[Any], bool]
    speed: bool = False


CHECKS: tuple[Check, ...] = (
    Check("the run finishes with exit code 0", "final_code", lambda code: code == 0),
    Check(
        "SIGTERM at the end: committed and gone within 30 s",
        "stop_s",
        lambda s: s is not None and s <= 30.0,
        speed=True,
    ),
    Check("counters never behind the last commit", "behind_commits", lambda lines: not lines),
    Check("no (step, tag) twice in metrics.jsonl", "repeated_tags", lambda n: n == 0),
    Check("every fault hit a part, while the run was learning", "not_inflicted", lambda lines: not lines),
    Check("one run directory after all faults", "run_directories", lambda n: n == 1),
    Check("no row stored twice", "rows_stored_twice", lambda n: n == 0),
    Check(
        "tree sum = sum of leaves, ids and slots agree in every shard of the last checkpoint",
        "bad_shards",
        lambda lines: not lines,
    ),
    Check(
        "balance of inserts and samples never further off than the error buffer, what is drawn ahead and what was on "
        "its way",
        "balance_beyond",
        lambda x: x is not None and x <= 0.0,
    ),
    Check("samples per insert within 2 % of the configured", "pacing_error", lambda x: x is not None and x <= 0.02),
    Check("CPUs all free within 60 s of the end", "free_s", lambda s: s is not None and s <= 60.0, speed=True),
    Check("no placement group left", "placement_groups", lambda n: n == 0),
    Check("no orphan process of the run", "orphans", lambda lines: not lines),
    Check("no process left once the cluster is down", "survivors", lambda lines: not lines),
)


def check_run(findings: Mapping[str, Any]) -> list[tuple[Check, bool]]:
    """Return whether each check holds; what could not be found out does not hold."""
    return [(check, check.figure in findings and check.holds(findings[check.figure])) for check in CHECKS]


def _or_never(seconds: float | None) -> float:
    return NEVER if seconds is None else seconds
