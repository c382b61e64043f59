"""The dashboard draws what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

from robonav_ray.launch.grafana import RUN_PANELS, dashboard
from robonav_ray.tracking.names import gauge_name

PACKAGE = Path(__file__).parents[3] / "robonav_ray"


def test_every_metric_of_the_dashboard_is_one_that_a_run_logs():
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.parts[-2] != "launch")
    metrics = [metric for _, _, names in RUN_PANELS for metric in names]
    assert len(metrics) > 20
    assert [metric for metric in metrics if f'"{metric}"' not in source] == []


def test_the_queries_are_the_exported_names():
    expressions = [target["expr"] for panel in dashboard("")["panels"] for target in panel["targets"]]
    assert f'ray_{gauge_name("learner/td_error_mean")}{{run=~"$run"}}' in expressions
    for expression in expressions:
        assert re.fullmatch(
            r'ray_robonav_[a-z0-9_]+\{run=~"\$run"\}|ray_(node|object_store)_[a-z_]+|count\(ray_node_[a-z_]+\)',
            expression,
        )


def test_panels_do_not_overlap_and_the_file_is_json():
    panels = json.loads(json.dumps(dashboard("")))["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
