"""How a run scales, what limits it, and what to take for 10, 100 and 1,000 cores (docs/scaling.md).

    python -m proofs bench_scale workers       env steps/s of 1 to 64 workers whose worlds sleep, through the system
    python -m proofs bench_scale shards        rows sampled/s from 1 to 8 shards, sleeping and real
    python -m proofs bench_scale real          our worlds, against workers, shards, ranks and nodes on these cores
    python -m proofs bench_scale capacities    the cost of a call at each arrow
    python -m proofs bench_scale report        tables and plots of these, with the model; --docs writes them into docs/
    python -m proofs bench_scale recommend --cores 48 --world-ms 0.2     the model's settings for a machine of yours
    python -m proofs bench_scale all           everything above, about a quarter of an hour on 2 idle cores

Each part leaves a JSON file in --output; ``report`` and ``recommend`` read them. 64 workers take about 10 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil

from proofs.scale import report
from proofs.scale.model import Costs, recommend
from robonav_ray.runs.session_facts import own_revision
from robonav_ray.screen import say

GB_PER_WORKER = 0.16
PAGE, PICTURES = Path("docs/scaling.md"), Path("docs/pictures")


class BenchError(RuntimeError):
    """Something is missing that the command needs; the message says what to do."""


def bench_workers(args: argparse.Namespace) -> dict[str, Any]:
    """Workers whose worlds sleep, as many as --max-workers and the memory allow; BenchError for too little memory."""
    from proofs.scale.latency import WORKERS, bench_workers

    workers = tuple(n for n in WORKERS if n <= args.max_workers)
    free = psutil.virtual_memory().available / 1e9
    if free < max(workers) * GB_PER_WORKER + 2.0:
        raise BenchError(
            f"{max(workers)} workers need {max(workers) * GB_PER_WORKER + 2:.0f} GB, {free:.0f} are free: lower "
            "--max-workers"
        )
    return bench_workers(workers, args.seconds or 13.0)


def bench_shards(args: argparse.Namespace) -> dict[str, Any]:
    """Rows sampled from 1 to 8 shards."""
    from proofs.scale.shards import bench_shards

    return bench_shards(seconds=args.seconds or 8.0)


def bench_real(args: argparse.Namespace) -> dict[str, Any]:
    """Our own worlds on this machine's cores."""
    from proofs.scale.real import bench_real

    return bench_real(args.seconds or 8.0)


def bench_capacities(args: argparse.Namespace) -> dict[str, Any]:
    """What a call costs at each arrow."""
    from proofs.scale.capacities import bench_capacities

    return bench_capacities(args.seconds or 2.0)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "capacities": bench_capacities,
    "shards": bench_shards,
    "real": bench_real,
    "workers": bench_workers,
}


def run_part(name: str, args: argparse.Namespace) -> None:
    """Measure one part and keep it."""
    began = time.time()
    result = PARTS[name](args)
    facts = {
        "revision": own_revision(),
        "cores": psutil.cpu_count(),
        "seconds": round(time.time() - began, 1),
        "at": time.strftime("%F %T"),
    }
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / f"{name}.json").write_text(json.dumps({**result, "facts": facts}, indent=1), encoding="utf-8")
    say(f"{name}: {facts['seconds']:.0f} s, kept in {args.output / f'{name}.json'}")


def load_results(output: Path) -> dict[str, Any]:
    """Return what has been measured, by part."""
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in PARTS
        if (path := output / f"{name}.json").is_file()
    }


def load_costs(output: Path) -> Costs:
    """Return the measured costs."""
    results = load_results(output)
    if "capacities" not in results:
        raise BenchError(f"{output} holds no capacities.json: run `python -m proofs bench_scale capacities` first")
    return Costs.from_dict(results["capacities"]["costs"])


def show_report(args: argparse.Namespace) -> None:
    """Print the tables and draw the plots of what there is; with --docs, where docs/scaling.md has them."""
    costs, results = load_costs(args.output), load_results(args.output)
    cores = float(results["capacities"]["facts"]["cores"])
    found = report.recommendations(costs)
    makers = {
        "workers": report.workers_table,
        "shards": report.shards_table,
        "real": report.real_table,
        "capacities": report.capacities_table,
    }
    tables = {name: report.markdown(make(results[name])) for name, make in makers.items() if name in results}
    tables["model"] = report.markdown(report.model_table(results, cores))
    tables["recommendations"] = report.markdown(report.recommendations_table(found))
    tables["arrows"] = report.markdown(report.arrows_table(found, costs))
    for name, text in tables.items():
        say(f"\n{name}\n{text}")
    from proofs.scale import pictures

    folder = PICTURES if args.docs else args.output
    if "workers" in results:
        pictures.draw_workers(results["workers"], cores, folder / "scaling_workers.png")
    if "shards" in results:
        pictures.draw_shards(results["shards"], cores, folder / "scaling_shards.png")
    pictures.draw_model(results, cores, folder / "scaling_model.png")
    if args.docs:
        report.write_into(PAGE, tables)


def show_recommendation(args: argparse.Namespace) -> None:
    """Print the command that the model recommends."""
    found = recommend(
        args.cores, load_costs(args.output), world_s=args.world_ms / 1e3, cores_per_node=args.cores_per_node
    )
    say(f"robonav train {' '.join(found.overrides())}")
    say(
        f"expected: {found.prediction.rows_per_s:,.0f} env steps/s with {found.cores_used:.0f} of {args.cores} cores "
        f"busy; what limits it first: {found.prediction.bottleneck}"
    )
    say(
        json.dumps(
            {"env_steps_per_s": found.prediction.rows_per_s, "busy": found.prediction.busy, **found.settings.__dict__}
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, report or recommend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*PARTS, "report", "recommend", "all"])
    parser.add_argument("--output", type=Path, default=Path("runs/scale"), help="where results are kept")
    parser.add_argument("--seconds", type=float, help="length of one measurement (default: each part's own)")
    parser.add_argument("--max-workers", type=int, default=64, help="most workers that `workers` starts")
    parser.add_argument("--docs", action="store_true", help="let `report` write into docs/scaling.md and docs/pictures")
    parser.add_argument("--cores", type=int, default=32, help="cores that `recommend` is for")
    parser.add_argument("--cores-per-node", type=int, default=32)
    parser.add_argument(
        "--world-ms", type=float, default=0.0, help="CPU milliseconds of a step of one world beyond ours"
    )
    args = parser.parse_args(arguments)
    try:
        for name in PARTS if args.what == "all" else [args.what] if args.what in PARTS else []:
            run_part(name, args)
        if args.what in ("all", "report"):
            show_report(args)
        if args.what == "recommend":
            show_recommendation(args)
    except BenchError as error:
        sys.exit(f"bench_scale: {error}")
