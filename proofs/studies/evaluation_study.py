"""Who wins where: the policy of `make train`, one of ten minutes, three seeds each, and all planners, over all suites.

::

    train   OUTPUT/runs/METHOD-seedN              finished runs are left alone, broken-off ones go on
    play    OUTPUT/exams/ENTRANT-GROUP            cells are kept, so that a broken-off exam goes on
            OUTPUT/results.csv                    a line for each cell, appended when its exam is finished
    table   OUTPUT/exam                           all of it as one exam, for `robonav report`
            docs/evaluation.md, docs/evaluation_study.csv    with --write

    python -m proofs evaluation_study train play table --output runs/evaluation_study --write

The suite `quick` is not played: its episodes are the first 200 of two scenarios of `standard`. In `crowdnav` planners
have the body of `make train`'s policy, as the worlds of all other suites have anyway.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import robonav_ray as rn
from proofs.common import markdown as md
from proofs.common.checkout import ROOT
from proofs.studies.evaluation_tables import study_tables
from robonav_ray.evaluation.exam_summary import summaries
from robonav_ray.evaluation.exam_table import EXAM_JSON, Cell, EntrantFacts, ExamTable, ScenarioFacts
from robonav_ray.planners.base import PLANNERS
from robonav_ray.screen import say

PAGE, ROWS = ROOT / "docs" / "evaluation.md", ROOT / "docs" / "evaluation_study.csv"
BEGIN, END = "<!-- study: begin -->\n", "\n<!-- study: end -->"
METHODS: dict[str, dict[str, Any]] = {
    "make_train": {"config": None, "overrides": {"preset": "navigation"}},
    "ten_minutes": {"config": ROOT / "configs" / "run" / "ten_minutes.yaml", "overrides": {}},
}
"""What is trained, as ``rn.train`` takes it, but for the seed."""
GROUPS = {
    "wide": ("standard", "difficulties", "stress", "worst_worlds"),
    "crowdnav": ("crowdnav",),
    "generalisation": ("generalisation",),
    "robustness": ("robustness",),
}
"""Suites that are played together."""
REFUSES = {("lookahead", "crowdnav")}
"""Who cannot play a group at all: the body there is no unicycle with discrete actions."""
SWEEPS = ("generalisation", "robustness")
SLOW = ("dwa", "mppi", "lookahead")
"""Planners that search."""
FIELDS: tuple[str, ...] = (
    "entrant",
    "suite",
    "scenario",
    "episodes",
    "success",
    "collision",
    "timeout",
    "spl",
    "time_success_s",
)


@dataclass(frozen=True)
class Exam:
    """One entrant in one group of suites."""

    entrant: str
    group: str
    word: str | Path
    """What plays, as ``rn.compare`` takes it."""
    episodes: int
    folder: Path
    dressed_by: Path | None = None
    """Run whose body it has; None for its own."""

    def play(self, processes: int) -> None:
        """Play what is not played yet."""
        first = [] if self.dressed_by is None else [{"body": self.dressed_by}]
        suites = GROUPS[self.group]
        rn.compare(
            *first, {self.entrant: self.word}, suite=suites, out=self.folder, episodes=self.episodes, local=True,
            processes=processes,
        )  # fmt: skip

    @property
    def table(self) -> ExamTable | None:
        """What has been played; None before the exam is finished."""
        return rn.exam(self.folder) if (self.folder / EXAM_JSON).is_file() else None


def run_folder(output: Path, method: str, seed: int) -> Path:
    """Return where a training goes."""
    return output / "runs" / f"{method}-seed{seed}"


def bounded(updates: int) -> dict[str, Any]:
    """Return what ends a run after about so many updates, however long they take (two samples per insert, batches of
    512).
    """
    return {
        "learner.lr_schedule_steps": updates,
        "budget.time_s": 1_000_000,
        "budget.max_env_steps": updates * 512 // 2 + 5_000,
    }


def train(output: Path, args: argparse.Namespace) -> None:
    """Train what is not finished yet, one after the other."""
    for method in args.methods:
        bound = bounded(args.updates) if args.updates and method == "ten_minutes" else {}
        for seed in range(args.seeds):
            folder, how = run_folder(output, method, seed), METHODS[method]
            if (folder / "evaluation.json").is_file():
                continue
            if folder.exists():
                result = rn.train(resume=folder)
            else:
                changes = {**how["overrides"], **bound, "seed": seed}
                result = rn.train(how["config"], changes, local=bool(bound), out=folder)
            say(f"{folder.name}: {result.status} after {result.env_steps:,} env steps")


def exams(output: Path, args: argparse.Namespace) -> Iterator[Exam]:
    """Give every exam, the broad questions of all entrants first."""
    trained = {f"{m}-seed{n}": run_folder(output, m, n) for m in METHODS for n in range(args.seeds)}
    body = next(iter(trained.values()))
    for group in GROUPS:
        for name in (*trained, *PLANNERS):
            if (args.entrants and name not in args.entrants) or (name, group) in REFUSES:
                continue
            each = args.run_episodes if name in trained else args.slow_episodes if name in SLOW else args.episodes
            folder = output / "exams" / f"{name}-{group}"
            yield Exam(
                name, group, trained.get(name, name), each[group in SWEEPS], folder,
                body if group == "crowdnav" and name in PLANNERS else None,
            )  # fmt: skip


def play(output: Path, args: argparse.Namespace) -> None:
    """Play all exams, and append a line for each new cell; what takes part in none for want of a run is said."""
    results = output / "results.csv"
    there = {tuple(row[name] for name in FIELDS[:4]) for row in read_rows(results)}
    for exam in exams(output, args):
        if args.groups and exam.group not in args.groups:
            continue
        lacking = [run for run in (exam.word, exam.dressed_by) if isinstance(run, Path) and not run.is_dir()]
        if lacking:
            say(f"{exam.folder.name}: waits for {lacking[0]}")
            continue
        exam.play(args.processes)
        rows = [row for row in rows_of(exam) if tuple(row[name] for name in FIELDS[:4]) not in there]
        append_rows(results, rows)


def rows_of(exam: Exam) -> Iterator[dict[str, str]]:
    """Give a line for each cell of a finished exam that belongs to its entrant."""
    table = exam.table
    assert table is not None
    for (e, s), found in summaries(table).items():
        if table.entrants[e].name == exam.entrant and found.success is not None:
            scenario = table.scenarios[s]
            yield {
                "entrant": exam.entrant,
                "suite": scenario.suite,
                "scenario": scenario.name,
                "episodes": str(found.num_episodes),
                "success": str(found.success.count),
                "collision": "" if found.collision is None else str(found.collision.count),
                "timeout": "" if found.timeout is None else str(found.timeout.count),
                "spl": _number(found.spl and found.spl.value),
                "time_success_s": _number(found.time_success_s and found.time_success_s.value),
            }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def append_rows(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Add lines to the results file, and its head where it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return what the results file holds; nothing when there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def merged(found: Sequence[Exam]) -> ExamTable:
    """Return all finished exams as one; SystemExit when there is none."""
    entrants: dict[str, EntrantFacts] = {}
    scenarios: dict[tuple[str, str], ScenarioFacts] = {}
    cells: dict[tuple[str, tuple[str, str]], tuple[ExamTable, Cell]] = {}
    for exam in found:
        if (table := exam.table) is None:
            continue
        e = [one.name for one in table.entrants].index(exam.entrant)
        entrants.setdefault(exam.entrant, table.entrants[e])
        for s, facts in enumerate(table.scenarios):
            key = facts.suite, facts.name
            if key not in scenarios or facts.num_episodes > scenarios[key].num_episodes:
                scenarios[key] = facts
            cells[exam.entrant, key] = table, (e, s)
    if not cells:
        raise SystemExit("no exam is finished; `python -m proofs evaluation_study play` plays them")
    order, keys = list(entrants), list(scenarios)
    at = {(order.index(name), keys.index(key)): where for (name, key), where in cells.items()}
    return ExamTable.of_cells(
        list(entrants.values()),
        list(scenarios.values()),
        {cell: table.cell(*own) for cell, (table, own) in at.items() if own in table.rows_by_cell},
        missing={cell: table.missing[own] for cell, (table, own) in at.items() if own in table.missing},
        decisions={cell: table.decisions[own] for cell, (table, own) in at.items() if own in table.decisions},
        provenance=next(iter(cells.values()))[0].provenance,
    )


def table(output: Path, args: argparse.Namespace) -> None:
    """Put all exams together, print the tables, and write them into the page if asked to."""
    finished = [exam for exam in exams(output, args) if exam.table is not None]
    together = merged(finished)
    together.save(output / "exam")
    text = study_tables(together)
    say(text)
    if args.write:
        PAGE.write_text(md.put_between(PAGE.read_text(encoding="utf-8"), BEGIN, END, text), encoding="utf-8")
        ROWS.unlink(missing_ok=True)
        append_rows(ROWS, [row for exam in finished for row in rows_of(exam)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is named: train, play, table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=("train", "play", "table"))
    parser.add_argument("--output", type=Path, default=Path("runs/evaluation_study"))
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--updates", type=int, help="of ten_minutes, in one process, in place of its ten minutes")
    parser.add_argument("--entrants", nargs="+", help="play only these: METHOD-seedN, planners")
    parser.add_argument("--groups", nargs="+", choices=tuple(GROUPS), help="play only these")
    who = {"--run-episodes": ("policies", 1000), "--episodes": ("planners", 1000), "--slow-episodes": (SLOW, 200)}
    for option, (what, number) in who.items():
        told = f"of each scenario, and of each in {' and '.join(SWEEPS)}: {what}"
        parser.add_argument(option, type=int, nargs=2, default=(number, number), metavar=("N", "N"), help=told)
    parser.add_argument("--processes", type=int, help="side by side; default: as many as there are cores")
    parser.add_argument("--write", action="store_true", help="put tables and rows into docs/")
    args = parser.parse_args(arguments)
    output = args.output.absolute()
    if "train" in args.steps:
        train(output, args)
    if "play" in args.steps:
        play(output, args)
    if "table" in args.steps:
        table(output, args)
