"""What a run has to show, for the cells of a notebook: curves, judgements, checkpoints, figures as a file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robonav_ray.errors import UserError
from robonav_ray.evaluation.picture import draw_four, load_curves
from robonav_ray.evaluation.report import EvaluationReport
from robonav_ray.files.plain_files import list_plain, replace
from robonav_ray.runs.checkpoint import list_checkpoints
from robonav_ray.runs.checkpoint_index import read_index
from robonav_ray.runs.listing import describe_run
from robonav_ray.runs.run_directory import EVALUATION_JSON, open_run
from robonav_ray.runs.superseded import bytes_below, steps_of
from robonav_ray.text import markdown_text

if TYPE_CHECKING:
    import pandas

MOST_FILES = 100_000


def four_plots(run: str | Path) -> Any:
    """Draw success and collisions, return, TD error and exploration of ``run`` over its env steps into
    ``RUN/four_plots.png``, and return the picture for the output of a cell.

    Raises:
        UserError: When ``run`` is no run, or has logged nothing yet.
    """
    from IPython.display import Image  # type: ignore[import-not-found]  # the kernel runs in it

    try:
        return Image(filename=str(draw_four(open_run(Path(run)).path)), width=960)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{error}; a run logs from its first learner step on") from None


def evaluation_table(report: EvaluationReport) -> pandas.DataFrame:
    """Return one row for each stage of a report: rates as parts of all episodes, with the 95 % interval of the
    success.
    """
    import pandas

    rows = []
    for level in report.levels:
        s = level.summary
        rates, time_s = {"collisions": s.collision, "timeouts": s.timeout}, s.time_success_s and s.time_success_s.value
        rows.append(
            {
                "stage": level.level,
                "episodes": s.num_episodes,
                "success": "-" if s.success is None else f"{s.success.frac:.1%}",
                "interval": "-" if s.success is None else f"{s.success.low:.1%} to {s.success.high:.1%}",
                **{name: "-" if rate is None else f"{rate.frac:.1%}" for name, rate in rates.items()},
                "time to the goal": "-" if time_s is None else f"{time_s:.1f} s",
            }
        )
    return pandas.DataFrame(rows).set_index("stage")


def checkpoint_table(run: str | Path) -> pandas.DataFrame:
    """Return one row for each checkpoint of ``run`` that is kept, and why: the latest, the best by its judgements, the
    numbered ones.

    Raises:
        UserError: When ``run`` is no run, or its index is damaged.
    """
    import pandas

    found = open_run(Path(run))
    index, latest = read_index(found.path), list_checkpoints(found.checkpoints)[-1:]
    best, numbers = index.best, {numbered.checkpoint: numbered.number for numbered in index.numbered}
    rows = []
    for path in sorted(found.checkpoints.glob("*-*"), key=lambda path: path.name.partition("-")[2]):
        why = [f"number {numbers[path.name]}"] if path.name in numbers else []
        why += ["latest"] if path in latest else []
        why += ["best"] if best is not None and path.name == best.checkpoint else []
        if path.name.startswith(("env-", "policy-")):
            steps = steps_of(path.name.removeprefix("policy-"))
            rows.append((path.name, ", ".join(why) or "older", steps, round(bytes_below(path) / 1e6, 1)))
    return pandas.DataFrame(rows, columns=["checkpoint", "kept as", "env steps", "MB"])


def write_metrics(run: str | Path, path: Path) -> Path:
    """Write what ``run`` is and all that it has logged as one JSON file (aside, then renamed); return ``path``.

    ``{"run": {...}, "evaluation": {...} or null, "metrics": {"curriculum/success_frac": {"step": [...], "value":
    [...]}}}``; steps are env steps, units stand in docs/metrics.md.

    Raises:
        UserError: When ``run`` is no run, or has logged nothing yet.
    """
    found = open_run(Path(run))
    try:
        series = load_curves(found.path).series
    except ValueError as error:
        raise UserError(str(error)) from None
    document = {
        "run": describe_run(found),
        "evaluation": found.read_json(EVALUATION_JSON) or None,
        "metrics": {name: {"step": s.tolist(), "value": v.tolist()} for name, (s, v) in sorted(series.items())},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(document, allow_nan=False, default=str) + "\n")
    return path


def kept_files(folder: str | Path) -> pandas.DataFrame:
    """Return one row for each file and folder in ``folder``: files in it, MB, and when it last changed (UTC).

    Raises:
        UserError: When there is no such folder.
    """
    import pandas

    base, rows = Path(folder), []
    if not base.is_dir():
        raise UserError(f"{folder}: no such folder")
    for entry in sorted(base.iterdir()):
        names = [entry / name for name in list_plain(entry, MOST_FILES)] if entry.is_dir() else [entry]
        size = sum(path.lstat().st_size for path in names)
        changed = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.lstat().st_mtime))
        rows.append((entry.name + "/" * entry.is_dir(), len(names), round(size / 1e6, 2), changed))
    return pandas.DataFrame(rows, columns=["name", "files", "MB", "changed"])


def save_version_reminder(folder: str | Path) -> Any:
    """Return the reminder that Kaggle keeps ``folder`` only in a saved version, with what is in it."""
    from IPython.display import Markdown  # type: ignore[import-not-found]  # the kernel runs in it

    table = kept_files(folder)
    rows = zip(table["name"], table["files"], table["MB"], strict=True)
    lines = [f"| {markdown_text(name)} | {files} | {megabytes} |" for name, files, megabytes in rows]
    return Markdown(
        "\n".join(
            [
                "### Save a version now",
                "",
                "Kaggle keeps these files only with a version of the notebook: **Save Version**, then *Quick Save* "
                "with *Save output for this version*. To go on in the next session: **Add Input**, choose the output "
                "of that version, run all cells.",
                "",
                "| file | files | MB |",
                "|---|---:|---:|",
                *lines,
            ]
        )
    )
