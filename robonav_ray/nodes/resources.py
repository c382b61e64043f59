"""What a run needs, held against what the cluster has: sized before anything is started, or refused with a message."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from robonav_ray.config import RunConfig
from robonav_ray.nodes.connection import ClusterError, ClusterFacts, look_at_cluster
from robonav_ray.nodes.part_placement import NodeFacts, NoRoomError, Placement, deal_workers, place_fixed

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
    placement: Placement | None = None
    """Which node each part shall be on; None leaves that to Ray, or to the placement group that the run is in."""

    def describe(self) -> str:
        """Return one line for people."""
        device = "GPU" if self.gpus_per_rank else "CPU"
        return (
            f"{self.num_workers} rollout worker{'s' * (self.num_workers > 1)} with {sum(n for _, n in self.worlds)} "
            f"worlds, {self.num_shards} replay shard{'s' * (self.num_shards > 1)}, {self.num_ranks} learner "
            f"rank{'s' * (self.num_ranks > 1)} on {device}; {self.cpus:g} CPUs reserved"
        )


def make_plan(config: RunConfig, cluster: ClusterFacts, *, at_most: bool = False) -> Plan:
    """Size the run to the cluster; with ``at_most``, fewer workers than were asked for will do (at least one).

    Raises:
        ClusterError: naming what is short, by how much, and the keys to change.
    """
    rollout, runtime = config.rollout, config.runtime
    num_ranks, num_shards = config.learner.num_ranks, config.replay.num_shards
    gpus_per_rank = _gpus_per_rank(config, cluster)
    fixed = num_ranks * runtime.cpus_per_rank + num_shards * runtime.cpus_per_shard
    left = cluster.free_cpus - fixed
    num_workers = _auto_workers(config, left) if rollout.num_workers == "auto" else rollout.num_workers
    if at_most:
        num_workers = max(1, min(num_workers, int(left / runtime.cpus_per_rollout_worker + 1e-9)))
    if num_workers > rollout.num_worlds:
        raise ClusterError(
            f"rollout.num_workers ({num_workers}) is more than rollout.num_worlds ({rollout.num_worlds}); "
            "every worker needs a world: raise num_worlds or lower num_workers"
        )
    cpus = fixed + num_workers * runtime.cpus_per_rollout_worker
    if cpus > cluster.free_cpus + 1e-9:
        raise ClusterError(
            f"the cluster is too small: {num_ranks} ranks, {num_shards} shards and {num_workers} rollout workers need "
            f"{cpus:g} CPUs, {cluster.free_cpus:g} of {cluster.num_cpus:g} are free. Lower learner.num_ranks, "
            "replay.num_shards or rollout.num_workers, lower runtime.cpus_per_rollout_worker or runtime.cpus_per_rank, "
            "or free the cluster (`ray status` shows who holds it)"
        )
    placement = None
    if cluster.nodes:
        placement = _place(
            config, cluster.nodes, gpus_per_rank, num_workers, at_most=at_most or rollout.num_workers == "auto"
        )
        num_workers = len(placement.workers)
    return Plan(
        num_ranks=num_ranks,
        gpus_per_rank=gpus_per_rank,
        num_shards=num_shards,
        num_workers=num_workers,
        worlds=split_worlds(rollout.num_worlds, num_workers),
        cpus_per_worker=runtime.cpus_per_rollout_worker,
        cpus_per_shard=runtime.cpus_per_shard,
        cpus_per_rank=runtime.cpus_per_rank,
        cpus=fixed + num_workers * runtime.cpus_per_rollout_worker,
        placement=placement,
    )


def replan(config: RunConfig, plan: Plan, nodes: tuple[NodeFacts, ...]) -> Plan | None:
    """Return ``plan`` with as many workers as there is room for on ``nodes``, and places for all parts anew.

    ``nodes`` tell what is there for this run, what it holds already included. Never more workers than were asked for.
    None when not even ranks, shards and one worker fit: the run then waits for what it has lost.
    """
    left = (
        sum(node.cpus for node in nodes) - plan.num_ranks * plan.cpus_per_rank - plan.num_shards * plan.cpus_per_shard
    )
    asked = config.rollout.num_workers
    num_workers = _auto_workers(config, left) if asked == "auto" else asked
    try:
        placement = _place(config, nodes, plan.gpus_per_rank, num_workers, at_most=True)
    except ClusterError:
        return None
    num_workers = len(placement.workers)
    cpus = plan.cpus + (num_workers - plan.num_workers) * plan.cpus_per_worker
    worlds = split_worlds(config.rollout.num_worlds, num_workers)
    return replace(plan, num_workers=num_workers, worlds=worlds, cpus=cpus, placement=placement)


def most_auto_workers(num_worlds: int) -> int:
    """Return how many workers ``rollout.num_workers: auto`` shares so many worlds out over at most."""
    return max(1, num_worlds // WORLDS_PER_WORKER_MIN)


def _auto_workers(config: RunConfig, left: float) -> int:
    """Return how many workers ``left`` CPUs are good for."""
    most = most_auto_workers(config.rollout.num_worlds)
    num_workers = min(most, max(1, int(left / config.runtime.cpus_per_rollout_worker + 1e-9)))
    if num_workers > 1 and left >= 1.0:  # whole cores where there are some: half ones only keep a small machine going
        num_workers = min(most, max(1, int(left)))
    return num_workers


def _place(
    config: RunConfig, nodes: tuple[NodeFacts, ...], gpus_per_rank: float, num_workers: int, *, at_most: bool
) -> Placement:
    """Give every part a node; with ``at_most`` fewer workers (at least one) when not all fit.

    Raises:
        ClusterError: When a part fits on no single node, though the cluster as a whole is large enough.
    """
    runtime = config.runtime
    try:
        room, ranks, shards = place_fixed(
            nodes,
            num_ranks=config.learner.num_ranks,
            cpus_per_rank=runtime.cpus_per_rank,
            gpus_per_rank=gpus_per_rank,
            num_shards=config.replay.num_shards,
            cpus_per_shard=runtime.cpus_per_shard,
        )
        if at_most:
            num_workers = max(1, min(num_workers, room.slots(runtime.cpus_per_rollout_worker)))
        return Placement(ranks, shards, deal_workers(room, num_workers, runtime.cpus_per_rollout_worker))
    except NoRoomError as error:
        key = {"rank": "cpus_per_rank", "shard": "cpus_per_shard", "worker": "cpus_per_rollout_worker"}[error.part]
        raise ClusterError(
            f"the cluster's nodes are too small: no node has room for a {error.part} of {getattr(runtime, key):g} "
            f"CPUs{' and a GPU' if error.part == 'rank' and gpus_per_rank else ''} beside what else is planned; the "
            f"most that one has left is {error.widest:g} CPUs. Lower runtime.{key}, learner.num_ranks, "
            "replay.num_shards or rollout.num_workers"
        ) from None


def plan_when_free(
    config: RunConfig, cluster: ClusterFacts, *, at_most: bool = False, wait_s: float = FREE_WAIT_S
) -> Plan:
    """As ``make_plan``; on a cluster that we share, waits up to ``wait_s`` for a session that has just ended to give
    back its CPUs, unless all of the cluster's would not be enough.
    """
    until = time.monotonic() + (0.0 if cluster.started_here else wait_s)
    while True:
        try:
            return make_plan(config, cluster, at_most=at_most)
        except ClusterError:
            if time.monotonic() >= until or not _fits_once_free(config, cluster, at_most=at_most):
                raise
        time.sleep(1.0)
        cluster = look_at_cluster(started_here=False)


def _fits_once_free(config: RunConfig, cluster: ClusterFacts, *, at_most: bool) -> bool:
    try:
        make_plan(config, replace(cluster, free_cpus=cluster.num_cpus, nodes=()), at_most=at_most)
    except ClusterError:
        return False
    return True


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
            f"learner.device is cuda, but the cluster has {cluster.num_gpus:g} GPUs for {config.learner.num_ranks} "
            "ranks; use learner.device=auto, or fewer learner.num_ranks"
        )
    return 1.0 if enough and cluster.num_gpus else 0.0
