"""The document of an exam."""

from __future__ import annotations

from typing import Any

from robonav_ray.evaluation.comparing import words
from robonav_ray.evaluation.comparing.verdict import Comparison
from robonav_ray.evaluation.exam_report.beside import Beside
from robonav_ray.evaluation.exam_report.failures import failures_section
from robonav_ray.evaluation.exam_report.front import front_page, subtitle_of, title_of
from robonav_ray.evaluation.exam_report.numbers import statistics_section
from robonav_ray.evaluation.exam_report.origin import origin_section
from robonav_ray.evaluation.exam_report.outcomes import outcomes_section, pairs_section
from robonav_ray.evaluation.exam_report.shared import partners_section, shared_section
from robonav_ray.evaluation.exam_report.sweeps import (
    generalisation_section,
    others_section,
    robustness_section,
    stress_section,
    worst_worlds_section,
)
from robonav_ray.evaluation.exam_report.view import ExamView
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.partner_scores import shared_dict
from robonav_ray.report.document import Document

SUMMARY_VERSION = 1


def exam_document(table: ExamTable, beside: Beside | None = None) -> Document:
    """Return the report of ``table`` and what lies ``beside`` it; the same of both gives the same document.

    Raises:
        TooFewEpisodesError: When two entrants have too few episodes in common for a comparison.
    """
    view, beside = ExamView(table), beside or Beside()
    sections = (
        outcomes_section(view),
        pairs_section(view),
        shared_section(view),
        partners_section(view),
        robustness_section(view),
        generalisation_section(view),
        stress_section(view),
        worst_worlds_section(view) if view.tells_success else None,
        others_section(view),
        failures_section(view, beside),
        statistics_section(view),
        origin_section(view),
    )
    return Document(
        title=title_of(view),
        subtitle=subtitle_of(view),
        front=front_page(view),
        sections=tuple(section for section in sections if section is not None),
        footer="robonav_ray",
        summary=exam_summary(view),
    )


def exam_summary(view: ExamView) -> dict[str, Any]:
    """Return the figures for programs, as JSON takes them (``summary.json``)."""
    return {
        "format_version": SUMMARY_VERSION,
        "metric": view.metric.name,
        "confidence": view.confidence,
        "scenarios": [view.table.scenario_names[s] for s in view.primary_scenarios],
        "verdict": [words.verdict_text(one) for one in view.comparisons.values()],
        "ranking": [one.name for one in view.ranked],
        "entrants": [_entrant(view, i) for i in range(len(view.contestants))],
        "comparisons": [_comparison(one) for one in view.comparisons.values()],
        **shared_dict(view.table),
        "num_episodes": view.table.num_rows,
        "provenance": view.table.provenance,
    }


def _entrant(view: ExamView, number: int) -> dict[str, Any]:
    one = view.contestants[number]
    overall = view.estimate(one, view.primary_scenarios)
    cells = {scenario: view.estimate(one, [s]) for s, scenario in enumerate(view.table.scenario_names)}
    return {
        "name": one.name,
        "knows": one.knows,
        "num_seeds": one.num_seeds,
        "policies": [view.table.entrants[e].name for e in one.entrants],
        "overall": None if overall is None else overall._asdict(),
        "scenarios": {name: None if found is None else found._asdict() for name, found in cells.items()},
    }


def _comparison(c: Comparison) -> dict[str, Any]:
    return {
        "first": c.first,
        "second": c.second,
        "verdict": str(c.verdict),
        "units": c.units,
        "test": c.test,
        "num_worlds": c.num_worlds,
        "num_seeds": list(c.num_seeds),
        "values": list(c.values),
        "difference": c.difference._asdict(),
        "p": c.p,
        "p_adjusted": c.p_adjusted,
        "num_claims": c.num_claims,
        "margin": c.metric.margin,
        "p_equal_adjusted": c.p_equal_adjusted,
        "least_difference": c.least_difference,
        "needed": c.needed,
        "needed_equal": c.needed_equal,
    }
