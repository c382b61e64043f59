"""Tables and plots of what was measured, the model beside it, and their place in docs/scaling.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proofs.common import markdown as md
from proofs.scale.model import Costs, Line, Recommendation, Settings, arrows, predict, recommend

CORES_RECOMMENDED = (10, 100, 1000)
WORKLOADS = {"our worlds": 0.0, "worlds of 5 ms": 5e-3}
"""Name -> CPU seconds of a world's step beyond ours."""
SMALL_NETWORK_UPDATE_FRAC = 0.35
"""What an update of the 64 x 64 network of the latency-bound run takes of that of the default one, in round figures."""
Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def markdown(table: Table) -> str:
    """Return the table as Markdown."""
    return md.table(*table)


def linear_fracs(points: Sequence[Mapping[str, Any]], axis: str, figure: str) -> list[float]:
    """Return each point's figure as a part of what the first one, times as many of ``axis``, would give."""
    first = points[0]
    return [p[figure] / first[figure] / (p[axis] / first[axis]) for p in points]


def workers_table(result: Mapping[str, Any]) -> Table:
    """Env steps/s against latency-bound workers."""
    fracs = linear_fracs(result["points"], "workers", "env_steps_per_s")
    rows = [
        (
            f"{p['workers']}", f"{p['env_steps_per_s']:,.0f}", f"{frac:.1%}", f"{p['inserts_per_s']:,.0f}",
            f"{p['samples_per_s']:,.0f}", f"{p['learner_idle_frac']:.0%}", f"{p['own_cpu_frac']:.0%}",
            f"{p['cpu_frac']:.0%}",
        )
        for p, frac in zip(result["points"], fracs, strict=True)
    ]  # fmt: skip
    header = (
        "workers",
        "env steps/s",
        "of linear",
        "inserts/s",
        "samples/s",
        "learner idle",
        "CPU, ours",
        "CPU, machine",
    )
    return header, rows


def shards_table(result: Mapping[str, Any]) -> Table:
    """Rows sampled per second against shards, sleeping and real."""
    columns = [(result[name], linear_fracs(result[name], "shards", "samples_per_s")) for name in ("latency", "real")]
    rows = []
    for index, point in enumerate(result["latency"]):
        row = [f"{point['shards']}"]
        for points, fracs in columns:
            p = points[index]
            row += [
                f"{p['samples_per_s']:,.0f}",
                f"{fracs[index]:.1%}",
                f"{sum(p['cpu_cores'].values()):.2f}",
                f"{p['cpu_frac']:.0%}",
            ]
        rows.append(tuple(row))
    each = ("of linear", "cores in use", "CPU, machine")
    return ("shards", "sleeping: rows/s", *each, "real: rows/s", *each), rows


def real_table(result: Mapping[str, Any]) -> Table:
    """The whole system on this machine's cores."""
    rows = [
        (
            f"{p['workers']}", f"{p['shards']}", f"{p['ranks']}", f"{p['nodes']}", f"{p['samples_per_insert']:g}",
            f"{p['env_steps_per_s']:,.0f}", f"{p['samples_per_s']:,.0f}", f"{p['updates_per_s']:,.0f}",
            f"{p['learner_idle_frac']:.0%}", f"{p['own_cpu_frac']:.0%}", f"{p['cpu_frac']:.0%}",
            _largest(p["cpu_cores"]),
        )
        for p in result["points"]
    ]  # fmt: skip
    header = (
        "workers", "shards", "ranks", "nodes", "samples per insert", "env steps/s = inserts/s", "samples/s",
        "updates/s", "learner idle", "CPU, ours", "CPU, machine", "cores busy with",
    )  # fmt: skip
    return header, rows


def _largest(cores: Mapping[str, float], num: int = 3) -> str:
    ranked = sorted(cores.items(), key=lambda item: -item[1])[:num]
    return ", ".join(f"{name} {value:.2f}" for name, value in ranked)


def capacities_table(result: Mapping[str, Any]) -> Table:
    """What each arrow costs the process that serves it and the one that asks."""
    rows, row_bytes = [], result["row_bytes"]
    for name, each in result["measured"].items():
        arrow, _, size = name.partition(":")
        served, rate = each["served_s"], each["calls_per_s"]
        rows.append((
            arrow, size or "–", f"{rate:,.0f}", f"{served * 1e6:,.0f}" if served else "–",
            f"{each['asked_s'] * 1e6:,.0f}",
            f"{int(size) * row_bytes * rate / 1e6:,.0f}" if arrow in ("insert", "sample", "ship", "draw") else "–",
        ))  # fmt: skip
    return ("arrow", "rows (floats)", "calls/s", "served: CPU us", "asked: CPU us", "MB/s"), rows


def latency_settings(result: Mapping[str, Any], workers: int, cores: float) -> Settings:
    """What the latency-bound run was."""
    return Settings(
        num_workers=workers,
        num_worlds=workers * result["worlds_per_worker"],
        num_shards=2,
        steps_per_fragment=result["steps_per_fragment"],
        batches_per_call=2,
        samples_per_insert=result["samples_per_insert"],
        row_bytes=result["row_bytes"],
        cores=cores,
        sleep_s=result["step_s"],
    )


def small_network(costs: Costs) -> Costs:
    """Return the costs with the update of the latency-bound run's network."""
    fields = dict(costs.__dict__)
    fields["update"] = Line(costs.update.call_s, costs.update.row_s * SMALL_NETWORK_UPDATE_FRAC)
    return Costs(**fields)


def model_rows(results: Mapping[str, Mapping[str, Any]], cores: float) -> list[tuple[str, float, float, str]]:
    """Return (what, measured per second, predicted per second, predicted bottleneck) of every measured point."""
    costs = Costs.from_dict(results["capacities"]["costs"])
    rows: list[tuple[str, float, float, str]] = []
    for p in results.get("workers", {}).get("points", ()):
        found = predict(latency_settings(results["workers"], p["workers"], cores), small_network(costs))
        rows.append((f"{p['workers']} sleeping workers", p["env_steps_per_s"], found.rows_per_s, found.bottleneck))
    shards = results.get("shards", {})
    for kind in ("latency", "real"):
        for p in shards.get(kind, ()):
            settings = Settings(
                num_workers=1, num_worlds=1, num_shards=p["shards"], num_ranks=shards["ranks"],
                batch_size=256 * shards["ranks"], batches_per_call=shards["rows_per_call"] // 256, cores=cores,
                shard_row_s=shards["row_s"] if kind == "latency" else 0.0,
            )  # fmt: skip
            found = predict(settings, costs, sampling_only=True)
            which = "sleeping" if kind == "latency" else "real"
            name = f"{p['shards']} {which} shard{'s' * (p['shards'] > 1)}, rows sampled"
            rows.append((name, p["samples_per_s"], found.rows_per_s, found.bottleneck))
    for p in results.get("real", {}).get("points", ()):
        settings = Settings(
            num_workers=p["workers"],
            num_worlds=p["workers"] * results["real"]["worlds_per_worker"],
            num_shards=p["shards"],
            num_ranks=p["ranks"],
            samples_per_insert=p["samples_per_insert"],
            row_bytes=p["row_bytes"],
            cores=cores,
            num_nodes=p["nodes"],
        )
        found = predict(settings, costs)
        name = (
            f"ours: {p['workers']} workers, {p['shards']} shards, {p['ranks']} ranks, {p['nodes']} nodes, "
            f"{p['samples_per_insert']:g} samples per insert"
        )
        rows.append((name, p["env_steps_per_s"], found.rows_per_s, found.bottleneck))
    return rows


def model_table(results: Mapping[str, Mapping[str, Any]], cores: float) -> Table:
    """Predicted against measured."""
    rows = [
        (name, f"{measured:,.0f}", f"{predicted:,.0f}", f"{measured / predicted:.2f}", bottleneck)
        for name, measured, predicted, bottleneck in model_rows(results, cores)
    ]
    return ("point", "measured /s", "predicted /s", "measured / predicted", "predicted bottleneck"), rows


def recommendations(costs: Costs) -> dict[str, list[Recommendation]]:
    """Return what the model recommends, by workload, for 10, 100 and 1,000 cores."""
    return {
        name: [recommend(cores, costs, world_s=world_s) for cores in CORES_RECOMMENDED]
        for name, world_s in WORKLOADS.items()
    }


def recommendations_table(found: Mapping[str, Sequence[Recommendation]]) -> Table:
    """One row per workload and number of cores."""
    rows = []
    for name, each in found.items():
        for cores, r in zip(CORES_RECOMMENDED, each, strict=True):
            s, p = r.settings, r.prediction
            rows.append((
                name, f"{cores:,}", f"{s.num_nodes}", f"{s.num_workers}", f"{s.num_worlds:,}",
                f"{s.steps_per_fragment}", f"{s.num_shards}", f"{s.num_ranks}", f"{s.batch_size:,}",
                f"{s.publish_interval}", f"{p.rows_per_s:,.0f}", f"{r.cores_used:.0f}", p.bottleneck,
            ))  # fmt: skip
    header = (
        "worlds", "cores", "nodes of 32", "num_workers", "num_worlds", "steps_per_fragment", "num_shards", "num_ranks",
        "batch_size", "publish_interval", "env steps/s", "cores busy", "first limit",
    )  # fmt: skip
    return header, rows


def arrows_table(found: Mapping[str, Sequence[Recommendation]], costs: Costs) -> Table:
    """Calls and bytes per second at each arrow of the recommended configurations."""
    columns = [
        (f"{cores:,} cores, {name}", r)
        for name, each in found.items()
        for cores, r in zip(CORES_RECOMMENDED, each, strict=True)
    ]
    flows = [
        arrows(r.settings, r.prediction.rows_per_s, r.prediction.rows_per_s * r.settings.samples_per_insert, costs)
        for _, r in columns
    ]
    rows = []
    for arrow in flows[0]:
        cells = [
            f"{flow[arrow].calls_per_s:,.0f}"
            + (f"; {flow[arrow].bytes_per_s / 1e6:,.0f} MB" if flow[arrow].bytes_per_s else "")
            for flow in flows
        ]
        rows.append((arrow, *cells))
    return ("per second", *(name for name, _ in columns)), rows


def write_into(path: Path, tables: Mapping[str, str]) -> None:
    """Put each text between the marks ``<!-- name -->`` and ``<!-- /name -->`` of the page; KeyError when a mark is
    missing.
    """
    page = path.read_text(encoding="utf-8")
    for name, text in tables.items():
        page = md.put_between(page, f"<!-- {name} -->", f"<!-- /{name} -->", text)
    path.write_text(page, encoding="utf-8")
