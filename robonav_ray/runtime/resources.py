"""What a run needs, held against what the cluster has: sized before anything is started, or refused with a message."""

from __future__ import annotations

import time
from dataclasses import dataclass

from robonav_ray.config import RunConfig
from robonav_ray.runtime.cluster import ClusterError, ClusterFacts, look_at_cluster

WORLDS_PER_WORKER_MIN = 16
"""``rollout.num_workers: auto`` never splits finer than this: below it the batched forward pass stops paying."""

FREE_WAIT_S = 15.0


@dataclass(frozen=True)
class Plan:
    """Who runs where: the numbers behind the start."""

    num_ranks: int
    gpus_per_rank: float
    num_shards: int
    num_workers: int
    worlds: tuple[tuple[int, int], ...]
    """(first world, number of worlds) of each worker."""
    cpus_per_worker: float
    cpus_per_shard: float
    cpus_per_rank: float
    cpus: float
    """CPUs that the run reserves in all."""

    def describe(self) -> str:
        """Return one line for people."""
        device = "GPU" if self.gpus_per_rank else "CPU"
        return (
            f"{self.num_workers} rollout worker{'s' * (self.num_workers > 1)} with {sum(n for _, n in self.worlds)} worlds, "
            f"{self.num_shards} replay shard{'s' * (self.num_shards > 1)}, {self.num_ranks} learner rank{'s' * (self.num_ranks > 1)} "
            f"on {device}; {self.cpus:g} CPUs reserved"
        )


def make_plan(config: RunConfig, cluster: ClusterFacts) -> Plan:
    """Size the run to the cluster.

    Raises:
        ClusterError: naming what is short, by how much, and the keys to change.
    """
    rollout, runtime = config.rollout, config.runtime
    num_ranks, num_shards = config.learner.num_ranks, config.replay.num_shards
    gpus_per_rank = _gpus_per_rank(config, cluster)
    fixed = num_ranks * runtime.cpus_per_rank + num_shards * runtime.cpus_per_shard
    left = cluster.free_cpus - fixed
    most = max(1, rollout.num_worlds // WORLDS_PER_WORKER_MIN)
    if rollout.num_workers == "auto":
        num_workers = min(most, max(1, int(left / runtime.cpus_per_rollout_worker + 1e-9)))
        if num_workers > 1 and left >= 1.0:  # whole cores where there are some: half ones only keep a small machine going
            num_workers = min(most, max(1, int(left)))
    else:
        num_workers = rollout.num_workers
    if num_workers > rollout.num_worlds:
        raise ClusterError(
            f"rollout.num_workers ({num_workers}) is more than rollout.num_worlds ({rollout.num_worlds}); "
            "every worker needs a world: raise num_worlds or lower num_workers"
        )
    cpus = fixed + num_workers * runtime.cpus_per_rollout_worker
    if cpus > cluster.free_cpus + 1e-9:
        raise ClusterError(
            f"the cluster is too small: {num_ranks} ranks, {num_shards} shards and {num_workers} rollout workers need {cpus:g} CPUs, "
            f"{cluster.free_cpus:g} of {cluster.num_cpus:g} are free. Lower learner.num_ranks, replay.num_shards or "
            "rollout.num_workers, lower runtime.cpus_per_rollout_worker or runtime.cpus_per_rank, or free the cluster (`ray status` "
            "shows who holds it)"
        )
    return Plan(
        num_ranks=num_ranks,
        gpus_per_rank=gpus_per_rank,
        num_shards=num_shards,
        num_workers=num_workers,
        worlds=split_worlds(rollout.num_worlds, num_workers),
        cpus_per_worker=runtime.cpus_per_rollout_worker,
        cpus_per_shard=runtime.cpus_per_shard,
        cpus_per_rank=runtime.cpus_per_rank,
        cpus=cpus,
    )


def plan_when_free(config: RunConfig, cluster: ClusterFacts) -> Plan:
    """As ``make_plan``; on a cluster that we share, waits up to FREE_WAIT_S for a session that has just ended to give back its CPUs."""
    until = time.monotonic() + (0.0 if cluster.started_here else FREE_WAIT_S)
    while True:
        try:
            return make_plan(config, cluster)
        except ClusterError:
            if time.monotonic() >= until:
                raise
        time.sleep(1.0)
        cluster = look_at_cluster(started_here=False)


def split_worlds(num_worlds: int, num_workers: int) -> tuple[tuple[int, int], ...]:
    """Return (first, number) per worker: contiguous, and as even as whole numbers allow."""
    base, extra = divmod(num_worlds, num_workers)
    sizes = [base + (i < extra) for i in range(num_workers)]
    return tuple((sum(sizes[:i]), size) for i, size in enumerate(sizes))


def _gpus_per_rank(config: RunConfig, cluster: ClusterFacts) -> float:
    if config.learner.device == "cpu":
        return 0.0
    enough = cluster.num_gpus >= config.learner.num_ranks
    if config.learner.device == "cuda" and not enough:
        raise ClusterError(
            f"learner.device is cuda, but the cluster has {cluster.num_gpus:g} GPUs for {config.learner.num_ranks} ranks; "
            "use learner.device=auto, or fewer learner.num_ranks"
        )
    return 1.0 if enough and cluster.num_gpus else 0.0
