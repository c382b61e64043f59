"""The report of a search: one self-contained HTML page, its pictures as PNG, and all trials and reports as Parquet."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.files.plain_files import read_bytes, replace
from robonav_ray.text import command_text, html_text
from robonav_ray.tracking.panel import format_count, format_seconds
from robonav_ray.tuning.search_records import History, TrialReport, best_checkpoint
from robonav_ray.tuning.views.drawing import written
from robonav_ray.tuning.views.pictures import CAPTIONS, draw_pictures
from robonav_ray.tuning.views.search_block import method_text
from robonav_ray.tuning.views.summary import (
    has_success,
    number_text,
    outcome_text,
    params_at,
    percent_text,
    ranked,
    short_names,
    short_value,
    shown_params,
    stage_text,
    summarize,
)

PLOTS = "plots"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;background:#fff;max-width:1180px;margin:2em auto;padding:0 1.2em}
h1{font-size:1.7em;margin:0}h2{font-size:1.15em;margin:2em 0 .5em}p{margin:.4em 0}
table{border-collapse:collapse;font-size:13px;width:100%}
th{text-align:left;font-weight:600;border-bottom:2px solid #cfd8e0}
th,td{padding:.28em .7em .28em 0;white-space:nowrap}td{border-bottom:1px solid #eceff2}td.n,th.n{text-align:right}
tr.best td{background:#eaf6ee;font-weight:600}tr.stopped td,tr.pending td{color:#66727e}tr.failed td{color:#a3312a}
code{background:#f2f4f6;padding:.1em .35em;border-radius:3px}img{max-width:100%;margin:.3em 0}
.wide{overflow-x:auto}.note{color:#66727e}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15em 1.2em;margin:.4em 0}dt{color:#66727e}dd{margin:0}
"""


def write_report(directory: Path, history: History, config: TuningConfig, *, title: str) -> list[Path]:
    """Write report.html, plots/, trials.parquet and reports.parquet into ``directory``, each aside and then renamed;
    return their paths.

    A search that is still running, or has not reported yet, has a report too.
    """
    pictures = draw_pictures(history, config, directory / PLOTS)
    page = page_text(history, config, title, pictures)
    trials, reports = trials_table(history, config), reports_table(history)
    return [
        written(directory / "report.html", lambda path: replace(path, page)),
        written(directory / "trials.parquet", lambda path: parquet.write_table(trials, path)),
        written(directory / "reports.parquet", lambda path: parquet.write_table(reports, path)),
        *pictures,
    ]


def trials_table(history: History, config: TuningConfig) -> pa.Table:
    """Return one row a trial: its state, its best and its last report, and its values as ``param/KEY``."""
    rows = list(history.trials.values())
    columns: dict[str, pa.Array] = {
        "trial": pa.array([t.id for t in rows], pa.string()),
        "state": pa.array([t.state for t in rows], pa.string()),
        "reason": pa.array([outcome_text(t) for t in rows], pa.string()),
        "num_reports": pa.array([len(t.reports) for t in rows], pa.int64()),
        "num_exploits": pa.array([len(t.exploits) for t in rows], pa.int64()),
        "num_failures": pa.array([len(t.failures) for t in rows], pa.int64()),
    }
    figures = {"env_steps": pa.int64(), "seconds": pa.float64(), "stage": pa.int64(), "objective": pa.float64(),
               "success_frac": pa.float64(), "collision_frac": pa.float64(), "mean_return": pa.float64()}  # fmt: skip
    for which in ("best", "last"):
        reports = [getattr(trial, which) for trial in rows]
        for name, kind in figures.items():
            columns[f"{which}_{name}"] = pa.array([None if r is None else getattr(r, name) for r in reports], kind)
        columns[f"{which}_checkpoint"] = pa.array(
            [
                None if r is None else f"trials/{t.id}/checkpoints/{r.checkpoint}"
                for t, r in zip(rows, reports, strict=True)
            ],
            pa.string(),
        )
    for key in config.space:
        columns[f"param/{key}"] = _param_column([trial.params.get(key) for trial in rows], config.space[key])
    return pa.table(columns)


def reports_table(history: History) -> pa.Table:
    """Return one row a report."""
    rows = [{"trial": trial.id, **asdict(report)} for trial in history.trials.values() for report in trial.reports]
    return pa.Table.from_pylist(rows, schema=_report_schema())


def _report_schema() -> pa.Schema:
    """Return the columns of reports.parquet, the same for every search: also before the first report and where success
    is not known.
    """
    kinds = {
        "int": pa.int64(),
        "float": pa.float64(),
        "float | None": pa.float64(),
        "bool": pa.bool_(),
        "str": pa.string(),
    }
    return pa.schema([("trial", pa.string()), *((field.name, kinds[str(field.type)]) for field in fields(TrialReport))])


def _param_column(values: Sequence[Any], dimension: DimensionConfig) -> pa.Array:
    """Return numbers as numbers; where what is searched are lists or values of several kinds, their JSON."""
    whole = dimension.kind in ("integer", "log_integer")
    possible = [0 if whole else 0.0] if dimension.choice is None else list(dimension.choice)
    kinds = {type(value) for value in (*possible, *values) if value is not None}
    if kinds <= {int, float}:
        return pa.array(values, pa.float64() if float in kinds else pa.int64())
    if len(kinds) == 1 and kinds <= {bool, str}:
        return pa.array(values, pa.bool_() if bool in kinds else pa.string())
    return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())


def page_text(history: History, config: TuningConfig, title: str, pictures: Sequence[Path]) -> str:
    """Return the whole page; what comes from the user is escaped, pictures are inside, and nothing is loaded from
    anywhere.
    """
    summary = summarize(history, config)
    state = "ended" if history.ended else "not ended: this is how far it has come"
    parts = [
        f"<h1>{html_text(title)}</h1>",
        f"<p class=note>{html_text(method_text(config))} over {len(config.space)} keys; "
        f"{html_text(summary.counts_text)} trials; {format_count(summary.env_steps)} env steps, "
        f"{format_seconds(summary.trial_s)} of trials at work, {history.num_sessions} "
        f"session{'s' * (history.num_sessions != 1)}; {state}.</p>",
        _best(history, config, title),
        *(
            f"<h2>{html_text(path.stem.replace('_', ' ').capitalize())}</h2><p "
            f"class=note>{html_text(CAPTIONS[path.name])}</p>"
            f'<img alt="{html_text(CAPTIONS[path.name])}" '
            f'src="data:image/png;base64,{base64.b64encode(read_bytes(path)).decode()}">'
            for path in pictures
        ),
        _trials(history, config),
        _lineage(history, config),
        _failures(history),
        "<h2>What was searched</h2>"
        + _list({k: _dimension(d.kind, getattr(d, d.kind)) for k, d in config.space.items()}),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta '
        f'charset="utf-8"><title>{html_text(title)}</title><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _best(history: History, config: TuningConfig, title: str) -> str:
    trial = history.best_trial
    if trial is None or trial.best is None:
        return "<h2>Best trial</h2><p>No trial has reported yet.</p>"
    best = trial.best
    figures = {
        "trial": trial.id,
        "objective": number_text(best.objective),
        "stage": stage_text(best),
        **({"held-out success": percent_text(best.success_frac)} if has_success(history) else {}),
        "mean return": number_text(best.mean_return),
        "after": f"{format_count(best.env_steps)} env steps, {format_seconds(best.seconds)}",
        **{key: short_value(value) for key, value in params_at(trial, best).items()},
    }
    train = command_text("robonav", "train", f"{title}/best_config.yaml")
    evaluate = command_text("robonav", "evaluate", f"{title}/{best_checkpoint(trial)}")
    return (
        f"<h2>Best trial</h2>{_list(figures)}<p>In a run of its own: <code>{html_text(train)}</code>; as it is: "
        f"<code>{html_text(evaluate)}</code></p>"
    )


def _trials(history: History, config: TuningConfig) -> str:
    names, best = short_names(config.space), history.best_trial
    told = has_success(history)
    heads = ["trial", "state", "stage", *(["success"] if told else []), "best", "env steps", "at work", *names.values()]
    head = "".join(f"<th>{html_text(name)}</th>" for name in heads)
    rows = []
    for trial in ranked(history.trials.values()):
        report = trial.best
        cells = [
            trial.id,
            trial.state,
            stage_text(report),
            *([percent_text(report.success_frac if report else None)] if told else []),
            number_text(report.objective if report else None),
            format_count(trial.last.env_steps) if trial.last else "-",
            format_seconds(trial.last.seconds) if trial.last else "-",
            *(short_value(shown_params(trial).get(key)) for key in names),
        ]
        kind = "best" if best is not None and trial.id == best.id else trial.state
        rows.append(f'<tr class="{kind}">{"".join(f"<td>{html_text(cell)}</td>" for cell in cells)}</tr>')
    note = " Values of a population are those of the best report." if config.scheduler.is_population else ""
    table = f"<div class=wide><table><tr>{head}</tr>{''.join(rows)}</table></div>"
    return f"<h2>Trials</h2><p class=note>The best objective first.{note}</p>{table}"


def _lineage(history: History, config: TuningConfig) -> str:
    exploits = [(trial, exploit) for trial in history.trials.values() for exploit in trial.exploits]
    if not exploits:
        return ""
    names = short_names(config.space)
    rows = [
        f"<tr><td>{html_text(trial.id)}</td><td>{html_text(e.donor)}</td><td>{format_count(e.env_steps)}</td><td>{number_text(e.objective)}</td>"
        f"<td>{number_text(e.donor_objective)}</td>"
        + "".join(
            f"<td>{html_text(short_value(e.params_before.get(k)))} → {html_text(short_value(e.params.get(k)))}</td>"
            for k in names
        )
        + "</tr>"
        for trial, e in sorted(exploits, key=lambda pair: pair[1].time)
    ]
    heads = ["trial", "goes on from", "at env steps", "objective", "donor's", *names.values()]
    head = "".join(f"<th>{html_text(name)}</th>" for name in heads)
    return f"<h2>Exploits</h2><div class=wide><table><tr>{head}</tr>{''.join(rows)}</table></div>"


def _failures(history: History) -> str:
    told = [(trial, failure) for trial in history.trials.values() for failure in trial.failures]
    if not told:
        return ""
    rows = "".join(
        f"<tr class=failed><td>{html_text(t.id)}</td><td>{html_text(failure)}</td></tr>" for t, failure in told
    )
    note = "<p class=note>Whole tracebacks: trials/ID/errors.txt</p>"
    return f"<h2>Failures</h2>{note}<div class=wide><table>{rows}</table></div>"


def _list(figures: dict[str, str]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{html_text(name)}</dt><dd>{html_text(value)}</dd>" for name, value in figures.items())
        + "</dl>"
    )


def _dimension(kind: str, given: Sequence[Any]) -> str:
    if kind == "choice":
        return f"one of {', '.join(map(short_value, given))}"
    words = {"uniform": "", "loguniform": ", logarithmic", "integer": ", whole", "log_integer": ", whole, logarithmic"}
    return f"{short_value(given[0])} to {short_value(given[1])}{words[kind]}"
