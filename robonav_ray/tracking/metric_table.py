"""Every figure that a run logs, with its unit and meaning. ``docs/tracking.md`` shows this table, and a test holds it
against what runs write.

All are logged at env steps, the one axis of all charts; ``runtime/wall_s`` and ``learner/learner_step`` beside them say
where the run stood on the clock and in gradient steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class MetricFacts(NamedTuple):
    """What is known of a logged figure."""

    unit: str
    """``1`` for a figure without one; ``part`` is a part of 1."""
    meaning: str


METRICS: dict[str, MetricFacts] = {
    "curriculum/stage": MetricFacts("index", "Stage that is practised, from 0."),
    "curriculum/passed": MetricFacts("0 or 1", "Whether the last stage's gate has opened."),
    "curriculum/epsilon": MetricFacts("part", "Exploration of the stage, before the ladder spreads it over worlds."),
    "curriculum/env_steps": MetricFacts("env steps", "Steps in finished episodes, over all stages."),
    "curriculum/episodes": MetricFacts("episodes", "Finished episodes, over all stages."),
    "curriculum/gate_episodes": MetricFacts("episodes", "Episodes that entered the gate's window in this stage."),
    "curriculum/gate_pending": MetricFacts("episodes", "Finished episodes that wait for earlier-started ones."),
    "curriculum/success_frac": MetricFacts("part", "Successes in the gate's window."),
    "curriculum/collision_frac": MetricFacts("part", "Collisions in the gate's window."),
    "curriculum/return_mean": MetricFacts("reward", "Mean task return in the gate's window."),
    "curriculum/partner_success_frac_min": MetricFacts(
        "part", "Robots of a snapshot that arrived beside the worst partner, in held-out worlds of the stage."
    ),
    "evaluation/env_steps": MetricFacts("env steps", "Age of the policy that was judged last."),
    "evaluation/episodes": MetricFacts("episodes", "Episodes of the last judgement, on held-out worlds."),
    "evaluation/success_frac": MetricFacts("part", "Successes of the last judgement."),
    "evaluation/success_low_frac": MetricFacts("part", "Lower end of its Wilson interval."),
    "evaluation/success_high_frac": MetricFacts("part", "Upper end of its Wilson interval."),
    "evaluation/collision_frac": MetricFacts("part", "Collisions of the last judgement."),
    "evaluation/return_mean": MetricFacts("reward", "Mean task return of the last judgement."),
    "evaluation/best_env_steps": MetricFacts("env steps", "Age of the best policy so far."),
    "evaluation/best_success_frac": MetricFacts("part", "Successes of the best policy so far."),
    "evaluation/best_return_mean": MetricFacts("reward", "Mean task return of the best policy so far."),
    "evaluation/judgements": MetricFacts("judgements", "Judgements of this run."),
    "evaluation/judgements_without_gain": MetricFacts("judgements", "Judgements since the best."),
    "evaluation/failed_judgements": MetricFacts("judgements", "Judgements that failed."),
    "evaluation/judgement_s": MetricFacts("s", "Duration of the last judgement."),
    "evaluation/judgement_cpu_s": MetricFacts("s", "CPU time that the last judgement took from the training."),
    "league/members": MetricFacts("members", "Members of the league, the learner included."),
    "league/snapshots": MetricFacts("members", "Snapshots of the learner among them."),
    "league/lost": MetricFacts("members", "Members whose weights were missing or damaged."),
    "league/challenges": MetricFacts("matches", "Matches for the place of the best so far."),
    "league/best_env_steps": MetricFacts("env steps", "Age of the best member of the league."),
    "league/match_s": MetricFacts("s", "Duration of the last match."),
    "league/match_cpu_s": MetricFacts("s", "CPU time that the last match took."),
    "league/gate_match_cpu_s": MetricFacts("s", "CPU time that the last match for a gate took."),
    "league/shared_frac": MetricFacts("part", "Worlds whose robots are shared with a member."),
    "league/alone_score": MetricFacts("part", "Successes of the learner among its own kind, old results faded."),
    "league/score_mean": MetricFacts("part", "The same with each member, mean over those that are met."),
    "league/score_min": MetricFacts("part", "The same with the worst of them."),
    "league/diversity": MetricFacts(
        "1", "Log-determinant of the snapshots' results, a snapshot: 0 if no two are alike."
    ),
    "league/forgotten_max": MetricFacts("part", "Most that a snapshot succeeds more often with a member."),
    "learner/learner_step": MetricFacts("gradient steps", "Updates so far."),
    "learner/policy_version": MetricFacts("versions", "Version of the newest published weights."),
    "learner/samples": MetricFacts("rows", "Rows trained on so far, over all ranks."),
    "learner/steps_per_s": MetricFacts("gradient steps/s", "Updates per second since the last point."),
    "learner/learning_rate": MetricFacts("1", "Learning rate of the newest update."),
    "learner/loss": MetricFacts("1", "Mean loss since the last report."),
    "learner/td_error_mean": MetricFacts("reward", "Mean |TD error| since the last report."),
    "learner/q_mean": MetricFacts("reward", "Mean Q value of the actions in the batches."),
    "learner/grad_norm": MetricFacts("1", "Mean norm of the gradient before clipping."),
    "learner/importance_exponent": MetricFacts("1", "Beta of the PER paper for the next batch."),
    "learner/bad_updates": MetricFacts("updates", "Updates dropped because something was not finite."),
    "learner/gap_s_max": MetricFacts("s", "Longest pause between two chunks of updates since the last report."),
    "learner/wait_frac": MetricFacts("part", "Time in which the learner waited for batches."),
    "learner/stale_priorities": MetricFacts("rows", "Priorities that came after their row was overwritten."),
    "learner/policy_lag_mean": MetricFacts("versions", "Mean age of the policies that chose the sampled actions."),
    "learner/policy_lag_max": MetricFacts("versions", "The greatest of these ages."),
    "learner/support_below_frac": MetricFacts("part", "c51: targets below the support."),
    "learner/support_above_frac": MetricFacts("part", "c51: targets above the support."),
    "learner/loss_scale": MetricFacts("1", "fp16: factor on the loss."),
    "learner/loss_overflows": MetricFacts("updates", "fp16: updates skipped because the scaled loss overflowed."),
    "replay/size": MetricFacts("rows", "Rows that can be drawn."),
    "replay/priority_mass": MetricFacts("1", "Sum of what rows are drawn by."),
    "replay/rows_inserted": MetricFacts("rows", "Rows ever stored."),
    "replay/rows_sampled": MetricFacts("rows", "Rows ever drawn."),
    "replay/rows_lost": MetricFacts("rows", "Rows lost on their way."),
    "replay/fragments_lost": MetricFacts("fragments", "Fragments lost on their way."),
    "replay/samples_per_insert": MetricFacts("1", "Rows drawn per row stored, since warm-up."),
    "replay/balance_rows": MetricFacts("rows", "Rows that the learner is ahead (above 0) or behind."),
    "replay/duplicate_fragments": MetricFacts("fragments", "Fragments that came twice and were stored once."),
    "replay/stale_priorities": MetricFacts("rows", "Priorities of overwritten or lost rows, as the shards count them."),
    "rollout/env_steps_per_s": MetricFacts("env steps/s", "Env steps per second since the last point."),
    "rollout/episodes": MetricFacts("episodes", "Episodes that ended in this session."),
    "rollout/fragments": MetricFacts("fragments", "Fragments made in this session."),
    "rollout/policy_version": MetricFacts("versions", "Newest version that a worker acts with."),
    "rollout/policy_lag_max": MetricFacts("versions", "Versions that a worker was behind when it looked."),
    "rollout/info_dropped": MetricFacts("values", "Numbers of the environment that can be no metrics."),
    "rollout/workers_running": MetricFacts("workers", "Rollout workers that live (over Ray)."),
    "rollout/spares_ready": MetricFacts("workers", "Spare workers that are up (over Ray)."),
    "rollout/workers_replaced": MetricFacts("workers", "Workers and shards that were replaced."),
    "runtime/train_s": MetricFacts("s", "Seconds of training, over all sessions, from the first update of each."),
    "runtime/wall_s": MetricFacts("s", "Seconds since the session's command began."),
    "runtime/failed_saves": MetricFacts("checkpoints", "Checkpoints that could not be made."),
    "runtime/failed_writes": MetricFacts("writes", "Notes of the run that could not be written."),
    "runtime/save_cut_s": MetricFacts("s", "Time for which the last checkpoint held the parts."),
    "runtime/save_s": MetricFacts("s", "Time from its cut to its commit."),
    "runtime/parts_lost": MetricFacts("parts", "Parts lost in this session (over Ray)."),
    "runtime/parts_back": MetricFacts("parts", "Parts that came back in this session (over Ray)."),
    "runtime/recovery_s_max": MetricFacts("s", "The slowest return of a part (over Ray)."),
    "runtime/unwritten_events": MetricFacts("events", "Lines of events.jsonl that could not be written (over Ray)."),
    "trial/objective": MetricFacts("`trial.metric`", "What a search maximises, of each report of a trial."),
    "trial/success_frac": MetricFacts("part", "Successes of the report's held-out episodes (of a trial)."),
    "trial/collision_frac": MetricFacts("part", "Their collisions (of a trial)."),
    "trial/mean_return": MetricFacts("reward", "Their mean task return (of a trial)."),
    "tracking/backends_failed": MetricFacts("backends", "Backends that take nothing now."),
}
"""The numbers that the environment tells of its episodes stand beside them as ``info/NAME``, in its own units."""

HISTOGRAMS: dict[str, MetricFacts] = {
    "learner/weights/PARAMETER": MetricFacts("1", "Weights of one parameter of the network."),
    "learner/gradients/PARAMETER": MetricFacts("1", "Its newest gradient, after clipping."),
    "learner/q_values": MetricFacts("reward", "Q values of all actions in the newest batch."),
    "learner/td_error": MetricFacts("reward", "|TD error| of the newest batch."),
    "replay/priority": MetricFacts("reward", "Priorities of all rows, before the exponent."),
    "rollout/episode_length": MetricFacts("env steps", "Lengths of the episodes since the last histogram."),
}
"""Counted every ``tracking.histogram_interval_s`` seconds."""


def unknown_metrics(names: Iterable[str]) -> list[str]:
    """Return the names that are neither in the table nor told by the environment."""
    return sorted(name for name in set(names) - set(METRICS) if not name.startswith("info/"))


def markdown_table(facts: dict[str, MetricFacts], head: str) -> str:
    """Return one line per name, for the documentation."""
    lines = [f"| {head} | Unit | Meaning |", "|---|---|---|"]
    return (
        "\n".join([*lines, *(f"| `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in facts.items())]) + "\n"
    )
