"""``robonav compare``: all entrants play the same scenarios."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from robonav_ray.errors import EXIT_RESUME
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

app = typer.Typer()
_PARTNERS = "--partners"


class _ManyPartners(TyperCommand):
    """Takes all words behind ``--partners``, up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the option before each of them."""
        spread, is_partner = list[str](), False
        for before, arg in zip(["", *args], [*args, "-"], strict=True):
            is_word = not arg.startswith("-")
            if before == _PARTNERS and not is_word:
                raise typer.BadParameter("requires an argument: name partners behind it", param_hint=_PARTNERS)
            if is_partner and is_word and before != _PARTNERS:
                spread.append(_PARTNERS)
            spread.append(arg)
            is_partner = arg == _PARTNERS or (is_partner and is_word)
        del spread[-1]
        return super().parse_args(ctx, spread)


@app.command(
    cls=_ManyPartners,
    epilog="Examples:\n\n`robonav compare runs/curriculum-20261122-181500 orca`\n\n"
    "`robonav compare 'runs/seed*' dwa mine.policies:act --suite robustness --out exams/mine`\n\n"
    "`robonav compare runs/league runs/latest --partners runs/league runs/latest orca social_force straight`",
)
def compare(
    entrants: Annotated[
        list[str],
        typer.Argument(
            metavar="ENTRANT...",
            help="Runs, checkpoints, planners (`orca`, untuned `orca:default`), `module:function`, other libraries' "
            "policies (`--trust`); each may be given a name (`mine=runs/...`).",
        ),
    ],
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="Suites by name (`robonav config list`) or as YAML files, the option once for each (default: quick; "
            "with --partners: partners)."
        ),
    ] = None,
    partners: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARTNER...",
            help="Beside whom each entrant plays, with half of the robots each: runs, checkpoints, planners, or the "
            "worlds' own drivers (`orca`, `social_force`, `straight`, `stand`).",
        ),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            help="Play these cases: .npz, or a JSON list of cases, each rows (x, y, goal x, y, speed, radius)."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the exam (default: one below exams/ that belongs to this command).")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Episodes of each scenario, at least 50 (default: the suite's).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the worlds (default: the suite's).")] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Open Stable-Baselines3 zips and RLlib checkpoints: that runs code which is in them."
        ),
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="On this machine, without Ray.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to play on (default: RAY_ADDRESS, else the cores of this machine).")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side on this machine (default: its cores).")
    ] = None,
    failures: Annotated[
        bool, typer.Option(help="Replay what failed: clusters, pictures, a film, a page (failures.html).")
    ] = True,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A metric of your own, `module:function`: EpisodeTable in, one number per episode out."),
    ] = None,
    json: Json = False,
) -> None:
    """Have all entrants play the same worlds, and leave what `robonav report` reads; the same command goes on where it
    was stopped.
    """
    from robonav_ray.evaluation.exam_summary import print_exam, to_dict
    from robonav_ray.fronts.compare_call import ask, default_folder
    from robonav_ray.fronts.foreign_policies import load_foreign
    from robonav_ray.runs.session_facts import command_line
    from robonav_ray.runtime.examination.examine import Where, examine
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped
    from robonav_ray.screen import print_commands
    from robonav_ray.text import command_text, path_word

    screen = screen_beside(json)
    order = ask(entrants, suite or (), episodes=episodes, seed=seed, trust=trust, partners=partners or (), cases=cases)
    folder = out or default_folder(order)
    try:
        table = examine(
            order,
            folder,
            foreign=load_foreign,
            where=Where(local, address, processes),
            screen=screen,
            stopping=partial(stop_on_signals, needs_reader=False),
            command=command_line(),
            failures=failures,
            metrics=metric or (),
        )
    except EvaluationStopped:
        screen.print(
            f"stopped; the cells that are finished are kept in {path_word(folder)}, and the same command goes on"
        )
        raise typer.Exit(EXIT_RESUME) from None
    if json:
        print_json({**to_dict(table), "out": folder})
        return
    print_exam(table, screen)
    screen.print(f"written: {path_word(folder)}/episodes.parquet, exam.json", soft_wrap=True)
    print_commands([(command_text("robonav", "report", path_word(folder)), "PDF and HTML")], screen)
