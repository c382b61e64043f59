"""The league of a run in a report: matrix, ratings, partners, lineage, diversity, what was forgotten and exploited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from robonav_ray.evaluation.exam_report.figures import drawn
from robonav_ray.league.cross_play import Bounded, Partners
from robonav_ray.league.picture import behaviour_figure, league_figure
from robonav_ray.league.standing import MemberStanding
from robonav_ray.report.document import Block, Cell, Document, Figure, Section, Table, Verdict, paragraph
from robonav_ray.runtime.self_play.league_view import LeagueView

_SHADE_BELOW = 0.95
"""Score from which a cell of the worst partner is bad."""


def league_document(view: LeagueView) -> Document:
    """Return the report of a league alone."""
    first, *rest = _blocks(view)
    return Document(
        title=f"League of {view.title}",
        subtitle=f"{len(view.standing.members)} members at {view.found.env_steps:,} env steps",
        front=(_verdict(view), first, rest[0]),
        sections=(Section("Members in detail", tuple(rest[1:])),),
        kind="League report",
        footer="robonav_ray",
        summary={"format_version": 1, **view.to_dict()},
    )


def league_section(view: LeagueView, title: str, number: int = 1) -> Section:
    """Return the part of a report of something else; ``number`` tells the tables of several leagues apart."""
    suffix = "" if number == 1 else f"_{number}"
    blocks = [
        replace(block, name=f"{block.name}{suffix}") if isinstance(block, Table | Figure) else block
        for block in _blocks(view)
    ]
    return Section(title, (paragraph(_how_text(view), tone="quiet"), *blocks))


def _blocks(view: LeagueView) -> list[Block]:
    """Return the members, the picture, and what else there is."""
    members, *rest = league_tables(view)
    picture = drawn(
        "league",
        league_figure(view.found.league, view.results, with_behaviour=False),
        "Score of each row with each column; ratings with 95 % intervals; how different the snapshots were over time.",
        "matrix of scores, ratings and diversity of the league",
    )
    blocks: list[Block] = [members, picture, *rest]
    behaviour = behaviour_figure(view.results)
    if behaviour is not None:
        text = (
            "How differently policies choose in the same states: mean total variation of softmax(Q / s), s being the "
            "spread of Q over actions."
        )
        blocks.append(drawn("league_behaviour", behaviour, text, "matrix of behavioural distances", 0.5))
    return [*blocks, *_notes(view)]


def league_tables(view: LeagueView) -> tuple[Table, ...]:
    """Return members, partners (where they were played), lineage and exploits as tables; trackers get them, too."""
    tables = [_members(view)]
    if view.results.cross_play is not None:
        tables.append(_partners(view))
    tables.append(_lineage(view))
    if view.exploits:
        tables.append(_exploits(view))
    return tuple(tables)


def _verdict(view: LeagueView) -> Verdict:
    one = _learner(view)
    best = max((m for m in view.standing.members if m.is_rated), key=lambda m: m.ability, default=one)
    figures = [("strongest", best.id), ("worst partner", view.standing.worst)]
    if one.partners is not None:
        figures += [
            ("alone", _percent(one.partners.alone)),
            ("beside others", _percent(one.partners.mean.value)),
            ("worst tenth of cases", _percent(one.partners.tail.value)),
        ]
    figures.append(("most exploited", f"{100 * max(e.gain for e in view.exploits):.0f} %" if view.exploits else "-"))
    return Verdict(
        f"{one.id} does worst beside {view.standing.worst}: {_percent(view.standing.worst_score)}",
        "good" if view.standing.worst_score >= _SHADE_BELOW else "bad",
        _how_text(view),
        tuple(figures),
    )


def _how_text(view: LeagueView) -> str:
    setting = view.standing.setting
    if setting is None:
        return (
            "By the results of training: with its exploration, in the stages that it had, mostly of the policy that "
            "learns. `robonav league rate RUN` plays every two members on held-out cases."
        )
    return (
        f"Every two members on the same {setting.num_cases} held-out cases of {setting.stage}, {setting.robots}, "
        f"seed {setting.seed}: half of the robots each. A score is the part of one's robots that arrived."
    )


def _members(view: LeagueView) -> Table:
    ranked = sorted(view.standing.members, key=lambda one: (one.is_rated, one.ability), reverse=True)
    head = ("member", "role", "met", "score with it", "forgot", "rating", "Nash", "Elo")
    rows = [
        (
            Cell(one.id + (" (best)" if one.is_best else ""), strong=one.is_best),
            one.role,
            _percent(one.met_frac),
            f"{_percent(one.score)} ({100 * one.score_low:.0f} to {100 * one.score_high:.0f})" if one.games else "-",
            _percent(one.forgotten),
            f"{one.ability:+.0f} ({one.ability_low:+.0f} to {one.ability_high:+.0f})" if one.is_rated else "-",
            f"{one.nash_skill:+.0f}, {_percent(one.nash_weight)}" if one.is_rated else "-",
            f"{one.elo:+.0f}" if one.is_rated else "-",
        )
        for one in ranked
    ]
    caption = (
        f"Members: part of the worlds in which each is met, score of {view.standing.learner} with it, by how much that "
        "is below the best snapshot's, Bradley-Terry's rating with its interval, the Nash average and part in the "
        "equilibrium, Elo. 400 points are odds of ten to one."
    )
    records = [
        {
            **{name: getattr(one, name) for name in _RECORDED},
            "worst_partner": None if one.partners is None else one.partners.worst,
            "worst_score": None if one.partners is None else one.partners.worst_score.value,
            "cvar_10": None if one.partners is None else one.partners.tail.value,
        }
        for one in ranked
    ]
    return Table("league_members", caption, head, tuple(rows), "llrrrrrr", tuple(records))


_RECORDED = ("id", "role", "parent", "step", "met_frac", "score", "score_low", "score_high", "forgotten", "ability",
             "ability_low", "ability_high", "nash_skill", "nash_weight", "elo")  # fmt: skip


def _partners(view: LeagueView) -> Table:
    head = ("member", "worst partner", "score with it", "beside others", "alone", "worst tenth of cases")
    ranked = [one for one in view.standing.members if one.partners is not None]
    ranked.sort(key=lambda one: one.partners.worst_score.value if one.partners else 0.0, reverse=True)
    rows, records = [], []
    for one in ranked:
        found = one.partners
        if found is None:
            continue
        bad = found.worst_score.value < _SHADE_BELOW
        rows.append(
            (
                one.id,
                found.worst,
                Cell(_bounded(found.worst_score), "bad" if bad else ""),
                _bounded(found.mean),
                _percent(found.alone),
                _bounded(found.tail),
            )
        )
        records.append({"member": one.id, "alone": found.alone, "worst": found.worst, **_flat(found)})
    caption = (
        "Partners: part of a member's robots that arrive beside the worst of the others, on average beside them, when "
        "all robots are its own, and in the worst tenth of the cases (CVaR), which are found, for each "
        "partner, beside the others. Intervals are 95 %, over cases; that of the worst allows for its being picked."
    )
    return Table("league_partners", caption, head, tuple(rows), "llrrrr", tuple(records))


def _flat(found: Partners) -> dict[str, float]:
    named = (("mean", found.mean), ("worst_score", found.worst_score), ("cvar_10", found.tail))
    return {f"{name}{end}": getattr(one, part) for name, one in named
            for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))}  # fmt: skip


def _lineage(view: LeagueView) -> Table:
    there = {one.id for one in view.found.league.pool.members}
    ever = sorted(view.standing.lineage, key=lambda one: (one["role"] != "main", one["step"], one["id"]))
    rows = [
        (one["id"], one["role"], one["parent"] or "-", _steps(view, one), one["sha256"][:12] if one["sha256"] else "-")
        for one in ever
        if one["id"] in there
    ]
    left = len(ever) - len(rows)
    caption = "Lineage: whose weights each member began with, and when it was frozen" + (
        f"; {left} more have left, which the CSV has too." if left else "."
    )
    records = [{**one, "is_there": one["id"] in there} for one in ever]
    head = ("member", "role", "parent", "env steps", "weights")
    return Table("league_lineage", caption, head, tuple(rows), "lllrl", tuple(records))


def _steps(view: LeagueView, member: Mapping[str, Any]) -> str:
    """Return the env steps that a member of the lineage has trained."""
    if member["role"] == "scripted":
        return "-"
    return f"{view.found.env_steps if member['id'] == view.standing.learner else member['step']:,}"


def _exploits(view: LeagueView) -> Table:
    rows = [
        (e.member, e.role, f"{e.budget_s:,.0f} s", f"{_percent(e.gain)} ({100 * e.low:.0f} to {100 * e.high:.0f})",
         f"{e.num_cases:,}")
        for e in view.exploits
    ]  # fmt: skip
    caption = (
        "Exploitability found: what a best response with a budget gained over its frozen target. A lower bound: "
        "another method, or a larger budget, may find more."
    )
    return Table("league_exploits", caption, ("member", "exploiter", "budget", "gain", "cases"), tuple(rows), "llrrr",
                 tuple(e._asdict() for e in view.exploits))  # fmt: skip


def _notes(view: LeagueView) -> list[Block]:
    notes: list[Block] = []
    points = view.standing.diversity
    if points:
        last = points[-1]
        behaviour = "" if last["distance"] is None else f", total variation {last['distance']:.2f}"
        notes.append(
            paragraph(
                f"Diversity of {last['num_members']} snapshots: log-determinant {last['log_det']:.1f}{behaviour}."
            )
        )
    forgotten = [one for one in view.standing.members if one.forgotten > 0.0]
    if forgotten:
        most = max(forgotten, key=lambda one: one.forgotten)
        notes.append(
            paragraph(f"Most forgotten: beside {most.id} an earlier snapshot did {_percent(most.forgotten)} better.")
        )
    return notes


def _learner(view: LeagueView) -> MemberStanding:
    return next(one for one in view.standing.members if one.id == view.standing.learner)


def _bounded(one: Bounded) -> str:
    return f"{_percent(one.value)} ({100 * one.low:.0f} to {100 * one.high:.0f})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
