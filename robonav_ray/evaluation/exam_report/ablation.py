"""The ablation's section: what each part of the method is worth."""

from __future__ import annotations

import json
from dataclasses import asdict

from robonav_ray.evaluation.ablation.picture import losses_figure
from robonav_ray.evaluation.ablation.table import (
    AblationTable,
    Row,
    caption,
    heads,
    row_cells,
    rows_by_loss,
)
from robonav_ray.evaluation.exam_report.figures import drawn
from robonav_ray.report.document import Block, Cell, Document, Scalar, Section, Table, Tone, Verdict, paragraph

_TONES: dict[str, Tone] = {"worth having": "good", "better without": "bad"}


def ablation_section(table: AblationTable) -> Section:
    """Return the table and the picture of an ablation."""
    return Section("Ablation", (paragraph(caption(table), tone="quiet"), *_blocks(table)))


def ablation_document(table: AblationTable) -> Document:
    """Return the report of an ablation alone."""
    return Document(
        title=f"Ablation {table.name}",
        subtitle=f"{len(rows_by_loss(table))} switches, {table.env_steps:,} env steps a training",
        front=(_verdict(table),),
        sections=(ablation_section(table),),
        kind="Ablation report",
        footer="robonav_ray",
        summary={"format_version": 1, **asdict(table)},
    )


def _verdict(table: AblationTable) -> Verdict:
    worth = [row.switch for row in rows_by_loss(table) if row.verdict == "worth having"]
    without = [row.switch for row in rows_by_loss(table) if row.verdict == "better without"]
    headline = f"Worth having: {', '.join(worth)}" if worth else "No part is shown to be worth having"
    more = f" Better without: {', '.join(without)}." if without else ""
    figures = tuple((f"without {row.switch}", row_cells(row, table)[3]) for row in rows_by_loss(table)[:6])
    return Verdict(headline, "good" if worth else "quiet", caption(table) + more, figures)


def _blocks(table: AblationTable) -> tuple[Block, ...]:
    rows = tuple(_shown(row, table) for row in table.rows)
    head = (*(name or "verdict" for name in heads(table)), "by")
    shown = Table("ablation", caption(table), head, rows, "lrrrll", tuple(_record(row) for row in table.rows))
    figure = losses_figure(table)
    if figure is None:
        return (shown,)
    text = "What is lost without each part, with its interval; a point is a seed."
    return (shown, drawn("ablation", figure, text, "loss of each switch with its interval"))


def _shown(row: Row, table: AblationTable) -> tuple[str | Cell, ...]:
    *cells, verdict = row_cells(row, table)
    by = "" if row.off_value is None else f"{row.key} = {json.dumps(row.off_value)}"
    return (*cells, Cell(verdict, _TONES.get(row.verdict, "")), by)


def _record(row: Row) -> dict[str, Scalar]:
    """Return a row for the CSV: lists are written with spaces between their items."""
    lists = {"seeds": row.seeds, "success": row.success, "differences": row.differences}
    listed = {name: " ".join(f"{value:g}" for value in values) for name, values in lists.items()}
    return {**asdict(row), **listed, "off_value": json.dumps(row.off_value), "verdict": row.verdict}
