"""What compiles the kernels beforehand goes through the very code that workers and shards run."""

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.over_ray.warm_nodes import compile_kernels


@pytest.mark.parametrize("overrides", [[], ["replay.sampler=rank", "env.id=CartPole-v1"]])
def test_a_fragment_is_made_and_a_shard_gone_through(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from robonav_ray.replay.shard import ReplayShard
    from robonav_ray.rollout.worker import RolloutWorker

    ran: list[str] = []
    for cls, name in ((RolloutWorker, "collect"), (ReplayShard, "update_priorities")):
        method = getattr(cls, name)
        monkeypatch.setattr(cls, name, lambda *a, _name=name, _method=method: (ran.append(_name), _method(*a))[1])
    config = load_run_config(None, overrides)
    task = describe_task(config)
    compile_kernels(config, task.levels, task.spec)
    assert ran == ["collect", "update_priorities"]
