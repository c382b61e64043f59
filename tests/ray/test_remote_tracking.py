"""Ray gauges carry the metrics under Prometheus names."""

from __future__ import annotations

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
