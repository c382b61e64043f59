"""What a trial takes, held against what the cluster has: how many trials run at once, or why none can.

A trial's CPUs, those of its learner ranks included, are bundles of the one placement group that Tune makes for it. Ray
Train makes a group of its own for the ranks, outside of that; in a trial it asks for a little memory instead of CPUs,
so that it never waits for what another trial holds. So Tune's own bookkeeping is the whole truth, and no two trials can
wait for each other.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from robonav_ray.config import RunConfig
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.nodes.connection import ClusterError, ClusterFacts
from robonav_ray.nodes.resources import Plan, split_worlds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialPlan:
    """What one trial takes."""

    plan: Plan | None
    """Sizes of its parts; None for a trial in one process."""
    bundles: tuple[float, ...]
    """CPUs of each bundle of the trial's placement group: workers, shards, ranks; or of the one process."""
    gpus: float
    """GPUs over all ranks."""
    max_concurrent: int
    """Trials that fit at once."""

    @property
    def cpus(self) -> float:
        """CPUs of a trial in all."""
        return sum(self.bundles)

    def describe(self) -> str:
        """Return one line for people."""
        gpu = f" and {self.gpus:g} GPUs" if self.gpus else ""
        what = "one process" if self.plan is None else self.plan.describe()
        trials = f"{self.max_concurrent} trial{'s' * (self.max_concurrent > 1)}"
        return f"{trials} at once; each takes {self.cpus:g} CPUs{gpu}: {what}"


def plan_trials(config: TuningConfig, run: RunConfig, cluster: ClusterFacts, node_cpus: Sequence[float]) -> TrialPlan:
    """Size a trial and count how many fit.

    Args:
        config: The search.
        run: What its trials have in common.
        cluster: What the cluster has; its free CPUs count.
        node_cpus: CPUs of each node.

    Raises:
        ClusterError: with the arithmetic, when not even one trial fits, or a population does not.
    """
    trial = _local_trial(config, cluster) if config.trial.wiring == "local" else _ray_trial(config, run, cluster)
    widest = max(trial.bundles)
    if widest > max(node_cpus) + 1e-9:
        raise ClusterError(
            f"resources.cpus_per_trial: one part of a trial takes {widest:g} CPUs, and the largest node has "
            f"{max(node_cpus):g}; lower resources.cpus_per_trial, or give a trial more and smaller parts"
        )
    fit = math.floor(cluster.free_cpus / trial.cpus + 1e-9)
    sums = f"{cluster.free_cpus:g} free CPUs / {trial.cpus:g} per trial = {cluster.free_cpus / trial.cpus:.2f}"
    if trial.gpus:
        fit = min(fit, math.floor(cluster.num_gpus / trial.gpus + 1e-9))
        sums += f", {cluster.num_gpus:g} GPUs / {trial.gpus:g} per trial = {cluster.num_gpus / trial.gpus:.2f}"
    if fit < 1:
        parts = " + ".join(f"{cpus:g}" for cpus in trial.bundles)
        raise ClusterError(
            f"resources: not even one trial fits: {sums} (a trial is {parts} CPUs). Lower resources.cpus_per_trial or "
            "resources.gpus_per_trial, or the parts in "
            f"`run`{'' if config.trial.wiring == 'local' else ', or take trial.wiring=local'}"
        )
    asked = config.resources.max_concurrent
    if config.scheduler.is_population:
        if trial.gpus and fit < config.num_trials:
            raise ClusterError(
                f"resources.gpus_per_trial: a population of {config.num_trials} must fit at once where GPUs are "
                f"shared, and {fit} do ({sums}); lower resources.gpus_per_trial or num_trials"
            )
        if asked is not None and asked < min(fit, config.num_trials):
            raise ClusterError(
                f"resources.max_concurrent ({asked}): trials of a population take turns by themselves where they do "
                "not all fit; leave it out, or raise resources.cpus_per_trial"
            )
    return replace(trial, max_concurrent=min(fit, config.num_trials, asked or fit))


def _local_trial(config: TuningConfig, cluster: ClusterFacts) -> TrialPlan:
    if config.resources.gpus_per_trial:
        logger.warning(
            "resources.gpus_per_trial is not used: a trial in one process (trial.wiring=local) computes on a CPU"
        )
    return TrialPlan(None, (config.resources.cpus_per_trial or 1.0,), 0.0, 0)


def _ray_trial(config: TuningConfig, run: RunConfig, cluster: ClusterFacts) -> TrialPlan:
    runtime, num_ranks, num_shards = run.runtime, run.learner.num_ranks, run.replay.num_shards
    num_workers = 1 if run.rollout.num_workers == "auto" else run.rollout.num_workers
    worker, shard, rank = runtime.cpus_per_rollout_worker, runtime.cpus_per_shard, runtime.cpus_per_rank
    natural = num_workers * worker + num_shards * shard + num_ranks * rank
    scale = 1.0 if config.resources.cpus_per_trial is None else config.resources.cpus_per_trial / natural
    worker, shard, rank = (max(1e-4, round(cpus * scale, 4)) for cpus in (worker, shard, rank))
    gpus = config.resources.gpus_per_trial
    if gpus and not cluster.num_gpus:
        logger.warning("resources.gpus_per_trial (%g): the cluster has no GPU, so trials compute on CPUs", gpus)
        gpus = 0.0
    bundles = (
        *(worker for _ in range(num_workers)),
        *(shard for _ in range(num_shards)),
        *(rank for _ in range(num_ranks)),
    )
    plan = Plan(
        num_ranks=num_ranks,
        gpus_per_rank=gpus / num_ranks,
        num_shards=num_shards,
        num_workers=num_workers,
        worlds=split_worlds(run.rollout.num_worlds, num_workers),
        cpus_per_worker=worker,
        cpus_per_shard=shard,
        cpus_per_rank=0.0,
        cpus=sum(bundles),
    )
    return TrialPlan(plan, bundles, gpus, 0)
