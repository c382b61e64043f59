"""Break a real training on purpose, by a schedule drawn from a seed, and say what each fault cost.

    python -m proofs chaos --faults worker,shard,rank,node,freeze --period 15 --minutes 5 --nodes 3
    python -m proofs chaos --faults worker --times 100 --period 2
    python -m proofs chaos list

A run of `robonav train` is started on a cluster of several Ray nodes on this machine (`--nodes 0`: on the Ray that it
starts itself). Once it learns, faults come one a period; the next waits until the run has got over the one before,
unless `--overlap` is said. The command is started again, with `--resume auto`, whenever it has ended. In the end it
gets SIGTERM, and then has to finish. Everything is measured from the run's own files and from the table of processes,
and held against the promises.

Written into OUTPUT: chaos.json, chaos.png, command.log, and the run itself.
Exit codes: 0 all promises kept, 1 some broken, or the run could not be kept up, 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from proofs.chaos.aftermath import inspect_replay, load_config, look_at_cluster, orphans, run_facts, survivors
from proofs.chaos.docs import NoSuchSectionError, check_section, write_docs
from proofs.chaos.fault import Fault, said_of
from proofs.chaos.kinds import GROUPS, KINDS, Kind, UnknownKindError, chosen_kinds
from proofs.chaos.measure import behind_commits, cost_of, largest_balance, pacing_error
from proofs.chaos.picture import draw_timeline
from proofs.chaos.promises import PROMISES
from proofs.chaos.record import count_repeated_tags, read_events, read_readings
from proofs.chaos.report import broken_lines, make_report, print_report, write_report
from proofs.chaos.schedule import make_schedule
from proofs.chaos.site import Site, SiteError, open_site
from proofs.chaos.suite import Manner, Outcome, Suite
from proofs.chaos.training import Training
from proofs.common.checkout import ROOT
from robonav_ray.screen import Screen

OK, BROKEN, BAD_ARGUMENTS = 0, 1, 2
SAVING_S = 5.0
"""Writing a checkpoint takes so long at most; what is learned meanwhile is in the next one only."""
CONFIG = str(ROOT / "configs" / "run" / "chaos.yaml")


def list_kinds(console: Screen) -> None:
    """Print every kind of fault, what it does and what is promised."""
    table = Table(box=None, pad_edge=False)
    for column in ("fault", "what is done", "promised"):
        table.add_column(column, overflow="fold", no_wrap=column == "fault")
    for kind in KINDS.values():
        table.add_row(kind.name, kind.text, Text(PROMISES[kind.promise].quote, "dim"))
    console.print(table)
    console.print("groups: " + "; ".join(f"{name} = {', '.join(kinds)}" for name, kinds in GROUPS.items()))


def run(args: argparse.Namespace, kinds: Sequence[Kind], console: Screen) -> int:
    """Run the suite and report."""
    output: Path = args.output or Path("runs") / f"chaos-{time.strftime('%Y%m%d-%H%M%S')}"
    output.mkdir(parents=True, exist_ok=False)
    num_faults = args.times or max(1, int(args.minutes * 60 / args.period))
    schedule = make_schedule(kinds, args.seed, args.period, num_faults)
    training: Training | None = None
    try:
        site = open_site(
            args.nodes, args.cpus, args.namespaces, args.first_port, lambda: training.pid if training else None
        )
    except SiteError as error:
        console.print(f"the cluster does not come up: {error}", style="red")
        return BROKEN
    training = Training(
        output.absolute() / "run", [args.config, *args.overrides], site.environment, output / "command.log"
    )
    manner = Manner(args.nodes, args.freeze_s, args.period / 2, args.overlap, args.from_start)
    suite = Suite(site, training, manner, console, output / "command.log")
    try:
        outcome = suite.run(schedule)
        findings = look_after(site, suite, outcome)
    finally:
        site.stop()
    findings["survivors"] = survivors(suite.watch)
    if not suite.tail.readings:
        console.print(f"the run has not begun: {outcome.failure}", style="red")
        return BROKEN
    report = report_on(args, suite, outcome, findings, training.run, output)
    print_report(report, console)
    for line in broken_lines(report, speed=True):
        console.print(f"broken: {line}", style="red")
    written = [output / "chaos.json", output / "chaos.png"]
    if args.write_docs:
        written += write_docs(ROOT, args.write_docs, report, output / "chaos.png")
    console.print("written: " + ", ".join(os.path.relpath(path) for path in written), soft_wrap=True)
    return OK if report["kept"] else BROKEN


def look_after(site: Site, suite: Suite, outcome: Outcome) -> dict[str, Any]:
    """Return what is found when the run has ended and the cluster is still up."""
    findings: dict[str, Any] = {"stop_s": outcome.stop_s, "final_code": outcome.final_code, "failure": outcome.failure}
    if site.address is not None:
        findings |= look_at_cluster(site.address, site.environment, ended_at(suite))
    else:  # the run's own Ray: nothing is left to ask
        began = time.monotonic()
        left = survivors(suite.watch, 60.0)
        findings |= {"free_s": None if left else round(time.monotonic() - began, 2), "placement_groups": 0}
    findings["orphans"] = orphans(suite.watch)
    return findings


def ended_at(suite: Suite) -> float:
    """Return when the last life of the command ended (epoch seconds)."""
    return (suite.sessions[-1].ended if suite.sessions else None) or time.time()


def report_on(
    args: argparse.Namespace, suite: Suite, outcome: Outcome, findings: dict[str, Any], run: Path, output: Path
) -> dict[str, Any]:
    """Measure from the run's files, and write the report."""
    config = load_config(run)
    readings, events, commits = read_readings(run), read_events(run), suite.commits.ordered
    facts = run_facts(config)
    facts["checkpoint_s"] = facts["interval_s"] + SAVING_S
    faults = [measured(fault, outcome, readings, events) for fault in outcome.faults]
    balance = largest_balance(readings)
    findings |= inspect_replay(run, config, suite.commits.kept) | {
        "behind_commits": behind_commits(readings, commits),
        "not_inflicted": [f"{fault.number + 1} {fault.kind}: {fault.note}" for fault in outcome.faults if fault.missed],
        "repeated_tags": count_repeated_tags(run),
        "run_directories": sum(1 for path in output.iterdir() if (path / "config.yaml").is_file()),
        "pacing_error": pacing_error([r for r in readings if r.time < outcome.stop_began], facts["samples_per_insert"]),
        "largest_balance_rows": balance,
        "balance_beyond": None if balance is None else balance - facts["balance_rows"],
        "duplicates_refused": max((r.duplicates or 0.0 for r in readings), default=0.0),
        "failed_saves": max((r.failed_saves or 0.0 for r in readings), default=0.0),
        "commits": len(commits),
        "passed": bool(json.loads((run / "summary.json").read_text(encoding="utf-8")).get("passed")),
        "env_steps": max((r.env_steps for r in readings), default=0),
        "sessions": [asdict(session) for session in suite.sessions],
    }
    about = {
        "command": command_line(sys.argv[1:]),
        "seconds": round(outcome.ended - outcome.began, 1),
        "nodes": args.nodes,
    }
    report = make_report(faults, findings, facts, about)
    if suite.commits.keep is not None:
        shutil.rmtree(suite.commits.keep, ignore_errors=True)
    write_report(report, output / "chaos.json")
    struck = [fault for fault in report["faults"] if fault["victim"] != "nobody"]
    title = f"{len(struck)} faults in {about['seconds']:.0f} s on {args.nodes or 'one'} node{'s' * (args.nodes > 1)}"
    draw_timeline([r for r in readings if r.time < outcome.stop_began], struck, commits, output / "chaos.png", title)
    return report


def command_line(words: Sequence[str]) -> str:
    """Return the command as a user types it from the repository's root, without the place of its output."""
    kept = [word for i, word in enumerate(words) if word != "--output" and words[i - 1] != "--output"]
    return shlex.join(["python", "-m", "proofs", "chaos", *kept]).replace(f"{ROOT}/", "")


def measured(fault: Fault, outcome: Outcome, readings: Any, events: Any) -> dict[str, Any]:
    """Return a fault's record with its cost, up to the next fault or the end."""
    end = min(
        (later.time for later in outcome.faults if later.time > fault.time), default=outcome.stop_began or outcome.ended
    )
    cost = cost_of(readings, fault.time, end, events)
    return fault.record() | said_of(KINDS[fault.kind].role, fault, cost.events) | {"cost": asdict(cost)}


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--faults", default="worker,shard,rank,node", help="kinds or groups, see `list` (default: %(default)s)"
    )
    parser.add_argument(
        "--period", type=_positive, default=15.0, help="seconds from one fault to the next (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the schedule: which fault when, and to whom (default: %(default)s)"
    )
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument("--minutes", type=_positive, default=5.0, help="so many periods (default: %(default)s)")
    how_long.add_argument("--times", type=int, help="so many faults")
    parser.add_argument(
        "--nodes", type=int, default=3, help="Ray nodes; 0: the run starts its own Ray (default: %(default)s)"
    )
    parser.add_argument("--cpus", type=int, default=4, help="logical CPUs of a node (default: %(default)s)")
    parser.add_argument(
        "--namespaces", action="store_true", help="nodes in network namespaces, with addresses of their own (root)"
    )
    parser.add_argument("--first-port", type=int, default=0, help="of the nodes' ports (default: free ones are found)")
    parser.add_argument(
        "--freeze-s", type=_positive, default=25.0, help="how long what is frozen stays so (default: %(default)s)"
    )
    parser.add_argument(
        "--overlap", action="store_true", help="faults come by the clock, whether the run has got over the last or not"
    )
    parser.add_argument(
        "--from-start", action="store_true", help="the first fault may come before the run has begun to learn"
    )
    parser.add_argument("--output", type=Path, help="a directory that does not exist yet (default: runs/chaos-TIME)")
    parser.add_argument("--write-docs", metavar="SECTION", help="bring this section of docs/chaos.md up to date")
    parser.add_argument("--config", default=CONFIG, help="of the run (default: configs/run/chaos.yaml)")
    parser.add_argument("overrides", nargs="*", help="`list`, or section.key=value for the run")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; return the exit code."""
    parser = make_parser()
    args = parser.parse_args(arguments)
    console = Screen()
    if args.overrides == ["list"]:
        list_kinds(console)
        return OK
    try:
        kinds = chosen_kinds([name for name in args.faults.split(",") if name])
        if args.write_docs:
            check_section(ROOT, args.write_docs)
    except (UnknownKindError, NoSuchSectionError) as error:
        parser.error(str(error))
    needs_nodes = [kind.name for kind in kinds if kind.action in ("kill_node", "freeze_node", "partition", "add_node")]
    if needs_nodes and args.nodes < 2:
        parser.error(f"--faults {needs_nodes[0]} needs --nodes 2 or more")
    if any(kind.action == "partition" for kind in kinds) and not args.namespaces:
        parser.error("--faults partition needs --namespaces")
    if not kinds or (args.times is not None and args.times < 1) or args.nodes < 0:
        parser.error("there must be a fault, --times at least 1 and --nodes at least 0")
    if args.output is not None and args.output.exists():
        parser.error(f"--output {args.output} exists; name another directory")
    return run(args, kinds, console)
