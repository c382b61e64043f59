"""``robonav report``: the exam in a folder, or the league of a run, as PDF, HTML page and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.as_json import Json, print_json, screen_beside

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav report exams/dwa`\n\n`robonav report exams/dwa --out paper`\n\n"
    "`robonav report runs/league-20261130-181500`"
)
def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of `robonav compare --out DIR`, or of `robonav ablate`; or a run with a league."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the report (default: DIR itself).")] = None,
    ablation: Annotated[
        Path | None, typer.Option(help="Folder of `robonav ablate`, shown as a section (default: DIR/ablation.json).")
    ] = None,
    json: Json = False,
) -> None:
    """Write report.pdf, report.html, summary.json and tables/*.csv of an exam: who is better, how sure that is, and
    when each fails.

    The leagues of its entrants are in it, as `robonav league rate` has rated them. Of a run, the report is of its
    league alone.
    """
    from robonav_ray.runs.located import refuse_unwritable, refuse_uri
    from robonav_ray.runtime.self_play.league_files import report_folder
    from robonav_ray.text import path_word

    refuse_uri(folder, "DIR", "copy the exam to this machine first")
    refuse_uri(out, "--out", "the report is written into a folder of this machine")
    refuse_unwritable(out or folder, "DIR" if out is None else "--out")
    screen = screen_beside(json)
    written = report_folder(folder, out, screen.print, study=ablation)
    tables = [path for path in written if path.parent.name == "tables"]
    rest = [path for path in written if path not in tables]
    shown = [path_word(path) for path in rest]
    if tables:
        shown.append(f"{path_word(tables[0].parent)}/ ({len(tables)} tables)")
    screen.print(f"written: {', '.join(shown)}", soft_wrap=True)
    if json:
        print_json({"written": [str(path) for path in written]})
