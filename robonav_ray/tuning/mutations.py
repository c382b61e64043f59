"""What a population may change in a trial that has learned already: at once, with a restart of the trial's parts, or
not at all.

Every key of a run's config that is not the search's own (``keys.OWNED``) is in exactly one of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from robonav_ray.config.load import ConfigError
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tuning.keys import is_covered

IN_FLIGHT = (
    "learner.learning_rate",
    "learner.adam_eps",
    "learner.max_grad_norm",
    "learner.target_update",
    "learner.target_tau",
    "learner.target_interval",
    "learner.publish_interval",
    "learner.report_interval",
)
"""Keys that a running learner takes over by command (those of ``learner.hyperparameters.CHANGEABLE``)."""

WITH_RESTART = (
    "algo.double",
    "algo.num_tau",
    "algo.num_target_tau",
    "algo.num_acting_tau",
    "algo.dropout",
    "algo.huber_delta",
    "rollout.steps_per_fragment",
    "rollout.max_in_flight",
    "rollout.ladder_exponent",
    "hindsight.num_goals",
    "replay.initial_priority",
    "replay.stratified",
    "replay.importance_exponent",
    "replay.importance_exponent_final",
    "replay.importance_anneal_steps",
    "replay.samples_per_insert",
    "replay.error_buffer",
    "learner.batch_size",
    "learner.batches_per_call",
    "learner.prefetch_calls",
    "learner.accumulation_steps",
    "learner.lr_schedule",
    "learner.lr_warmup_steps",
    "learner.lr_final_frac",
    "learner.lr_schedule_steps",
    "learner.precision",
    "learner.compile",
    "learner.torch_threads",
    "curriculum.epsilon_scale",
    "curriculum.stages.*.epsilon",
    "curriculum.stages.*.min_episodes",
)
"""Patterns of keys that the parts of a trial are built with, and whose change a checkpoint survives: its parts are
built anew from it."""

_SHAPE = "it shapes the network, so the weights of another trial would not fit"
_FOLDED = "the replay's rows are already folded, and the values learned, under the old one"
_LEARNED = "the values learned so far mean something else under another one"
_FIRST = "it only says what the first weights are"
_MOVED = "the rows would have to move, and a checkpoint is not taken up into a replay of another layout"
_LEAVES = "it is already in the saved priorities of every row"
_POOL = "members and results of the saved league came of the old one"
_SHARE = "a trial's share of the machine is fixed when it starts"
_GUARD = "it guards against failures, and changes nothing that is learned"

FIXED = {
    "algo.gamma": _FOLDED,
    "algo.n_step": _FOLDED,
    "algo.reward_scale": _FOLDED,
    "algo.munchausen": _LEARNED,
    "algo.munchausen_alpha": _LEARNED,
    "algo.munchausen_tau": _LEARNED,
    "algo.munchausen_clip": _LEARNED,
    "algo.v_min": _LEARNED,
    "algo.v_max": _LEARNED,
    "algo.dueling": _SHAPE,
    "algo.distribution": _SHAPE,
    "algo.num_atoms": _SHAPE,
    "algo.num_quantiles": _SHAPE,
    "algo.tau_embedding_dim": _SHAPE,
    "algo.noisy": _SHAPE,
    "algo.num_layers": _SHAPE,
    "algo.hidden_dims": _SHAPE,
    "algo.layer_norm": _SHAPE,
    "algo.network": _SHAPE,
    "algo.encoder": _SHAPE,
    "algo.set_dims": _SHAPE,
    "algo.conv_channels": _SHAPE,
    "algo.conv_kernel": _SHAPE,
    "algo.conv_stride": _SHAPE,
    "algo.noisy_sigma": _FIRST,
    "algo.initializer": _FIRST,
    "rollout.num_worlds": "the saved worlds are so many, and each has its place on the ladder of exploration",
    "rollout.num_workers": _SHARE,
    "rollout.max_restarts": _GUARD,
    "rollout.spares": _GUARD,
    "hindsight.strategy": "worlds that were saved without hindsight remember no running episodes, and those saved with "
    "it do",
    "hindsight.max_segment": "saved running episodes may be as long as the old one allowed",
    "replay.capacity": _MOVED,
    "replay.num_shards": _MOVED,
    "replay.sampler": "rows are saved with the priorities of their sampler",
    "replay.priority_exponent": _LEAVES,
    "replay.priority_epsilon": _LEAVES,
    "replay.min_size": "it counts only until the first batch is drawn",
    "replay.max_memory_frac": _GUARD,
    "replay.shard_timeout_s": _GUARD,
    "replay.lease_s": _GUARD,
    "learner.num_ranks": _SHARE,
    "learner.device": _SHARE,
    "learner.max_restarts": _GUARD,
    "league": _POOL,
    "curriculum.max_pending": _GUARD,
}
"""Patterns of keys that stay as they are in a trial that has begun, and why."""

Change = Literal["none", "in_flight", "restart"]


def reason_fixed(key: str) -> str | None:
    """Return why ``key`` cannot change in a trial that has begun; None when it can."""
    return next((reason for pattern, reason in FIXED.items() if is_covered(key, pattern)), None)


def check_population(config: TuningConfig) -> None:
    """Refuse a space with a key that a population cannot change; does nothing for a search whose trials keep their
    values.

    Raises:
        ConfigError: One message, with every such key, the reason and the alternatives.
    """
    if not config.scheduler.is_population:
        return
    kind = config.scheduler.kind
    problems = [
        f"space.{key}: scheduler.kind={kind} changes the values of trials that have begun, and this one stays: "
        f"{reason}. Give all trials the same (run.{key}), or search it with scheduler.kind=asha"
        for key in config.space
        if (reason := reason_fixed(key)) is not None
    ]
    if problems:
        at_once, restarting = ", ".join(IN_FLIGHT), ", ".join(WITH_RESTART)
        able = f"{kind} can change {at_once} at once, and with a restart of the trial {restarting}"
        raise ConfigError("\n".join([*problems, able]))


def kind_of_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    """Return what it takes to go on with the values ``after`` where those of ``before`` were.

    Raises:
        ValueError: When the two have other keys, or differ in one that is fixed.
    """
    differing = _differing(before, after)
    if not differing:
        return "none"
    return "in_flight" if all(key in IN_FLIGHT for key in differing) else "restart"


def in_flight_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the learner's settings in which ``after`` differs, as its ``hyperparameters`` command takes them; None for
    a restart.

    Raises:
        ValueError: As ``kind_of_change``.
    """
    if kind_of_change(before, after) == "restart":
        return None
    return {key.removeprefix("learner."): after[key] for key in _differing(before, after)}


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    if set(before) != set(after):
        raise ValueError(f"values of other keys: {', '.join(sorted(set(before) ^ set(after)))}")
    differing = [key for key in before if _plain(before[key]) != _plain(after[key])]
    for key in differing:
        if (reason := reason_fixed(key)) is not None:
            raise ValueError(f"{key} cannot change in a trial that has begun: {reason}")
    return differing


def _plain(value: Any) -> Any:
    """Return ``value`` with lists, as JSON has them, as tuples."""
    return tuple(value) if isinstance(value, list) else value
