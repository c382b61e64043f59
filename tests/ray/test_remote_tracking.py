"""Ray gauges carry the metrics under Prometheus names."""

from __future__ import annotations

import time
import urllib.request

import pytest

from robonav_ray.interfaces import Tracker

pytestmark = pytest.mark.ray


def test_gauges_are_set_by_name_and_run(ray_session):
    from robonav_ray.tracking.remote import PrometheusTracker, gauge_name

    assert gauge_name("learner/td_error_mean") == "robonav_learner_td_error_mean"
    tracker = PrometheusTracker("run-1")
    assert isinstance(tracker, Tracker)
    for step in range(3):
        tracker.log({"learner/td_error_mean": float(step), "replay/fill.frac": 0.5}, step)
    assert sorted(tracker._gauges) == ["env_step", "learner/td_error_mean", "replay/fill.frac"]
    assert tracker._gauges["replay/fill.frac"].info["name"] == "robonav_replay_fill_frac"
    assert tracker._gauges["env_step"].info["default_tags"] == {"run": "run-1"}
    tracker.close()
    with pytest.raises(RuntimeError, match="closed"):
        tracker.log({}, 4)


def exported(name: str, run: str) -> list[float]:
    """The values that the node offers to Prometheus now: lines ``name{label="...",...} value``."""
    import ray

    port = ray.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{") and f'run="{run}"' in line]


def test_a_logged_metric_can_be_scraped_without_the_dashboard(ray_session):
    from robonav_ray.tracking.remote import PrometheusTracker

    tracker = PrometheusTracker("scraped")
    deadline = time.monotonic() + 120.0
    value = 0.0
    while not exported("ray_robonav_learner_scraped_loss", "scraped"):
        assert time.monotonic() < deadline, "nothing was exported within two minutes"
        value += 0.25
        tracker.log({"learner/scraped_loss": value}, int(value * 1000))
        time.sleep(0.25)
    tracker.log({"learner/scraped_loss": -1.5}, 99_000)
    while exported("ray_robonav_learner_scraped_loss", "scraped") != [-1.5]:
        assert time.monotonic() < deadline, "the newest value was not exported within two minutes"
        time.sleep(0.1)
    assert exported("ray_robonav_env_step", "scraped") == [99_000.0]
    tracker.close()
