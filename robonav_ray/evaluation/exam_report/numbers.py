"""The statistics behind the verdict: which test, what each could find, the seeds, and the noise that an entrant makes
against itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robonav_ray.evaluation.comparing import words
from robonav_ray.evaluation.comparing.rates import cochran_q
from robonav_ray.evaluation.comparing.seeds import (
    MIN_BOOTSTRAP_SEEDS,
    interquartile_mean,
    noise_floor,
    over_seeds,
    performance_profile,
    probability_of_improvement,
)
from robonav_ray.evaluation.comparing.verdict import Comparison, Verdict
from robonav_ray.evaluation.exam_report.figures import profile_lines
from robonav_ray.evaluation.exam_report.metric_tests import metric_tests_section
from robonav_ray.evaluation.exam_report.metrics import DASH
from robonav_ray.evaluation.exam_report.outcomes import percent
from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.report.document import Block, Cell, Listing, Scalar, Section, Strong, Table, paragraph


def statistics_section(view: ExamView) -> Section:
    """Return the section on how the figures were made and what they can bear."""
    comparisons = list(view.comparisons.values())
    parts = [Section("How to read the tests", (_rules(view),))]
    if comparisons:
        blocks: list[Block] = [_power_table(view, comparisons)]
        if together := _together(view):
            blocks.insert(0, together)
        parts.append(Section("Power: what could have been found", tuple(blocks)))
        if tests := metric_tests_section(view):
            parts.append(tests)
    parts.append(Section("Noise: each entrant against itself", (_noise_table(view),)))
    if seeds := _seeds(view):
        parts.append(Section("Training seeds", tuple(seeds)))
    return Section("Statistics", (), tuple(parts))


def _rules(view: ExamView) -> Listing:
    level = f"{view.confidence:.0%}"
    return Listing(
        (
            paragraph(
                Strong("Same worlds. "), "All entrants play the same worlds, so pairs are compared world by world."
            ),
            paragraph(
                Strong("Units. "),
                "A claim about a policy generalises over worlds. A claim about a method generalises over training "
                "seeds: with several seeds these are the units, and ten thousand worlds do not make up for a third "
                "seed.",
            ),
            paragraph(
                Strong("Tests. "),
                f"Rates: Wilson's {level} interval; pairs of policies McNemar's exact test with Newcombe's interval. "
                "Methods: t on the seeds' means, with what the worlds add, and from ten seeds on the bootstrap over "
                "seeds and worlds.",
            ),
            paragraph(
                Strong("Several claims. "),
                "p of all pairs is adjusted by Holm's method: one false claim in the whole family is as rare as 5%. "
                "Tables by scenario are for exploring, and are not adjusted.",
            ),
            paragraph(
                Strong("Equal. "),
                "Said only where two one-sided tests show the difference to be below 1 point of success; a large p "
                "alone shows nothing.",
            ),
        )
    )


_APART = "they do not all have one success rate"


def _together(view: ExamView) -> Block | None:
    """Return Cochran's test of all single policies at once; None for fewer than three."""
    single = [
        one for one in view.contestants if one.num_seeds == 1 and all(view.has(one, s) for s in view.primary_scenarios)
    ]
    if len(single) < 3 or not view.tells_success:
        return None
    success = np.stack([values[0] for values in view.pooled(single, view.primary_scenarios)], axis=1)
    if success.dtype != bool:
        return None
    found = cochran_q(success)
    return paragraph(
        f"The {len(single)} single policies together: Cochran's Q = {found.statistic:.1f} with {found.df} degrees of "
        f"freedom, {words.p_text(found.p)}: "
        f"{_APART if found.p < 1 - view.confidence else 'nothing tells them apart as a group'}."
    )


def _power_table(view: ExamView, comparisons: Sequence[Comparison]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    for c in comparisons:
        unit = "seeds each" if c.units == "seeds" else "worlds"
        is_open = c.verdict is Verdict.UNDECIDED
        needed = DASH if c.needed is None else f"{words.counted(c.needed)} {unit}"
        equal = DASH if c.needed_equal is None else words.counted(c.needed_equal)
        least = DASH if not math.isfinite(c.least_difference) else words.signed_value(c, c.least_difference).lstrip("+")
        seen = words.signed_value(c, c.difference.value).lstrip("+" + words.MINUS)
        shown = words.p_text(c.p_equal_adjusted).removeprefix("p = ").removeprefix("p ")
        rows.append(
            (f"{c.first}, {c.second}", seen, least, Cell(needed, strong=is_open), shown, Cell(equal, strong=is_open))
        )
    return Table(
        "power",
        "What each comparison could find, at the level of the whole family: the difference that was seen, the least "
        "that would have been found with a probability of 80%, and how much the one that was seen takes; p of two "
        "one-sided tests (TOST), below .05 where the two are shown to be equal within the margin, and how many worlds "
        "would show that, were there no difference. Bold where the verdict is still open.",
        ("pair", "seen", "least", "to find the one seen", "p, equal", "to show equality"),
        tuple(rows),
        "lrrrrr",
    )


def _noise_table(view: ExamView) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    scale = 100.0 if view.tells_success else 1.0
    for one in view.ranked:
        scenarios = [s for s in view.primary_scenarios if view.has(one, s)]
        if not scenarios:
            continue
        values = view.pooled([one], scenarios)[0].astype(np.float64)
        found = noise_floor(values, view.rng())
        seeds = DASH if found.seeds != found.seeds else f"{found.seeds * scale:.1f}"
        rows.append((one.shown, f"{values.shape[1]:,}", f"{found.halves * scale:.1f}", seeds))
        records.append({"entrant": one.name, "worlds": values.shape[1], "halves": found.halves, "seeds": found.seeds})
    return Table(
        "noise",
        "A against A, in points: 95% of the differences between two disjoint halves of an entrant's own worlds are "
        "smaller than the first figure, and the best and the worst of its seeds differ by the second on the same "
        "worlds. A difference between two entrants that is no larger says nothing.",
        ("entrant", "worlds", "between halves", "between seeds"),
        tuple(rows),
        "lrrr",
        records=tuple(records),
    )


def _scores(view: ExamView, one: Contestant) -> np.ndarray | None:
    """Return the score of each seed in each of the verdict's scenarios, (S, T); None when one was not played."""
    if not all(view.has(one, s) for s in view.primary_scenarios):
        return None
    return np.stack([view.values(one, s).mean(1) for s in view.primary_scenarios], axis=1)


def _seeds(view: ExamView) -> list[Block]:
    methods = [(one, scores) for one in view.ranked if one.num_seeds > 1 and (scores := _scores(view, one)) is not None]
    if not methods:
        return []
    fewest = min(one.num_seeds for one, _ in methods)
    blocks: list[Block] = []
    if fewest < MIN_BOOTSTRAP_SEEDS:
        blocks.append(
            paragraph(
                f"With {fewest} seeds a bootstrap over seeds cannot cover: the interquartile mean is given without an "
                "interval, and intervals of methods are t on the seeds' means."
            )
        )
    blocks.append(_seed_table(view, methods))
    everyone = [(one, scores) for one in view.ranked if (scores := _scores(view, one)) is not None]
    if len(everyone) > 1:
        blocks.append(_improvement_table(everyone))
        blocks.append(_profiles(view, everyone))
    return blocks


def _seed_table(view: ExamView, methods: Sequence[tuple[Contestant, np.ndarray]]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    for one, scores in methods:
        found = over_seeds("iqm", scores, view.rng(), view.confidence)
        means = scores.mean(1)
        seeds = ", ".join(
            f"{view.table.entrants[e].train_seed}: {percent(float(m))}"
            for e, m in zip(one.entrants, means, strict=True)
        )
        iqm = (
            percent(found.value)
            if found.low != found.low
            else f"{percent(found.value)} ({percent(found.low)}{DASH}{percent(found.high)})"
        )
        rows.append(
            (
                one.name,
                seeds if one.num_seeds <= 5 else f"{one.num_seeds} seeds",
                percent(float(means.std(ddof=1))),
                iqm,
            )
        )
        records += [
            {"entrant": one.name, "seed": view.table.entrants[e].train_seed, "mean": float(m)}
            for e, m in zip(one.entrants, means, strict=True)
        ]
    return Table(
        "seeds",
        "The score of each training seed, the mean over scenarios; how much seeds differ (standard deviation); and "
        "the interquartile mean, which leaves out the best and the worst quarter of all scores.",
        ("method", "seed: score", "spread", "interquartile mean"),
        tuple(rows),
        "llrr",
        records=tuple(records),
    )


def _improvement_table(everyone: Sequence[tuple[Contestant, np.ndarray]]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    for one, scores in everyone:
        cells: list[str | Cell] = []
        for other, theirs in everyone:
            if one is other:
                cells.append(Cell(DASH, "quiet"))
                continue
            share = probability_of_improvement(scores, theirs)
            cells.append(Cell(f"{share:.2f}", shade=share))
        rows.append((one.shown, *cells))
    return Table(
        "improvement",
        "How probably a training of the row's entrant is better than one of the column's on a scenario, ties "
        "counting half: .5 is no difference. It tells how often, not by how much.",
        ("", *(one.name for one, _ in everyone)),
        tuple(rows),
        "l" + "c" * len(everyone),
    )


def _profiles(view: ExamView, everyone: Sequence[tuple[Contestant, np.ndarray]]) -> Block:
    thresholds = np.linspace(0.0, 1.0, 101)
    if not view.tells_success:
        thresholds = np.linspace(min(s.min() for _, s in everyone), max(s.max() for _, s in everyone), 101)
    lines = [(one, performance_profile(scores, thresholds)) for one, scores in everyone]
    caption = (
        "Performance profiles: the share of scores (one for each seed and scenario) that lie above a threshold. A "
        "curve that lies above another everywhere belongs to the better entrant; curves that cross trade strength "
        "here for weakness there. Interquartile means: "
        + "; ".join(f"{one.name} {percent(interquartile_mean(scores))}" for one, scores in everyone)
        + "."
    )
    return profile_lines(
        thresholds, lines, caption, "success of a scenario" if view.tells_success else view.metric.name
    )
