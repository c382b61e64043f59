"""The first page: who is better, by how much, how sure that is, and what could have been found."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robonav_ray.evaluation.comparing import verdict as judged
from robonav_ray.evaluation.comparing import words
from robonav_ray.evaluation.comparing.verdict import Comparison, TooFewEpisodesError
from robonav_ray.evaluation.exam_report.figures import forest
from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.report.document import Block, Cell, Paragraph, Strong, Table, Tone, Verdict, paragraph

TONES: dict[judged.Verdict, Tone] = {
    judged.Verdict.BETTER: "good",
    judged.Verdict.WORSE: "bad",
    judged.Verdict.EQUAL: "",
    judged.Verdict.UNDECIDED: "quiet",
}


def title_of(view: ExamView) -> str:
    """Return who is compared."""
    names = [one.name for one in view.contestants]
    if len(names) == 1:
        return names[0]
    return f"{names[0]} against {names[1]}" if len(names) == 2 else f"{names[0]} against {len(names) - 1} others"


def subtitle_of(view: ExamView) -> str:
    """Return how much was played."""
    table = view.table
    policies = len(table.entrants)
    who = f"{len(view.contestants)} entrants" if policies > 1 else "1 entrant"
    behind = f" ({policies} policies)" if policies > len(view.contestants) else ""
    suites = list(dict.fromkeys(facts.suite for facts in table.scenarios))
    named = f"suite{'s' * (len(suites) > 1)} {', '.join(suites)}"
    scenarios = f"{len(table.scenarios)} scenario{'s' * (len(table.scenarios) > 1)}"
    return f"{who}{behind}, {scenarios}, {table.num_rows:,} episodes; {named}"


def front_page(view: ExamView) -> tuple[Block, ...]:
    """Return the blocks of the first page."""
    estimates = [(one, view.estimate(one, view.primary_scenarios)) for one in view.ranked]
    known = [(one, found) for one, found in estimates if found is not None]
    blocks: list[Block] = [_verdict(view)]
    if len(view.contestants) > 2:
        blocks.append(_rivals(view))
    worlds = "the standard scenarios" if view.family("standard") else "all scenarios"
    if known:
        caption = (
            f"{view.metric.name.capitalize()} over the episodes of {worlds}, with {view.confidence:.0%} intervals: of "
            "one policy Wilson's over its worlds, of a method with several seeds over seeds and worlds. Intervals that "
            "overlap may still differ: all play the same worlds, and the comparison above looks at each world."
        )
        blocks.append(forest(view, known, caption))
    if note := _knowledge(view.contestants):
        blocks.append(note)
    return tuple(blocks)


def verdict_lines(table: ExamTable) -> list[str]:
    """Return the verdict of an exam for a terminal: who is better, and the figures of the closest pair; none for one
    entrant, or for too few episodes.
    """
    view = ExamView(table)
    try:
        shown = _verdict(view)
    except TooFewEpisodesError as error:
        return [str(error)]
    return [shown.headline, shown.text] if shown.figures else []


def _knowledge(contestants: Sequence[Contestant]) -> Paragraph | None:
    """Return a warning where some are shown more than others."""
    by_knows: dict[str, list[str]] = {}
    for one in contestants:
        by_knows.setdefault(one.knows, []).append(one.name)
    if len(by_knows) < 2:
        return None
    parts = "; ".join(f"{knows}: {', '.join(names)}" for knows, names in by_knows.items())
    return paragraph(
        Strong("Not all see the same. "),
        f"{parts}. An entrant that is shown the true state knows what no sensor of a robot tells; read it as a "
        "yardstick.",
    )


def _verdict(view: ExamView) -> Verdict:
    leader = view.ranked[0]
    rivals = [(other, view.comparisons[leader.number, other.number]) for other in view.ranked[1:]]
    if not rivals:
        found = view.estimate(leader, view.primary_scenarios)
        value = (
            ""
            if found is None
            else f": {view.metric.name} {_shown(view, found.value)} "
            f"({_shown(view, found.low)} to {_shown(view, found.high)})"
        )
        return Verdict(f"{leader.name}{value}", "", "There is one entrant, so there is nothing to compare it with.", ())
    closest = rivals[0][1]
    headline, tone = _headline(leader, rivals)
    text = f"{words.figures(closest)[:1].upper()}{words.figures(closest)[1:]}."
    if len(rivals) > 1:
        text = f"Against {closest.second}, the closest: {words.figures(closest)}."
    more = " ".join(part for part in (words.needed_text(closest), words.claim_text(closest)) if part)
    return Verdict(headline, tone, f"{text} {more}", _figures(closest))


def _shown(view: ExamView, value: float) -> str:
    return f"{100 * value:.1f}%" if view.tells_success else f"{value:.3g}"


def _headline(leader: Contestant, rivals: Sequence[tuple[Contestant, Comparison]]) -> tuple[str, Tone]:
    if len(rivals) == 1:
        return words.headline(rivals[0][1]), TONES[rivals[0][1].verdict]
    beaten = [other for other, one in rivals if one.verdict is judged.Verdict.BETTER]
    if len(beaten) == len(rivals):
        return f"{leader.name} is better than all {len(rivals)} others", "good"
    rest = [other.name for other, one in rivals if one.verdict is not judged.Verdict.BETTER]
    shown = f"{', '.join(rest[:-1])} and {rest[-1]}" if len(rest) > 1 else rest[0]
    if len(rest) > 3:
        shown = f"{len(rest)} others"
    if not beaten:
        return f"{leader.name} is in front, but cannot be told apart from {shown}", "quiet"
    return (
        f"{leader.name} is better than {len(beaten)} of {len(rivals)} others, but cannot be told apart from {shown}",
        "quiet",
    )


def _figures(c: Comparison) -> tuple[tuple[str, str], ...]:
    least = (
        "none" if not math.isfinite(c.least_difference) else words.difference_text(c, c.least_difference).lstrip("+")
    )
    return (
        (
            f"difference in {c.metric.name}, {c.first} \N{MINUS SIGN} {c.second}",
            words.difference_text(c, c.difference.value),
        ),
        (f"{c.confidence:.0%} interval", words.interval_text(c)),
        (
            "p, adjusted for all comparisons" if c.num_claims > 1 else "p",
            words.p_text(c.p_adjusted).removeprefix("p = ").removeprefix("p "),
        ),
        ("common worlds", f"{c.num_worlds:,}"),
        ("training seeds", f"{c.num_seeds[0]} against {c.num_seeds[1]}"),
        ("least difference found with 80% probability", least),
    )


def _rivals(view: ExamView) -> Table:
    leader = view.ranked[0]
    rows = []
    for other in view.ranked[1:]:
        c = view.comparisons[leader.number, other.number]
        rows.append(
            (
                other.shown,
                words.signed_value(c, c.difference.value),
                words.interval_text(c),
                words.p_text(c.p_adjusted).removeprefix("p = ").removeprefix("p "),
                "seeds" if c.units == "seeds" else "worlds",
                Cell(str(c.verdict), TONES[c.verdict], strong=c.verdict is judged.Verdict.BETTER),
            )
        )
    unit = "points" if view.tells_success else ""
    return Table(
        "leader",
        f"{leader.name} against each other entrant: difference in {view.metric.name} ({unit or 'its unit'}) with its "
        f"{view.confidence:.0%} interval; p is adjusted for {len(view.comparisons)} comparisons by Holm's method; "
        "units are what the claim generalises over.",
        ("against", "difference", f"{view.confidence:.0%} interval", "p", "units", f"{leader.name} is"),
        tuple(rows),
        "lrrrll",
    )
