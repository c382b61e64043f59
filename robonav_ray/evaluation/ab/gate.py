"""The gate before a promotion: rows that each pass or fail, with their figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.ab.paired_test import Decision, Rules, Standing, more_worlds
from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.evaluation.exam_table import Decisions

Verdict = Literal["passed", "failed", "not asked"]
SUCCESS, COLLISIONS, LATENCY, AREA = "success", "collisions not worse", "latency", "robustness area"


class RefusedError(UserError):
    """A promotion that the gate does not allow; the message names each row that failed."""


@dataclass(frozen=True)
class Limits:
    """What the rows beside the paired test hold a challenger to."""

    latency_s: float | None = None
    """Most seconds for a decision, at the 99th percentile; None takes half of the worlds' time step."""
    area_margin: float = 0.1
    """Part of the clean score, over all disturbances and levels, by which it must surely not keep less."""

    def __post_init__(self) -> None:
        """UserError for what cannot be."""
        if self.latency_s is not None and not 1e-6 <= self.latency_s <= 60.0:
            raise UserError(
                f"--latency-ms {1e3 * self.latency_s:g}: must be from 0.001 to 60,000 (latency_s of a call)"
            )
        if not 0.001 <= self.area_margin <= 1.0:
            raise UserError(f"area_margin is {self.area_margin!r} and must be from 0.001 to 1")


@dataclass(frozen=True)
class Row:
    """One thing that a challenger is held to."""

    name: str
    verdict: Verdict
    text: str
    """The figures, in a sentence."""
    figures: dict[str, float | int | None]


@dataclass(frozen=True)
class Gate:
    """All rows; one that fails keeps it shut, and so does one that could not be looked at."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether a promotion is allowed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows that keep it shut."""
        return tuple(row for row in self.rows if row.verdict == "failed")

    @property
    def reason(self) -> str:
        """What keeps it shut, in one line; empty where nothing does."""
        return "; ".join(f"{row.name}: {row.text}" for row in self.failed)

    def require(self) -> None:
        """Raise RefusedError, naming the rows that failed, unless the gate is passed."""
        if not self.passed:
            raise RefusedError(f"the promotion is refused: {self.reason}")


def success_row(standing: Standing, rules: Rules) -> Row:
    """Whether it surely succeeds more often."""
    gain = standing.success
    text = f"{points(gain)} on {standing.num_worlds:,} worlds"
    if not standing.is_better:
        if standing.decision is Decision.FUTILE and gain.high < rules.least_gain:
            text += f", surely less than {in_points(rules.least_gain)}"
        else:
            needed = more_worlds(standing)
            text += ", not shown to be more than 0"
            text += "" if needed is None else f"; a gain as large as this one takes about {needed:,} worlds"
    return Row(SUCCESS, _verdict(standing.is_better), text, _interval_figures(gain, standing.num_worlds, 0.0))


def collisions_row(standing: Standing, rules: Rules) -> Row:
    """Whether it surely collides not more often by the margin."""
    harm, margin = standing.collisions, rules.collision_margin
    text = f"{points(harm)} on {standing.num_worlds:,} worlds"
    text += f", {'' if standing.is_not_worse else 'not shown to be '}below the margin of {in_points(margin)}"
    return Row(COLLISIONS, _verdict(standing.is_not_worse), text, _interval_figures(harm, standing.num_worlds, margin))


def latency_row(
    challenger: Sequence[Decisions], champion: Sequence[Decisions], limits: Limits, step_s: float | None
) -> Row:
    """Whether it decides fast enough for one robot alone; ``step_s`` is the shortest time step of the worlds."""
    mine, theirs = p99_s(challenger), p99_s(champion)
    limit = limits.latency_s if limits.latency_s is not None else None if step_s is None else 0.5 * step_s
    figures: dict[str, float | int | None] = {"p99_s": mine, "champion_p99_s": theirs, "limit_s": limit}
    if limit is None:
        return Row(LATENCY, "not asked", "the worlds have no time step, and no limit is given", figures)
    if mine is None:
        return Row(LATENCY, "failed", "no decision was timed", figures)
    beside = "" if theirs is None else f" (champion {1e3 * theirs:.3g} ms)"
    text = f"p99 {1e3 * mine:.3g} ms{beside}, {'within' if mine <= limit else 'over'} the limit of {1e3 * limit:.3g} ms"
    return Row(LATENCY, _verdict(mine <= limit), text, figures)


def p99_s(timed: Sequence[Decisions]) -> float | None:
    """Return the median over batches of the 99th percentile of a decision for one world alone; None where none was."""
    known = [one.single_p99_s for one in timed if one.single_p99_s is not None]
    return float(np.median(known)) if known else None


def area_row(areas: tuple[float, float], difference: Interval, num_factors: int, num_worlds: int, margin: float) -> Row:
    """Whether it keeps as much of its clean score under disturbances; ``areas`` are the challenger's and the
    champion's.
    """
    held = difference.low > -margin
    text = (
        f"{areas[0]:.2f} against {areas[1]:.2f} ({difference.value:+.3f}, from {difference.low:+.3f}) over "
        f"{num_factors} disturbance{'s' * (num_factors != 1)} of {num_worlds:,} worlds a level, "
        f"{'' if held else 'not shown to be '}within the margin of {margin:g}"
    )
    figures: dict[str, float | int | None] = {
        "area": areas[0],
        "champion_area": areas[1],
        "difference": difference.value,
        "low": difference.low,
        "margin": margin,
        "num_factors": num_factors,
        "num_worlds": num_worlds,
    }
    return Row(AREA, _verdict(held), text, figures)


def not_asked(name: str, why: str) -> Row:
    """Return a row that is not looked at."""
    return Row(name, "not asked", why, {})


def points(found: Interval) -> str:
    """Return a difference of rates in points, with its bounds."""
    return f"{100 * found.value:+.2f} points ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def in_points(share: float) -> str:
    """Return a share in points: ``1 point``, ``2.5 points``."""
    return f"{100 * share:g} point{'s' * (100 * share != 1)}"


def _verdict(held: bool) -> Verdict:
    return "passed" if held else "failed"


def _interval_figures(found: Interval, num_worlds: int, limit: float) -> dict[str, float | int | None]:
    return {**found._asdict(), "limit": limit, "num_worlds": num_worlds}
