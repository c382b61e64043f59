"""Run published results again and say whether ours keep up.

    python -m proofs reproduce list
    python -m proofs reproduce run cleanrl_dqn_cartpole --seeds 3
    python -m proofs reproduce run all --parallel 2 --write-docs

Trainings run side by side on Ray, one process and one core each, with the learner wired up in that process ("local
wiring"); what needs a Ray of its own or the whole machine runs afterwards, alone. Finished trials are kept in the
output directory and not run again; an interrupted training continues from its last checkpoint, an interrupted command
starts anew.

Exit codes: 0 when every entry is reproduced, 1 when one is missed or failed, 2 for a name that does not exist, 130 when
interrupted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from proofs.reproduction.curves import draw_overview
from proofs.reproduction.docs import write_docs
from proofs.reproduction.entries import ENTRIES, UnknownEntryError, chosen_entries, with_seeds
from proofs.reproduction.entry import Entry, Training
from proofs.reproduction.progress import Board
from proofs.reproduction.report import Row, make_row, write_report
from proofs.reproduction.schedule import run_all
from proofs.reproduction.store import Trial, trial_of
from robonav_ray.screen import Screen, write_to

OK, MISSED, BAD_NAME, INTERRUPTED = 0, 1, 2, 130


def list_entries(console: Screen) -> None:
    """Print every entry: what is published, by whom, what ours must keep, how long it takes."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "published", "must be", "minutes"):
        table.add_column(
            column, justify="right" if column == "minutes" else "left", overflow="fold", no_wrap=column == "name"
        )
    for entry in ENTRIES:
        times = f"{len(entry.seeds)} x {entry.minutes:g}" if isinstance(entry.task, Training) else f"{entry.minutes:g}"
        must = f"{entry.statistic} " * (entry.statistic == "median") + f"{entry.bound} {entry.shown(entry.threshold)}"
        published = Text.assemble(entry.published, (f"\n{entry.source}", "dim"))
        table.add_row(entry.name, published, Text.assemble(must, (f"\n{entry.tolerance}", "dim")), times)
    console.print(table)
    groups = ", ".join(dict.fromkeys(entry.group for entry in ENTRIES))
    total = sum(entry.minutes * (len(entry.seeds) if isinstance(entry.task, Training) else 1) for entry in ENTRIES)
    console.print(f"groups: {groups}; all together about {total:.0f} minutes of one core")


def run(entries: Sequence[Entry], args: argparse.Namespace, console: Screen) -> int:
    """Run what is not finished, report on all of ``entries``."""
    output: Path = args.output
    output.mkdir(parents=True, exist_ok=True)
    plan: list[tuple[Entry, list[Trial]]] = [
        (entry, [trial_of(entry, seed, output) for seed in with_seeds(entry, args.seeds)]) for entry in entries
    ]
    trials = [trial for _, group in plan for trial in group]
    for trial in trials if args.fresh else ():
        shutil.rmtree(trial.folder, ignore_errors=True)
    failed: dict[str, str] = {}
    interrupted = False
    with Board(trials, console) as board:
        try:
            failed = run_all(trials, args.parallel, board.look)
        except KeyboardInterrupt:
            interrupted = True
    rows = [make_row(entry, group, failed) for entry, group in plan]
    written = write_report(rows, output, command_line(args))
    picture = draw_overview([(row, group) for row, (_, group) in zip(rows, plan, strict=True)], output / "curves.png")
    written += [picture] if picture else []
    if args.write_docs:
        written += write_docs(output, command_line(args))
    print_rows(rows, console)
    for name, error in failed.items():
        console.print(f"\n{name} failed:\n{error}", style="red")
    console.print("written: " + ", ".join(os.path.relpath(path) for path in written), soft_wrap=True)
    if interrupted:
        console.print("interrupted; the same command goes on where this one stopped")
        return INTERRUPTED
    return OK if all(row.verdict == "reproduced" for row in rows) else MISSED


def print_rows(rows: Sequence[Row], console: Screen) -> None:
    """Print the table of published against ours."""
    table = Table(box=None, pad_edge=False)
    for column in ("entry", "published", "ours", "must be", "wiring", "verdict"):
        table.add_column(column, overflow="fold", no_wrap=column in ("entry", "ours", "verdict"))
    for row in rows:
        entry = row.entry
        style = {"reproduced": "green", "missed": "red", "failed": "red"}.get(row.verdict, "dim")
        must = f"{entry.bound} {entry.shown(entry.threshold)}"
        table.add_row(entry.name, entry.published, row.ours, must, entry.wiring, Text(row.verdict, style))
    console.print(table)


def command_line(args: argparse.Namespace) -> str:
    """Return the command as one would type it from the repository's root."""
    seeds = f" --seeds {args.seeds}" if args.seeds else ""
    return f"python -m proofs reproduce run {' '.join(args.names)}{seeds}"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="what there is, by whom it is published, how long it takes")
    runner = verbs.add_parser("run", help="run entries, or the finished ones' table again")
    runner.add_argument("names", nargs="+", metavar="NAME", help="entries, groups, or all")
    runner.add_argument("--seeds", type=_positive, help="N seeds, from the entry's first on, instead of its own")
    runner.add_argument(
        "--output", type=Path, default=Path("runs/reproduce"), help="where trials live (default: %(default)s)"
    )
    runner.add_argument(
        "--parallel",
        type=_positive,
        default=max(1, os.cpu_count() or 1),
        help="trials at a time (default: %(default)s)",
    )
    runner.add_argument("--fresh", action="store_true", help="forget what is finished or begun, and run it again")
    runner.add_argument("--write-docs", action="store_true", help="bring docs/results.md and its picture up to date")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; return the exit code."""
    args = make_parser().parse_args(arguments)
    console = Screen()
    if args.verb == "list":
        list_entries(console)
        return OK
    try:
        entries = chosen_entries(args.names)
    except UnknownEntryError as error:
        write_to(sys.stderr, f"{error}\n")
        return BAD_NAME
    return run(entries, args, console)
