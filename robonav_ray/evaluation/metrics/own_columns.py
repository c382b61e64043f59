"""Metrics of the user's own as columns of an exam: to read it later takes none of the user's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.metrics.registry import OWN, Metric


def with_own_metrics(table: ExamTable, metrics: Mapping[str, Metric]) -> ExamTable:
    """Return ``table`` with a column ``own_NAME`` for each metric, and units and directions in its provenance.

    Raises:
        UserError: When a function fails, or returns something else than a number for each episode of a cell.
    """
    columns = {f"{OWN}{name}": np.full(table.num_rows, np.nan) for name in metrics}
    for cell, rows in table.rows_by_cell.items():
        episodes = table.cell(*cell)
        for name, metric in metrics.items():
            value = metric.of(episodes)
            columns[f"{OWN}{name}"][rows] = np.where(np.isfinite(value), value, np.nan)
    told = {name: {"unit": metric.unit, "direction": metric.direction} for name, metric in metrics.items()}
    provenance = table.provenance | ({"own_metrics": told} if told else {})
    return replace(table, columns=table.columns | columns, provenance=provenance)
