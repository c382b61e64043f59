"""A node that has compiled what a run needs does not do it again for the run's next session."""

from __future__ import annotations

import pytest
import ray

from robonav_ray.config.load import load_run_config
from robonav_ray.nodes.part_placement import NodeFacts
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.over_ray.warm_nodes import warm_nodes

pytestmark = pytest.mark.ray


def test_once_for_the_same_sources_and_config(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    here = NodeFacts(ray.get_runtime_context().get_node_id(), "127.0.0.1", 1.0)
    config = load_run_config(None, ["env.id=CartPole-v1"])
    task = describe_task(config)
    asked: list[int] = []
    wait = ray.wait
    monkeypatch.setattr(ray, "wait", lambda refs, **options: (asked.append(len(refs)), wait(refs, **options))[1])
    warm_nodes(config, task, (here,), print)
    warm_nodes(config, task, (here,), print)
    assert asked == [1]
    warm_nodes(config.model_copy(update={"seed": 3}), task, (here,), print)
    assert asked == [1, 1]


def test_one_that_failed_is_asked_again(
    ray_session: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room for kernels")

    monkeypatch.setattr("robonav_ray.runtime.over_ray.warm_nodes.compile_kernels", fail)
    here = NodeFacts(ray.get_runtime_context().get_node_id(), "127.0.0.1", 1.0)
    config = load_run_config(None, ["env.id=CartPole-v1", "seed=5"])
    for times in (1, 2):
        warm_nodes(config, describe_task(config), (here,), print)
        assert caplog.text.count("were not compiled beforehand") == times
