"""``robonav_ray.runs``: all runs below a folder, as a table."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from robonav_ray.runs.listing import RunFacts, list_runs

if TYPE_CHECKING:
    import pandas


def runs(folder: str | Path = "runs") -> pandas.DataFrame:
    """Return all runs in ``folder`` and below it, trials of searches too, one row each; the one that was started last
    is the last.

    ::

        table = robonav_ray.runs("runs")
        table[table.status == "finished"].sort_values("success").tail(3)

    Returns:
        A frame with the columns ``name``, ``status`` (finished, unfinished, failed, running), ``seed``, ``steps`` (env
        steps), ``success`` (of the last stage of its evaluation, 0 to 1), ``started`` (a moment with its time zone) and
        ``path``. What a run has not written is missing (None, NaN, NaT).

    Raises:
        UserError: When there is no such folder.
    """
    import pandas

    columns = [field.name for field in fields(RunFacts)]
    table = pandas.DataFrame(
        [[getattr(facts, name) for name in columns] for facts in list_runs(Path(folder))], columns=columns
    )
    table["started"] = pandas.to_datetime(table["started"], utc=True)
    return table.astype({"seed": "Int64", "steps": "Int64", "success": "Float64"})
