"""The metrics that the report's tables show, and every metric of every scenario with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.evaluation.metrics.registry import metric_named
from robonav_ray.evaluation.statistics import mean, wilson_interval
from robonav_ray.report.document import Scalar

DASH = "\N{EN DASH}"


class Column(NamedTuple):
    """A metric in a table: its head, and the format of its mean."""

    head: str
    form: str = "{:.2f}"


ENDS = {
    "success": Column("success", "{:.1%}"),
    "collision": Column("collision", "{:.1%}"),
    "timeout": Column("timeout", "{:.1%}"),
    "robots_arrived": Column("own robots", "{:.1%}"),
}
WAY = {
    "spl": Column("SPL", "{:.3f}"),
    "soft_spl": Column("soft SPL", "{:.3f}"),
    "time_success_s": Column("success in", "{:.1f}"),
    "time_imputed_s": Column("time", "{:.1f}"),
    "extra_time_s": Column("extra"),
    "path_over_shortest": Column("path"),
    "barn_score": Column("BARN"),
}
MANNERS = {
    "min_clearance_m": Column("least, m"),
    "mean_clearance_m": Column("mean, m"),
    "near_s": Column("near, s", "{:.1f}"),
    "intimate_frac": Column("intimate", "{:.1%}"),
    "personal_frac": Column("personal", "{:.1%}"),
    "time_to_collision_s": Column("TTC, s", "{:.1f}"),
    "heading_change_rad": Column("turned, rad", "{:.1f}"),
    "jerk": Column("jerk"),
    "standing_s": Column("stood, s", "{:.1f}"),
}


def mean_text(values: np.ndarray, column: Column) -> str:
    """Return the mean of what is known; a dash for nothing."""
    known = values[np.isfinite(values)]
    return column.form.format(float(known.mean())) if len(known) else DASH


def pooled(view: ExamView, one: Contestant, name: str, scenarios: Sequence[int]) -> np.ndarray:
    """Return the values of a metric over all episodes of ``scenarios``, (E,); NaN where it is not told."""
    parts = [
        view.metrics(e, s).get(name, np.full(len(view.rows(e, s)), np.nan))
        for s in scenarios
        if view.has(one, s)
        for e in one.entrants
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def metric_records(view: ExamView) -> Iterator[dict[str, Scalar]]:
    """Give one record for each contestant, scenario and metric: its mean over episodes with Wilson's interval of a
    rate, Student's of anything else (none for one value).
    """
    for s, scenario in enumerate(view.table.scenario_names):
        for one in view.played(s):
            names = dict.fromkeys(name for e in one.entrants for name in view.metrics(e, s))
            for name in names:
                metric = metric_named(name, view.table.provenance.get("own_metrics"))
                value = pooled(view, one, name, [s])
                value = value[np.isfinite(value)]
                found = mean(value, view.confidence)
                low, high = found.low, found.high
                if metric.is_rate:
                    low, high = wilson_interval(int(value.sum()), len(value), view.confidence)
                yield {
                    "entrant": one.name,
                    "knows": one.knows,
                    "seeds": one.num_seeds,
                    "scenario": scenario,
                    "metric": name,
                    "unit": metric.unit,
                    "direction": metric.direction,
                    "value": found.value,
                    "low": low,
                    "high": high,
                    "episodes": len(value),
                }
