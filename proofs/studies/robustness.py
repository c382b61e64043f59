"""One policy for all weathers: what makes a policy good in worlds that training without randomisation does not show.

A variant is the navigation preset with changes. It is trained from scratch in one process for as many updates as 20
minutes over Ray on two cores give (``UPDATES`` for the preset itself; fewer for what costs more an update), then plays
the cells of the suite ``all_weathers``, as ``robonav compare RUN --suite all_weathers`` does. docs/robustness.md has
the results, docs/robustness.jsonl a line for each variant, seed and cell.

    python -m proofs robustness_study list
    python -m proofs robustness_study run --only baseline beams72 --seeds 3 --worlds 2000
    python -m proofs robustness_study run --part 0.33 --seeds 1 --worlds 500      # a first look
    python -m proofs robustness_study summary --json

Lines are appended run by run. The same command after a stop goes on: finished cells are not played again, finished
trainings not begun again, and a broken-off one goes on from its last checkpoint, its replay filled anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import robonav_ray as rn
from proofs.common import markdown as md
from proofs.common.checkout import ROOT
from proofs.studies.weathers import CELLS, VARIANTS, Variant
from robonav_ray.errors import UserError
from robonav_ray.evaluation.exam_summary import summaries
from robonav_ray.screen import say, write_to

PAGE, ROWS = ROOT / "docs" / "robustness.md", ROOT / "docs" / "robustness.jsonl"
BEGIN, END = "<!-- summary: begin -->\n", "\n<!-- summary: end -->"
UPDATES = 180_000
"""Of the navigation preset: over Ray, two cores make 1.23 times the updates of one process on one core
(docs/measured.md), which made 125 a second where this was measured."""
BATCH, SAMPLES_PER_INSERT, WARM_UP = 512, 2, 5_000
SUITE = "all_weathers"
LOOK_UPDATES = 50_000
"""A run of fewer updates is a first look."""


@dataclass(frozen=True)
class Row:
    """One cell of one run."""

    variant: str
    seed: int
    updates: int
    cell: str
    worlds: int
    success: float
    low: float
    high: float
    collision: float
    timeout: float
    train_s: float
    """Wall-clock seconds of the training, on a machine that may have been shared."""
    passed_steps: int | None
    """Env steps until the curriculum was passed; None when it never was."""
    note: str = ""
    """How it was made, where the variants of this program did not make it."""

    @property
    def key(self) -> tuple[str, int, int, int]:
        """Rows of one key are one run's."""
        return self.variant, self.seed, self.updates, self.worlds


def updates_of(variant: Variant, part: float) -> int:
    """Return how many updates a training has: ``part`` of what 20 minutes give."""
    return round(part * UPDATES / variant.cost / 1000) * 1000


def bounded(updates: int) -> dict[str, Any]:
    """Return what ends a run after so many updates, however long they take."""
    return {
        "learner.lr_schedule_steps": updates,
        "budget.time_s": 1_000_000,
        "budget.max_env_steps": updates * BATCH // SAMPLES_PER_INSERT + WARM_UP,
        "checkpoint.interval_s": 300,
        "checkpoint.replay": False,
        "evaluation.num_episodes": 200,
        "evaluation.gif_episodes": 0,
        "tracking.panel": "off",
        "tracking.tensorboard": None,
    }


def train(variant: Variant, seed: int, updates: int, folder: Path) -> None:
    """Train one run to its end, unless that is done; go on with one that was broken off."""
    if (folder / "evaluation.json").is_file():
        return
    if any(folder.glob("checkpoints/*/")):
        result = rn.train(resume=folder)
    else:
        if folder.exists():  # killed before its first checkpoint
            folder.rename(folder.with_name(f"{folder.name}-{os.urandom(3).hex()}"))
        changes = {"preset": "navigation", **bounded(updates), **variant.changes, "seed": seed}
        result = rn.train(variant.file, changes, local=True, out=folder)
    say(f"{folder.name}: {result.status} after {result.env_steps:,} env steps")
    if not (folder / "evaluation.json").is_file():
        raise UserError(f"{folder}: was stopped before its end; the same command goes on")


def play(name: str, seed: int, updates: int, worlds: int, folder: Path, exam: Path) -> Iterator[Row]:
    """Play all cells and give a row for each."""
    table = rn.compare({name: folder}, suite=SUITE, out=exam, episodes=worlds, local=True, processes=1)
    ran = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    for (_, s), found in summaries(table).items():
        success, collision, timeout = found.success, found.collision, found.timeout
        assert success is not None
        assert collision is not None
        assert timeout is not None
        yield Row(
            name, seed, updates, table.scenarios[s].name, found.num_episodes, success.frac, success.low, success.high,
            collision.frac, timeout.frac, round(ran["train_s"], 1), ran.get("env_steps_to_pass"),
        )  # fmt: skip


def read_rows(path: Path) -> list[Row]:
    """Return what has been appended so far."""
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(Row(**json.loads(line)))
        except (TypeError, ValueError):
            raise UserError(f"{path}, line {number}: is no row of this study; take the line out") from None
    return rows


def run(args: argparse.Namespace) -> None:
    """Train and play what is not there yet, one after the other."""
    for seed in range(args.seeds):
        for name in args.only or VARIANTS:
            updates = args.updates or updates_of(VARIANTS[name], args.part)
            done = {row.cell for row in read_rows(args.rows) if row.key == (name, seed, updates, args.worlds)}
            if done >= CELLS.keys():
                continue
            word = f"{name}-{updates}-seed{seed}"
            folder = args.output.absolute() / "runs" / word
            train(VARIANTS[name], seed, updates, folder)
            rows = play(
                name, seed, updates, args.worlds, folder, args.output.absolute() / "exams" / f"{word}-{args.worlds}"
            )
            append(args.rows, [row for row in rows if row.cell not in done])


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add a line for each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return, for each variant and budget, every cell: mean over the seeds, its interval, what must be reached, and
    whether it is.

    The interval is two standard errors of the mean over seeds, and Wilson's of the one seed where there is no second.
    """
    found = []
    for name, updates, worlds in dict.fromkeys((row.variant, row.updates, row.worlds) for row in rows):
        for cell, target in CELLS.items():
            mine = [r for r in rows if (r.variant, r.updates, r.worlds, r.cell) == (name, updates, worlds, cell)]
            if not mine:
                continue
            each = [row.success for row in mine]
            mean, low, high = statistics.fmean(each), mine[0].low, mine[0].high
            if len(each) > 1:
                error = 2 * statistics.stdev(each) / len(each) ** 0.5
                low, high = mean - error, mean + error
            found.append(
                {"variant": name, "updates": updates, "worlds": worlds, "cell": cell, "seeds": len(each),
                 "success": mean, "low": low, "high": high, "now": target.now, "must": target.must, "aim": target.aim,
                 "reached": mean >= target.must}
            )  # fmt: skip
    return found


def markdown(found: Sequence[dict[str, Any]]) -> str:
    """Return the table: a row for each cell, a column for each variant and budget, in per cent; first looks in a second
    one, success alone.
    """
    looks = [one for one in found if one["updates"] < LOOK_UPDATES]
    full = [one for one in found if one["updates"] >= LOOK_UPDATES]
    return "\n\n".join([*([_full_table(full)] if full else []), *([_looks_table(looks)] if looks else [])])


def _looks_table(found: Sequence[dict[str, Any]]) -> str:
    runs = list(dict.fromkeys((one["variant"], one["updates"], one["worlds"]) for one in found))
    rows = []
    for run in runs:
        mine = {
            one["cell"]: 100 * one["success"] for one in found if (one["variant"], one["updates"], one["worlds"]) == run
        }
        mean = statistics.fmean(mine.values())
        rows.append(
            [f"`{run[0]}`, {run[1] // 1000} k", f"{mean:.1f}", *(f"{mine[c]:.0f}" if c in mine else "" for c in CELLS)]
        )
    return md.table(("First look", "Mean", *(cell.replace("_", " ") for cell in CELLS)), rows)


def _full_table(found: Sequence[dict[str, Any]]) -> str:
    runs = list(dict.fromkeys((one["variant"], one["updates"], one["worlds"], one["seeds"]) for one in found))
    heads = [f"{name}, {updates // 1000} k, {seeds} x {worlds}" for name, updates, worlds, seeds in runs]
    table = []
    for cell, target in CELLS.items():
        line = [f"`{cell}`", *(f"{100 * part:.0f}" if part else "" for part in (target.now, target.must, target.aim))]
        for key in runs:
            mine = [one for one in found if one["cell"] == cell and tuple(one[k] for k in _RUN) == key]
            line.append(" ".join(_cell(one) for one in mine))
        table.append(line)
    return md.table(("Cell", "Now", "Must", "Aim", *heads), table)


_RUN = ("variant", "updates", "worlds", "seeds")


def _cell(one: dict[str, Any]) -> str:
    figure = f"{100 * one['success']:.1f} ({100 * one['low']:.0f} to {100 * one['high']:.0f})"
    return f"**{figure}**" if one["reached"] else figure


def main(arguments: Sequence[str] | None = None) -> int:
    """List, train and judge, or print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the variants")
    ran = commands.add_parser("run", help="train, judge and append")
    ran.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    ran.add_argument("--worlds", type=int, default=2000, help="of each cell, at least 50")
    ran.add_argument("--part", type=float, default=1.0, help="of the updates that 20 minutes give")
    ran.add_argument("--updates", type=int, help="in place of --part")
    ran.add_argument("--output", type=Path, default=Path("runs/robustness_study"), help="of runs and exams")
    told = commands.add_parser("summary", help="the table of all lines, beside what must be reached")
    told.add_argument("--write", action="store_true", help="put the table into docs/robustness.md")
    for command in (ran, told):
        command.add_argument("--only", nargs="+", choices=tuple(VARIANTS), help="these variants; default: all")
        command.add_argument("--rows", type=Path, default=ROWS, help="file of lines")
        command.add_argument("--json", action="store_true", help="as one JSON list in place of a table")
    args = parser.parse_args(arguments)
    if args.command == "list":
        say("\n".join(f"{name:<20}{updates_of(one, 1.0):>8,} updates  {one.text}" for name, one in VARIANTS.items()))
        return 0
    try:
        if args.command == "run":
            run(args)
        found = summarise([row for row in read_rows(args.rows) if not args.only or row.variant in args.only])
    except UserError as error:
        write_to(sys.stderr, f"{error}\n")
        return 2
    say(json.dumps(found) if args.json else markdown(found))
    if args.command == "summary" and args.write:
        PAGE.write_text(md.put_between(PAGE.read_text(encoding="utf-8"), BEGIN, END, markdown(found)), encoding="utf-8")
    return 0
