"""``robonav doctor``: what the machine, the packages, Ray and the GPU look like, and what would stand in the way of a
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from robonav_ray.errors import EXIT_DONE, EXIT_FAILED
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from robonav_ray.nodes.doctor import Finding
    from robonav_ray.screen import Screen

app = typer.Typer()


@app.command()
def doctor(json: Json = False) -> None:
    """Look at the machine, the packages, Ray and the GPU, and say what would stand in the way."""
    from robonav_ray.nodes.doctor import look_around

    screen = screen_beside(json, soft_wrap=False)
    with screen.status("looking around, and starting Ray ..."):
        findings = look_around()
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_findings(findings, screen)
    raise typer.Exit(EXIT_DONE if all(finding.ok for finding in findings) else EXIT_FAILED)


def print_findings(findings: Sequence[Finding], screen: Screen) -> None:
    """Print one line for each, with the advice where there is something to do, and whether a default run can start
    here.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        mark = Text("ok", "green") if finding.ok else Text("problem", "red")
        advice = f"\n{finding.advice}" if finding.advice and not finding.ok else ""
        table.add_row(mark, finding.subject, Text.assemble(finding.text, (advice, "yellow")))
    screen.print(table)
    if broken := sum(not finding.ok for finding in findings):
        screen.print(f"{broken} problem(s)", style="red")
    else:
        screen.print("A default run can start here: robonav train", style="green")
