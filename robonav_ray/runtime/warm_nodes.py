"""Compiles the kernels once on every node, before many processes do it all at once.

Numba keeps what it has compiled beside the source, or in ``NUMBA_CACHE_DIR``. Where a node sees this source for the first time (a job that
brought its own checkout, a fresh image) every worker and shard would compile the same kernels at the same time, for minutes where there
are few cores. One task per node does it first; where everything is compiled already it takes as long as a process takes to start.
"""

from __future__ import annotations

import logging
from typing import Any

import ray
from ray.exceptions import RayError

from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.curriculum.ladder import Curriculum
from robonav_ray.records import Fragment, TransitionSpec
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.rollout.remote import RolloutWiring, make_worker
from robonav_ray.runtime.placement import NodeFacts
from robonav_ray.runtime.supervision import near
from robonav_ray.runtime.task import Task
from robonav_ray.weights.store import WeightStore

logger = logging.getLogger(__name__)
TIMEOUT_S = 240.0
STEPS = 2


class _NoReplay:
    """TransitionSink that takes everything and keeps nothing."""

    def insert(self, fragment: Fragment) -> None:
        """Forget it."""


def compile_kernels(config: RunConfig, levels: tuple[LevelConfig, ...], spec: TransitionSpec) -> None:
    """Make one short fragment and go once through a shard, as a worker and a shard of the run would."""
    few = config.model_copy(update={"rollout": config.rollout.model_copy(update={"num_worlds": 2, "steps_per_fragment": STEPS})})
    worker = make_worker(
        RolloutWiring(
            config=few,
            levels=levels,
            worker=0,
            incarnation=0,
            first_world=0,
            num_worlds=2,
            assignments=Curriculum(config.curriculum),
            sink=_NoReplay(),
            weights=WeightStore(),
        )
    )
    worker.collect()
    ReplayShard(0, spec, 8, 0, sampler=config.replay.sampler).warm_up()


def warm_nodes(config: RunConfig, task: Task, nodes: tuple[NodeFacts, ...], timeout_s: float = TIMEOUT_S) -> None:
    """Run ``compile_kernels`` on every node at once and wait for it, ``timeout_s`` at most; a node that fails is left to itself."""
    compiling: Any = ray.remote(num_cpus=0, max_retries=0)(compile_kernels)
    refs = {
        compiling.options(scheduling_strategy=near(node.node_id)).remote(config, task.levels, task.spec): node for node in nodes
    }
    done, late = ray.wait(list(refs), num_returns=len(refs), timeout=timeout_s)
    for ref in done:
        try:
            ray.get(ref)
        except RayError as error:  # what is wrong with it will show where it is needed
            logger.warning("node %s: the kernels were not compiled beforehand: %s", refs[ref].address, error)
    for ref in late:
        ray.cancel(ref, force=True)
