"""Compiles, in this process and without Ray, the kernels that the parts of a run need."""

from __future__ import annotations

from robonav_ray import compiled
from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.records import Fragment, TransitionSpec
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.rollout.make_worker import WorkerOrder, make_worker
from robonav_ray.weights.store import WeightStore

STEPS = 2


class _NoReplay:
    """TransitionSink that takes everything and keeps nothing."""

    def insert(self, fragment: Fragment) -> None:
        """Forget it."""


def compile_kernels(config: RunConfig, levels: tuple[LevelConfig, ...], spec: TransitionSpec) -> None:
    """Make one short fragment and go once through a shard, as a worker and a shard of the run would."""
    few = config.model_copy(
        update={"rollout": config.rollout.model_copy(update={"num_worlds": 2, "steps_per_fragment": STEPS})}
    )
    worker = make_worker(
        WorkerOrder(
            config=few,
            levels=levels,
            worker=0,
            life=0,
            first_world=0,
            num_worlds=2,
            assignments=Curriculum(config.curriculum),
            sink=_NoReplay(),
            weights=WeightStore(),
        )
    )
    with compiled.one_at_a_time():
        worker.collect()
        ReplayShard(config.replay.model_copy(update={"capacity": config.replay.num_shards}), spec, 0, 0).warm_up()
