"""The report of a chaos run: a table for people, chaos.json for programs."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from proofs.chaos.kinds import KINDS
from proofs.chaos.promises import PROMISES, Verdict, check_run, figures_of, judge
from proofs.common import markdown as md
from proofs.common.machine import machine_text
from robonav_ray.screen import Screen

KEPT, BROKEN = "kept", "BROKEN"


def make_report(
    faults: Sequence[dict[str, Any]], findings: Mapping[str, Any], facts: Mapping[str, float], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that is known: ``faults`` with their ``cost``, ``findings`` of the whole run, and the
    verdicts.
    """
    hit = [fault for fault in faults if fault["victim"] != "nobody"]
    promises = {}
    for name in PROMISES:
        mine = [fault for fault in hit if KINDS[fault["kind"]].promise == name]
        if mine:
            verdicts = judge(name, mine, facts)
            promises[name] = {
                "promise": PROMISES[name].quote,
                "faults": len(mine),
                "kept": all(verdict.kept for verdict in verdicts),
                "verdicts": [verdict_dict(verdict) for verdict in verdicts],
            }
    checks = [
        {"text": c.text, "found": findings.get(c.figure), "kept": kept, "speed": c.speed}
        for c, kept in check_run(findings)
    ]
    return {
        "about": {**about, "machine": machine_text()},
        "facts": dict(facts),
        "faults": [fault | {"figures": figures_of(fault, facts)} for fault in faults],
        "findings": dict(findings),
        "promises": promises,
        "checks": checks,
        "kept": all(p["kept"] for p in promises.values()) and all(check["kept"] for check in checks),
    }


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write ``chaos.json``; what never happened is null."""
    path.write_text(json.dumps(_plain(report), indent=1, allow_nan=False), encoding="utf-8")


def print_report(report: Mapping[str, Any], console: Screen) -> None:
    """Print faults, promises and checks."""
    console.print(fault_table(report["faults"]))
    console.print(promise_table(report["promises"]))
    table = Table(box=None, pad_edge=False, title="the run as a whole", title_justify="left")
    for column in ("", "found", ""):
        table.add_column(column, overflow="fold")
    for check in report["checks"]:
        table.add_row(check["text"], _shown(check["found"]), _word(check["kept"]))
    console.print(table)


FAULT_COLUMNS = (
    "fault",
    "times",
    "back s",
    "learner stalled s",
    "at work again s",
    "env steps at least",
    "rows lost",
    "redone s",
    "ended",
)


def fault_rows(faults: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return one line per kind of fault (see FAULT_COLUMNS): median and worst, totals of what was lost."""
    rows = []
    for kind in dict.fromkeys(fault["kind"] for fault in faults):
        mine = [fault for fault in faults if fault["kind"] == kind and fault["victim"] != "nobody"]
        costs = [fault["cost"] for fault in mine]
        rows.append(
            [
                kind,
                str(len(mine)),
                _spread([fault["back_s"] for fault in mine]),
                _spread([cost["stall_s"] for cost in costs]),
                _spread([cost["resumed_s"] for cost in costs]),
                _least([cost["env_dip_frac"] for cost in costs]),
                _total([cost["rows_lost"] + cost["replay_rows_lost"] for cost in costs]),
                _spread([cost["redone_s"] for cost in costs]),
                str(sum(1 for fault in mine if fault["driver_exit"] is not None)),
            ]
        )
    return rows


def fault_table(faults: Sequence[Mapping[str, Any]]) -> Table:
    """Return ``fault_rows`` for a terminal."""
    table = Table(box=None, pad_edge=False, title="faults (median / worst of each kind)", title_justify="left")
    for column in FAULT_COLUMNS:
        table.add_column(
            column, justify="left" if column == "fault" else "right", no_wrap=column in ("fault", "back s")
        )
    for row in fault_rows(faults):
        table.add_row(*row)
    return table


def fault_markdown(faults: Sequence[Mapping[str, Any]]) -> str:
    """Return ``fault_rows`` for a page."""
    return md.table(FAULT_COLUMNS, fault_rows(faults))


def promise_table(promises: Mapping[str, Any]) -> Table:
    """Return one line per bound."""
    table = Table(box=None, pad_edge=False, title="promises", title_justify="left")
    for column in ("", "bound", "worst", "at most", "broken", ""):
        table.add_column(
            column, overflow="fold", justify="right" if column in ("worst", "at most", "broken") else "left"
        )
    for name, promise in promises.items():
        for i, verdict in enumerate(promise["verdicts"]):
            first = f"{name} x {promise['faults']}" if i == 0 else ""
            table.add_row(
                first,
                verdict["text"],
                _shown(verdict["worst"]),
                _shown(verdict["most"]),
                f"{verdict['num_broken']} of {verdict['num']}",
                _word(verdict["kept"]),
            )
    return table


def broken_lines(report: Mapping[str, Any], speed: bool) -> list[str]:
    """Return a line for every promise and check that was broken; those about speed alone only with ``speed``."""
    lines = []
    for name, promise in report["promises"].items():
        broken = [v for v in promise["verdicts"] if not v["kept"] and (speed or not v["speed"])]
        lines += [f"{name}: {verdict['text']}: {verdict['worst']}, at most {verdict['most']}" for verdict in broken]
    lines += [f"{c['text']}: {c['found']}" for c in report["checks"] if not c["kept"] and (speed or not c["speed"])]
    return lines


def markdown(report: Mapping[str, Any]) -> str:
    """Return the table of promises for a page."""
    rows = [
        (
            name, f"{promise['faults']}", verdict["text"], _shown(verdict["median"]), _shown(verdict["worst"]),
            f"{verdict['num_broken']} of {verdict['num']}",
        )
        for name, promise in report["promises"].items()
        for verdict in promise["verdicts"]
    ]  # fmt: skip
    return md.table(("What was broken", "Times", "Bound", "Median", "Worst", "Broken"), rows)


def verdict_dict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict for JSON."""
    return asdict(verdict) | {"kept": verdict.kept}


def _word(kept: bool) -> Text:
    return Text(KEPT, "green") if kept else Text(BROKEN, "red")


def _spread(values: Sequence[float | None]) -> str:
    """Median and worst; None is worse than anything."""
    known = [math.inf if value is None else value for value in values]
    if not known:
        return "-"
    return f"{_shown(statistics.median_high(known))} / {_shown(max(known))}"


def _least(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.0%}" if known else "-"


def _total(values: Sequence[float]) -> str:
    return f"{sum(values):,.0f}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "none" if not value else f"{len(value)}: {value[0]}"
    if isinstance(value, float):
        return "never" if math.isinf(value) else f"{value:.3g}"
    return str(value)


def _plain(value: Any) -> Any:
    """Return ``value`` with what is not finite as None."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
