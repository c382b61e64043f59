"""A policy to be judged while its run trains: of a checkpoint, or the learner's as it was a moment ago."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from robonav_ray.algo.policy import Policy
from robonav_ray.commands import Networks
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.statistics import Rate, summarize, wilson_interval
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters
from robonav_ray.runs.checkpoint_index import Judgement
from robonav_ray.runs.policies import load_policy, make_ready, take_network
from robonav_ray.runs.policy_alone import POLICY_ALONE, holds_policy_alone, judged_name, write_policy_alone
from robonav_ray.runtime.judging.held_out import BESIDE_TRAINING, judge_stage
from robonav_ray.runtime.wiring import RunSession

Progress = Callable[[EvaluationProgress], None]


@dataclass(frozen=True)
class Candidate:
    """A policy, and how far its run was."""

    name: str
    """Of its checkpoint; of networks alone that of the checkpoint that they may become."""
    counters: Counters
    source: Checkpoint | Networks
    stage: int | None = None
    """Of the curriculum; None where the checkpoint says it."""

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> Candidate:
        """Return the policy of a checkpoint."""
        return cls(checkpoint.path.name, checkpoint.counters, checkpoint)

    @classmethod
    def of_networks(cls, networks: Networks, counters: Counters, stage: int, session: RunSession) -> Candidate:
        """Return that of the learner's networks, which were copied at ``counters`` (but for the learner's own)."""
        counted = replace(counters, learner_steps=networks.learner_step)
        return cls(judged_name(counted, session.notes and session.notes.location), counted, networks, stage)

    @property
    def is_written(self) -> bool:
        """Whether it has a checkpoint already."""
        return isinstance(self.source, Checkpoint)

    def policy(self, session: RunSession) -> Policy:
        """Return the network that ``evaluation.weights`` names, ready to act; CheckpointError when it does not fit."""
        config, task, source = session.config, session.task, self.source
        if isinstance(source, Checkpoint):
            return load_policy(source, config, task)
        return make_ready(
            take_network(source.document, source.arrays, config.evaluation.weights), config, task, self.name
        )

    def reached(self) -> int:
        """Return the stage of the curriculum."""
        if self.stage is not None or not isinstance(self.source, Checkpoint):
            return self.stage or 0
        found = self.source.read_json(POLICY_ALONE if holds_policy_alone(self.source) else "curriculum.json")
        return int(found["stage"])

    def write(self, session: RunSession) -> Checkpoint:
        """Commit the networks as a checkpoint of the policy alone, here and in the run's storage; OSError when that
        fails.
        """
        source = self.source
        if isinstance(source, Checkpoint):
            return source
        writer = CheckpointWriter(
            session.run.checkpoints, self.counters, session.notes and session.notes.location, self.name
        )
        return write_policy_alone(writer, source.document, source.arrays, {"of": self.name, "stage": self.stage})


def judge_candidate(candidate: Candidate, session: RunSession, progress: Progress) -> Judgement:
    """Play ``evaluation.judged_episodes`` greedy episodes in each stage that the run is judged in.

    Raises:
        CheckpointError: When it holds no policy of the run's config.
        EnvironmentFailedError: When an environment that is not ours fails.
    """
    config, task = session.config, session.task
    asked = config.evaluation.model_copy(update={"num_episodes": config.evaluation.judged_episodes})
    judged, policy = config.model_copy(update={"evaluation": asked}), candidate.policy(session)
    stages = judged_stages(session)
    tables = [judge_stage(policy, judged, task, stage, progress, first_seed=BESIDE_TRAINING) for stage in stages]
    summaries = [summarize(table, config.evaluation.confidence) for table in tables]
    success = _pooled([summary.success for summary in summaries], config.evaluation.confidence)
    collision = _pooled([summary.collision for summary in summaries], config.evaluation.confidence)
    return_mean = float(np.mean(np.concatenate([table.total_return for table in tables]), dtype=np.float64))
    if not math.isfinite(return_mean):
        raise ValueError(f"the mean return of {candidate.name} is {return_mean}, which cannot be compared")
    held, reached, counters = config.curriculum.force_stage, candidate.reached(), candidate.counters
    return Judgement(
        checkpoint=candidate.name,
        env_steps=counters.env_steps,
        learner_steps=counters.learner_steps,
        train_s=counters.train_seconds,
        stage=reached,
        is_last_stage=held is not None or reached == len(task.levels) - 1,
        stages=tuple(task.shown_name(stage) for stage in stages),
        num_episodes=sum(table.num_episodes for table in tables),
        success_frac=None if success is None else success.frac,
        success_low_frac=None if success is None else success.low,
        success_high_frac=None if success is None else success.high,
        collision_frac=None if collision is None else collision.frac,
        return_mean=return_mean,
    )


def judged_stages(session: RunSession) -> tuple[int, ...]:
    """Return the stages that a run is judged in: ``evaluation.levels``, else the one that it is held in, else the
    last.
    """
    config = session.config
    if config.evaluation.levels is not None:
        return config.evaluation.levels
    held = config.curriculum.force_stage
    return (len(session.task.levels) - 1 if held is None else held,)


def _pooled(rates: Sequence[Rate | None], confidence: float) -> Rate | None:
    """Return the rate over the episodes of several tables; None where one does not tell it."""
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return None
    count, total = sum(rate.count for rate in known), sum(rate.total for rate in known)
    return Rate(count, total, count / total, *wilson_interval(count, total, confidence))
