"""How episodes failed: what was hit, and which worlds are lost by all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robonav_ray.evaluation.exam_report.beside import Beside
from robonav_ray.evaluation.exam_report.outcomes import percent
from robonav_ray.evaluation.exam_report.view import ExamView
from robonav_ray.evaluation.failures.files import Told, tell_failures
from robonav_ray.records import Outcome
from robonav_ray.report.document import Block, Figure, Gallery, Scalar, Section, Strong, Table, paragraph

_KINDS = (
    (Outcome.COLLISION_DYNAMIC, "moving obstacle"),
    (Outcome.COLLISION_STATIC, "standing obstacle"),
    (Outcome.COLLISION_WALL, "wall"),
    (Outcome.COLLISION_ROBOT, "other robot"),
    (Outcome.TIMEOUT, "out of time"),
    (Outcome.NONE, "not told"),
    (Outcome.CUT_OFF, "cut off"),
)


def failures_section(view: ExamView, beside: Beside) -> Section | None:
    """Return the section on the failed episodes; None where outcomes are not told."""
    if not view.tells_success:
        return None
    outcome = view.table.columns["outcome"]
    if (outcome == Outcome.SUCCESS).all():
        return Section("Failures", (paragraph("No episode failed."),))
    blocks: list[Block] = [_kinds_table(view)]
    if hardest := _hardest(view):
        blocks.append(hardest)
    told = tell_failures(view.table)
    if len(told.failures):
        blocks.append(_clusters_table(view, told))
    if gallery := _gallery(view, told, beside.pictures):
        blocks += [_OF_PICTURES, gallery]
    if beside.replays:
        blocks.append(
            paragraph(f"Failed episodes are replayed in {' and '.join(beside.replays)} of the exam's folder.")
        )
    return Section("Failures", tuple(blocks))


_OF_PICTURES = paragraph(
    "Typical cases: 2 s before the end, 1 s before it, and the end, from left to right. The command ",
    Strong("robonav play --case CASE ENTRANT"),
    " films any of them.",
)
_CLUSTERS, _SHOWN = 4, 8


def _clusters_table(view: ExamView, told: Told) -> Table:
    """Return the largest clusters of each entrant, by what led to the failure."""
    rows, records, begins = [], [], []
    for entrant in (e for one in view.ranked for e in one.entrants):
        own = [cluster for number, cluster in told.clusters if number == entrant]
        failed = sum(cluster.size for cluster in own)
        begins.append(len(rows))
        for cluster in own[:_CLUSTERS]:
            case, share = told.failures.case(cluster.typical), cluster.size / failed
            name = view.table.entrants[entrant].name
            rows.append(
                (name if len(rows) == begins[-1] else "", cluster.name, f"{cluster.size:,}", percent(share), case)
            )
            records.append(
                {"entrant": name, "cluster": cluster.name, "episodes": cluster.size, "frac": share, "case": case}
            )
    return Table(
        "clusters",
        f"What led to the failures: the {_CLUSTERS} largest clusters of each entrant over all scenarios, by the last "
        "2 s in the robot's frame, with their share of its failures and a typical case (suite:scenario:world).",
        ("entrant", "cluster", "episodes", "share", "typical case"),
        tuple(rows),
        "llrrl",
        records=tuple(records),
        rules=tuple(begins[1:]),
    )


def _gallery(view: ExamView, told: Told, pictures: Mapping[tuple[int, int], bytes]) -> Gallery | None:
    """Return pictures of typical cases: those of the entrants in front first, the largest clusters of each."""
    figures: list[Figure] = []
    for entrant in (one.entrants[0] for one in view.ranked):
        own = [cluster for number, cluster in told.clusters if number == entrant]
        for i, cluster in enumerate(own[:_CLUSTERS]):
            if (entrant, i) in pictures:
                name = view.table.entrants[entrant].name
                caption = f"{name}: {cluster.name} ({told.failures.case(cluster.typical)})"
                figures.append(Figure(f"failure_{entrant}_{i}", caption, caption, png=pictures[entrant, i]))
    return Gallery(tuple(figures[:_SHOWN]), 2) if figures else None


def _outcomes(view: ExamView, number: int, families: tuple[int, ...]) -> np.ndarray:
    one = view.contestants[number]
    rows = [view.rows(e, s) for e in one.entrants for s in families if view.has(one, s)]
    return view.table.columns["outcome"][np.concatenate(rows)] if rows else np.zeros(0, np.int8)


def _kinds_table(view: ExamView) -> Table:
    everything = tuple(range(len(view.table.scenarios)))
    outcomes = {one.number: _outcomes(view, one.number, everything) for one in view.ranked}
    kinds = [(kind, name) for kind, name in _KINDS if any((found == kind).any() for found in outcomes.values())]
    rows = []
    records: list[dict[str, Scalar]] = []
    for one in view.ranked:
        found = outcomes[one.number]
        failed = int((found != Outcome.SUCCESS).sum())
        shares = [percent(float((found == kind).sum()) / failed if failed else None) for kind, _ in kinds]
        rows.append((one.shown, f"{len(found):,}", f"{failed:,}", *shares))
        records += [{"entrant": one.name, "kind": name, "episodes": int((found == kind).sum())} for kind, name in kinds]
    return Table(
        "failures",
        "How the failed episodes of all scenarios failed, in percent of an entrant's failures: a row adds up to 100.",
        ("entrant", "episodes", "failed", *(name for _, name in kinds)),
        tuple(rows),
        "lrr" + "r" * len(kinds),
        records=tuple(records),
    )


def _hardest(view: ExamView, most: int = 8) -> Table | None:
    """Return the scenarios in which the leader fails most."""
    leader = view.ranked[0]
    played = [s for s in range(len(view.table.scenarios)) if view.has(leader, s)]
    if len(played) < 2:
        return None
    found = sorted(played, key=lambda s: (float(view.values(leader, s).mean()), s))[:most]
    rows = []
    for s in found:
        outcome = _outcomes(view, leader.number, (s,))
        failed = outcome[outcome != Outcome.SUCCESS]
        name, share = "none", 0.0
        if len(failed):
            kind, name = max(_KINDS, key=lambda it: int((failed == it[0]).sum()))
            share = float((failed == kind).mean())
        rows.append(
            (
                view.table.scenario_names[s].replace("_", " "),
                view.table.scenarios[s].family,
                percent(float((outcome == Outcome.SUCCESS).mean())),
                f"{name} ({percent(share, 0)})",
            )
        )
    return Table(
        "hardest",
        f"Where {leader.name} fails most, the worst scenario first, and how it mostly ends there (share of the "
        "failures).",
        ("scenario", "family", "success", "mostly"),
        tuple(rows),
        "llrl",
    )
