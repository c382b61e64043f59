"""Our dashboard for Grafana: the figures of a run, as ``tracking/remote.py`` exports them, and the nodes as Ray
does.
"""

from __future__ import annotations

from typing import Any

from robonav_ray.tracking.names import gauge_name

# Title, unit of Grafana, and the metrics of the run that are drawn.
RUN_PANELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Curriculum: stage", "none", ("curriculum/stage", "curriculum/passed")),
    (
        "Success and collisions of the gate's window",
        "percentunit",
        ("curriculum/success_frac", "curriculum/collision_frac"),
    ),
    ("Return", "none", ("curriculum/return_mean",)),
    ("Env steps", "none", ("curriculum/env_steps", "env_step")),
    ("Env steps per second", "cps", ("rollout/env_steps_per_s",)),
    ("Learner steps per second", "cps", ("learner/steps_per_s",)),
    ("Learner: fraction of time waiting for data", "percentunit", ("learner/wait_frac",)),
    ("Loss and TD error", "none", ("learner/loss", "learner/td_error_mean")),
    ("Q mean and gradient norm", "none", ("learner/q_mean", "learner/grad_norm")),
    ("Policy lag (versions)", "none", ("learner/policy_lag_mean", "learner/policy_lag_max", "rollout/policy_lag_max")),
    ("Samples per insert", "none", ("replay/samples_per_insert",)),
    ("Replay: rows", "none", ("replay/size", "replay/rows_inserted", "replay/rows_sampled")),
    (
        "What went wrong",
        "none",
        (
            "rollout/workers_replaced",
            "replay/rows_lost",
            "replay/duplicate_fragments",
            "learner/bad_updates",
            "runtime/failed_saves",
            "runtime/failed_writes",
        ),
    ),
)
# Title, unit, and queries of what Ray's node agents export.
NODE_PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Node CPU", "percent", (("ray_node_cpu_utilization", "{{instance}}"),)),
    ("Node memory used", "bytes", (("ray_node_mem_used", "{{instance}}"),)),
    ("Object store: used and spilled", "bytes", (("ray_object_store_memory", "{{instance}} {{Location}}"),)),
    ("Nodes that report", "none", (("count(ray_node_cpu_utilization)", "nodes"),)),
)


def dashboard(description: str) -> dict[str, Any]:
    """Return the dashboard, with a choice of runs, two panels a row."""
    series = [
        (title, unit, [(f'ray_{gauge_name(metric)}{{run=~"$run"}}', f"{{{{run}}}} {metric}") for metric in metrics])
        for title, unit, metrics in RUN_PANELS
    ] + [(title, unit, list(queries)) for title, unit, queries in NODE_PANELS]
    return {
        "uid": "robonav",
        "title": "robonav_ray",
        "description": description,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "tags": ["robonav_ray"],
        "templating": {"list": [_choice_of_runs()]},
        "panels": [_panel(number, *panel) for number, panel in enumerate(series)],
    }


def dashboard_provider() -> dict[str, Any]:
    """Return where Grafana finds its dashboards."""
    options = {"path": "/etc/grafana/provisioning/dashboards"}
    provider = {"name": "robonav_ray", "type": "file", "allowUiUpdates": False, "options": options}
    return {"apiVersion": 1, "providers": [provider]}


def _choice_of_runs() -> dict[str, Any]:
    query = f"label_values(ray_{gauge_name('env_step')}, run)"
    return {
        "name": "run",
        "label": "Run",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "query": {"query": query, "refId": "runs"},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, title: str, unit: str, queries: list[tuple[str, str]]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "prometheus"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": source, "expr": expr, "legendFormat": legend}
            for i, (expr, legend) in enumerate(queries)
        ],
    }
