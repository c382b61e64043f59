"""The page of an A/B test: the verdict, the rows of the gate, and what each look showed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.evaluation.ab.gate import Verdict as RowVerdict
from robonav_ray.evaluation.ab.gate import in_points, points
from robonav_ray.evaluation.ab.record import AbRecord, written_in
from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.files.plain_files import replace
from robonav_ray.report.document import Cell, Document, Facts, Figure, Section, Table, Tone, Verdict, paragraph
from robonav_ray.report.html_page import html_page
from robonav_ray.report.style import BLUE, FAINT, INK, RED, bare_axes, make_figure, png_of, svg_of

_TONES: dict[RowVerdict, Tone] = {"passed": "good", "failed": "bad", "not asked": "quiet"}


def write_record(record: AbRecord, folder: Path) -> bytes:
    """Write ``ab.html`` and ``ab.json`` into ``folder``, which is there; return the bytes of ``ab.json``."""
    page, document = written_in(folder)
    data = record.to_bytes()
    replace(page, html_page(ab_document(record)))
    replace(document, data)
    return data


def ab_document(record: AbRecord) -> Document:
    """Return the report of a test; the same test gives the same document."""
    return Document(
        title=f"{record.challenger.name} against {record.champion.name}",
        subtitle=f"{record.last.num_worlds:,} of at most {record.num_planned:,} worlds, played by both",
        front=(_verdict(record), _rows(record), _curves(record)),
        sections=(
            Section("How it was tested", (_how(record), _facts(record))),
            Section("Every look", (_looks(record),)),
        ),
        kind="A/B test",
        footer="robonav_ray",
    )


def _verdict(record: AbRecord) -> Verdict:
    last, (challenger, champion) = record.last, record.rates
    figures = (
        ("worlds", f"{last.num_worlds:,}"),
        ("success", f"{challenger[0]:.1%} against {champion[0]:.1%}"),
        ("difference in success", points(last.success)),
        ("collisions", f"{challenger[1]:.1%} against {champion[1]:.1%}"),
        ("difference in collisions", points(last.collisions)),
        ("decision", str(record.decision)),
    )
    why = "Every row of the gate is passed." if record.gate.passed else f"Refused: {record.gate.reason}."
    return Verdict(record.headline, "good" if record.gate.passed else "bad", why, figures)


def _rows(record: AbRecord) -> Table:
    return Table(
        "gate",
        "The gate: a promotion takes all rows that are asked.",
        ("row", "verdict", "figures"),
        tuple((row.name, Cell(row.verdict, _TONES[row.verdict], strong=True), row.text) for row in record.gate.rows),
        "lll",
    )


def _curves(record: AbRecord) -> Figure:
    figure = make_figure(16.8, 6.2)
    worlds = [one.num_worlds for one in record.standings]
    kinds = (
        ("success", [one.success for one in record.standings], 0.0, BLUE),
        ("collisions", [one.collisions for one in record.standings], record.rules.collision_margin, RED),
    )
    for panel, (name, found, limit, colour) in zip(figure.subplots(1, 2), kinds, strict=True):
        bare_axes(panel)
        _band(panel, worlds, found, limit, colour)
        panel.axhline(100 * limit, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        panel.set_title(f"difference in {name} (points)", fontsize=8.5, color=INK, loc="left")
        panel.set_xlabel("worlds", fontsize=7.5, color=FAINT)
    sure = 1.0 - record.rules.alpha
    caption = (
        f"Challenger minus champion after each batch; each edge of a band holds at all looks together with {sure:.0%}. "
        "Success is shown to be better when its band lies above the line; collisions are shown not to be worse when "
        "theirs lies below it."
    )
    alt = "bands of the differences in success and collisions over the worlds played"
    return Figure("looks", caption, alt, svg_of(figure), as_png=partial(png_of, figure))


def _band(panel: Any, worlds: Sequence[int], found: Sequence[Interval], limit: float, colour: str) -> None:
    value, low, high = 100 * np.array(found).T
    panel.fill_between(worlds, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.vlines(worlds, low, high, color=colour, linewidth=1.2, alpha=0.5)
    panel.plot(worlds, value, color=colour, marker="o", markersize=3.2, linewidth=1.5)
    panel.set_xlim(0, 1.08 * worlds[-1])
    least, most = min(low[-1], 100 * limit), max(high[-1], 100 * limit)
    room = 0.5 * max(most - least, 1.0)
    panel.set_ylim(least - room, most + room)


def _how(record: AbRecord) -> Any:
    rules = record.rules
    return paragraph(
        "Both played the same worlds, in batches, and the test looked after each. It bets on the worlds in which just "
        "one of the two succeeds (or collides); what the bets win is evidence that stays valid however often one looks "
        "(Waudby-Smith & Ramdas 2024; on pairs the mixture SPRT of Robbins 1970). A challenger that is no better is "
        f"called better with a probability of at most {rules.alpha:g}. The test ends when success is better and "
        f"collisions are not worse by {in_points(rules.collision_margin)}, when the gain is surely less than "
        f"{in_points(rules.least_gain)}, when collisions are surely worse by the margin, or when the worlds are "
        "played."
    )


def _facts(record: AbRecord) -> Facts:
    rows = [
        (f"{role}: {key.replace('_', ' ')}", str(value))
        for role, facts in (("champion", record.champion), ("challenger", record.challenger))
        for key, value in (("source", facts.source), ("knows", facts.knows), *facts.provenance.items())
    ]
    rows += [(key.replace("_", " "), _shown(value)) for key, value in record.provenance.items()]
    return Facts(tuple(rows))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {told}" for key, told in value.items())
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _looks(record: AbRecord) -> Table:
    return Table(
        "looks",
        "Where the test stood after each batch; bounds never grow wider.",
        ("worlds", "difference in success", "difference in collisions", "one alone succeeds", "decision"),
        tuple(
            (
                f"{one.num_worlds:,}",
                points(one.success),
                points(one.collisions),
                f"{one.discordant_frac:.1%}",
                str(one.decision),
            )
            for one in record.standings
        ),
        "rrrrl",
    )
