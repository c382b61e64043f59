"""How large the pieces are that travel between the parts, checked before anything is made or started."""

from __future__ import annotations

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.records import TransitionSpec
from robonav_ray.replay.buffer import make_ledger
from robonav_ray.replay.memory import check_memory


def max_fragment_rows(config: RunConfig, num_worlds: int) -> int:
    """Return the most rows that one fragment of a worker with ``num_worlds`` worlds can have."""
    lanes = num_worlds * config.env.world.num_robots
    return lanes * (config.rollout.steps_per_fragment + config.algo.n_step) * (1 + config.hindsight.rows_per_step)


def max_sample_rows(config: RunConfig) -> int:
    """Return the most rows that all ranks together draw in one round of calls."""
    return config.learner.batch_size * config.learner.batches_per_call


def check_sizes(config: RunConfig, spec: TransitionSpec, memory_bytes: int | None = None) -> None:
    """Refuse a replay that does not fit into memory (``memory_bytes``; None: this machine's), and a pacing that could
    block both sides.

    Raises:
        ConfigError: with the figures and the keys to change.
    """
    rows = max_fragment_rows(config, config.rollout.num_worlds)
    shard = config.replay.capacity // config.replay.num_shards
    if rows > shard:
        raise ConfigError(
            f"replay.capacity ({config.replay.capacity}): a shard has {shard} rows, but one fragment can have {rows} "
            "(rollout.num_worlds x (steps_per_fragment + n_step), and hindsight.num_goals times as many more); raise "
            "replay.capacity, or lower rollout.num_worlds or rollout.steps_per_fragment"
        )
    try:
        check_memory(spec, config.replay, memory_bytes)
        make_ledger(config.replay, rows, max_sample_rows(config))
    except ValueError as error:
        raise ConfigError(str(error)) from None
