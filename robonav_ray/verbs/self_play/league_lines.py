"""A league as lines of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robonav_ray.runtime.self_play.league_view import LeagueView
    from robonav_ray.screen import Screen

MAX_EVENTS = 8


def print_league(view: LeagueView, screen: Screen) -> None:
    """Print members, partners, and what else is known of a league."""
    from robonav_ray.text import visible

    _print_members(view, screen)
    for line in _lines(view):
        screen.print(line, soft_wrap=True)
    for event in view.standing.events[-MAX_EVENTS:]:
        detail = f": {event.detail}" if event.detail else ""
        screen.print(visible(f"at {event.step:,} {event.event} {event.member}{detail}"), style="dim", soft_wrap=True)


def _print_members(view: LeagueView, screen: Screen) -> None:
    from rich.table import Table

    from robonav_ray.text import visible

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("member", overflow="fold")
    for name in ("met", "score with it, %", "forgot", "rating", "Nash", "Elo"):
        table.add_column(name, justify="right")
    for one in sorted(view.standing.members, key=lambda member: (member.is_rated, member.ability), reverse=True):
        score = f"{100 * one.score:.0f} [{100 * one.score_low:.0f}, {100 * one.score_high:.0f}]"
        strength = (
            f"{one.ability:+.0f} [{one.ability_low:+.0f}, {one.ability_high:+.0f}]",
            f"{one.nash_skill:+.0f} {one.nash_weight:.0%}",
            f"{one.elo:+.0f}",
        )
        table.add_row(
            visible(one.id + (" (best)" if one.is_best else "")),
            f"{one.met_frac:.0%}",
            score if one.games else "-",
            f"{one.forgotten:.0%}",
            *(strength if one.is_rated else ("-", "-", "-")),
        )
    screen.print(table)


def _lines(view: LeagueView) -> list[str]:
    """Return what stands below the table, escaped."""
    from robonav_ray.text import command_text, visible

    standing, learner = view.standing, view.standing.learner
    setting = standing.setting
    if setting is None:
        lines = [
            "scores of training: with its exploration, in the stages that it had; "
            f"`{command_text('robonav', 'league', 'rate', view.found.shown)}` plays held-out cases"
        ]
    else:
        lines = [
            f"scores of {setting.num_cases} held-out cases for every two: {setting.stage}, {setting.robots}, "
            f"seed {setting.seed}"
        ]
    line = [one.id for one in standing.members if one.role == "main" and one.id != learner]
    lines.append(f"line of {learner}: {', '.join(line) or 'no snapshot yet'}; {len(standing.lineage)} members ever")
    lines.append(f"{learner} does worst with {standing.worst}: {standing.worst_score:.0%}")
    own = next(one.partners for one in standing.members if one.id == learner)
    if own is not None:
        lines.append(
            f"{learner}: {own.alone:.1%} alone, {own.mean.value:.1%} beside others, {own.worst_score.value:.1%} "
            f"[{own.worst_score.low:.1%}, {own.worst_score.high:.1%}] beside the worst partner, {own.tail.value:.1%} "
            f"[{own.tail.low:.1%}, {own.tail.high:.1%}] in the worst tenth of the cases"
        )
    if standing.diversity:
        last = standing.diversity[-1]
        behaviour = "" if last["distance"] is None else f", total variation {last['distance']:.2f}"
        lines.append(f"diversity of {last['num_members']} snapshots: log-determinant {last['log_det']:.1f}{behaviour}")
    lines += [
        f"{exploit['id']} ({exploit['role']}, {exploit['start']}, {exploit['used_env_steps']:,} env steps) "
        f"gained {exploit['gain']:.1%} over {exploit['target']}: a lower bound of its exploitability"
        for exploit in standing.exploits
        if exploit["id"] not in {found.id for found in view.exploits}
    ]
    lines += [
        f"{found.id or 'a best response'} ({found.role}, {found.budget_s:,.0f} s) gained {found.gain:.1%} "
        f"[{found.low:.1%}, {found.high:.1%}] over {found.member}: a lower bound of its exploitability"
        for found in view.exploits
    ]
    return [str(visible(text)) for text in lines]
