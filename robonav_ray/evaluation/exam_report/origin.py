"""Where all of it came from: entrants, scenarios, versions, hashes, the command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from robonav_ray.evaluation.exam_report.metrics import DASH
from robonav_ray.evaluation.exam_report.view import ExamView
from robonav_ray.evaluation.exam_table import ScenarioFacts
from robonav_ray.report.document import Facts, Section, Table, paragraph
from robonav_ray.text import command_text

_MOST = 300


def origin_section(view: ExamView) -> Section:
    """Return the section that lets a reader play all of it again."""
    table = view.table
    parts = []
    if facts := tuple(_flat(table.provenance)):
        parts.append(Section("The exam", (Facts(facts),)))
    behind = tuple(
        Section(one.name, (Facts(tuple(_flat(one.provenance))),)) for one in table.entrants if one.provenance
    )
    parts.append(Section("Entrants", (_entrants(view),), behind))
    parts.append(Section("Scenarios", (_scenarios(view),)))
    what = paragraph(
        "The same command on the same versions gives the same episodes, bit for bit. ",
        f"episodes.parquet beside this report holds all {table.num_rows:,} of them; every table of the report is a "
        "file in tables/.",
    )
    return Section("Where it came from", (what,), tuple(parts))


_ELSEWHERE = ("suites",)
"""Keys of an exam's provenance that the table of scenarios shows."""


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Give dotted keys and texts of what JSON holds; a mapping of short texts in one line, a list of words as a
    command.
    """
    if isinstance(value, dict) and len(value) > 3 and key and all(isinstance(one, str) for one in value.values()):
        yield key, ", ".join(f"{name} {one}" for name, one in value.items())
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _ELSEWHERE or key:
                yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif value not in (None, "", []):
        yield key, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = command_text(*value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST else f"{text[:_MOST]} ..."


def _entrants(view: ExamView) -> Table:
    entrants = view.table.entrants
    rows = [
        (one.name, one.kind, one.knows, one.method, DASH if one.train_seed is None else str(one.train_seed), one.source)
        for one in entrants
    ]
    return Table(
        "entrants",
        "Who took part: what each is shown, the method that its seeds share, and the source as it was named.",
        ("entrant", "kind", "knows", "method", "seed", "source"),
        tuple(rows),
        "llllrl",
    )


def _scenarios(view: ExamView) -> Table:
    rows, common = [], _common_changes(view.table.scenarios)
    for facts in view.table.scenarios:
        own = {key: value for key, value in facts.changes.items() if key not in common.get(facts.suite, {})}
        rows.append(
            (facts.name, facts.suite, facts.stage, _listed(own) or DASH, f"{facts.num_episodes:,}", str(facts.seed))
        )
    in_all = "".join(f" In all of {suite}: {_listed(changes)}." for suite, changes in common.items())
    return Table(
        "worlds_of_scenarios",
        f"What was played: the stage, what differs from the defaults, how many worlds, and their seed.{in_all}",
        ("scenario", "suite", "stage", "changes", "worlds", "seed"),
        tuple(rows),
        "llllrr",
        records=tuple(
            {
                "scenario": facts.name,
                "suite": facts.suite,
                "family": facts.family,
                "factor": facts.factor,
                "level": facts.level,
                "stage": facts.stage,
                "question": facts.question,
                "changes": json.dumps(facts.changes, sort_keys=True),
                "worlds": facts.num_episodes,
                "seed": facts.seed,
            }
            for facts in view.table.scenarios
        ),
    )


def _common_changes(scenarios: Sequence[ScenarioFacts]) -> dict[str, dict[str, Any]]:
    """Return by suite the changes that all of its scenarios share; suites of one scenario, and without any, are left
    out.
    """
    found: dict[str, dict[str, Any]] = {}
    for suite in dict.fromkeys(facts.suite for facts in scenarios):
        first, *rest = (facts.changes for facts in scenarios if facts.suite == suite)
        common = {key: value for key, value in first.items() if all(key in one and one[key] == value for one in rest)}
        if rest and common:
            found[suite] = common
    return found


def _listed(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in changes.items())


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
