"""How large the pieces of a run over Ray are, and how many processes hold its rows, where the user has not said so.

A call between two processes costs about a millisecond of a core, large or small, so pieces are as large as a tenth of
a second makes them: some ten fragments a second and worker, some ten calls a second from replay to a rank. How fast a
run will be is not known before it begins; ``updates_per_s`` is an estimate for an ordinary core, and a factor of two
either way does no harm.

The one-process wiring, in which a call costs nothing, keeps the sizes of the config.
"""

from __future__ import annotations

from typing import NamedTuple

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.records import TransitionSpec
from robonav_ray.runtime.sizes import check_sizes, max_fragment_rows

CALLS_PER_S = 10.0
"""Fragments a second and worker, and calls a second from replay to a rank, that are aimed at."""
UPDATE_S, ROW_S = 0.7e-3, 4e-6
"""Seconds of an update on an ordinary core: of itself, and per row."""
SMALL_CORES = 6.0
"""With fewer cores one shard holds all rows: a second one would take time from learner and workers, and adds nothing
that they wait for."""
LEAST_STEPS, MOST_STEPS, STEPS_STEP = 32, 128, 16
LEAST_BATCHES, MOST_BATCHES = 16, 64
LEAST_FRAGMENTS_PER_SHARD = 8
"""A shard holds at least so many fragments."""
_SECTIONS = ("rollout", "learner", "replay")


class Sized(NamedTuple):
    """A config whose sizes fit the machine."""

    config: RunConfig
    text: str
    """What was chosen, in one line for people; empty when the user has said it all."""


def updates_per_s(batch_size: int) -> float:
    """Return about how many updates a second an ordinary core makes."""
    return 1.0 / (UPDATE_S + ROW_S * batch_size)


def auto_steps_per_fragment(
    *, batch_size: int, num_ranks: int, samples_per_insert: float, num_lanes: int, rows_per_step: int
) -> int:
    """Return the vector steps of a tenth of a second, a multiple of ``STEPS_STEP`` between ``LEAST_STEPS`` and
    ``MOST_STEPS``.

    Pacing lets the workers make ``batch_size`` rows per update and ``samples_per_insert``, however many workers share
    the ``num_lanes`` lanes; a step of a lane makes ``rows_per_step`` rows.
    """
    rows_per_s = updates_per_s(batch_size // num_ranks) * batch_size / samples_per_insert
    steps = rows_per_s / (num_lanes * rows_per_step) / CALLS_PER_S
    return min(max(round(steps / STEPS_STEP) * STEPS_STEP, LEAST_STEPS), MOST_STEPS)


def auto_batches_per_call(*, batch_size: int, num_ranks: int) -> int:
    """Return the batches of about a tenth of a second, a power of two between ``LEAST_BATCHES`` and
    ``MOST_BATCHES``.
    """
    wanted = updates_per_s(batch_size // num_ranks) / CALLS_PER_S
    batches = LEAST_BATCHES
    while batches < MOST_BATCHES and 1.5 * batches < wanted:
        batches *= 2
    return batches


def auto_num_shards(cores: float) -> int:
    """Return how many shards ``cores`` cores warrant."""
    return 1 if cores < SMALL_CORES else 2


def size_to_machine(config: RunConfig, spec: TransitionSpec, cores: float) -> Sized:
    """Choose what ``config`` does not set, for a cluster of ``cores`` cores; what it sets stays.

    Where larger pieces would not fit the replay or the pacing that were set, they stay as they are.
    """
    chosen = _chosen(config, cores)
    for names in (tuple(chosen), ("replay.num_shards",), ()):
        picked = {name: chosen[name] for name in names if name in chosen}
        sized = _with(config, picked)
        if _fits(sized, spec):
            words = ", ".join(f"{name}={value}" for name, value in picked.items())
            return Sized(sized, f"sized to this machine: {words}" if words else "")
    return Sized(config, "")


def sizes_of(config: RunConfig, stored: RunConfig) -> RunConfig:
    """Return ``config`` with the sizes of the ``stored`` run where it does not set them: its rows lie in so many
    shards.
    """
    return _with(
        config, {f"{section}.{key}": getattr(getattr(stored, section), key) for section, key in _not_set(config)}
    )


def _chosen(config: RunConfig, cores: float) -> dict[str, int]:
    learner, num_lanes = config.learner, config.rollout.num_worlds * config.env.world.num_robots
    sizes = {
        "rollout.steps_per_fragment": auto_steps_per_fragment(
            batch_size=learner.batch_size,
            num_ranks=learner.num_ranks,
            samples_per_insert=config.replay.samples_per_insert,
            num_lanes=num_lanes,
            rows_per_step=1 + config.hindsight.rows_per_step,
        ),
        "learner.batches_per_call": auto_batches_per_call(batch_size=learner.batch_size, num_ranks=learner.num_ranks),
        "replay.num_shards": auto_num_shards(cores),
    }
    return {name: sizes[name] for name in (f"{section}.{key}" for section, key in _not_set(config))}


def _not_set(config: RunConfig) -> list[tuple[str, str]]:
    """Return section and key of every size that the user has left to us."""
    return [
        (name, key)
        for name in _SECTIONS
        for section in (getattr(config, name),)
        for key in section.auto_keys
        if key not in section.model_fields_set
    ]


def _fits(config: RunConfig, spec: TransitionSpec) -> bool:
    shard_rows = config.replay.capacity // config.replay.num_shards
    if max_fragment_rows(config, config.rollout.num_worlds) * LEAST_FRAGMENTS_PER_SHARD > shard_rows:
        return False
    try:
        check_sizes(config, spec)
    except ConfigError:
        return False
    return True


def _with(config: RunConfig, sizes: dict[str, int]) -> RunConfig:
    """Return ``config`` with ``sizes`` by dotted key."""
    for name, value in sizes.items():
        section, _, key = name.partition(".")
        config = config.model_copy(update={section: getattr(config, section).model_copy(update={key: value})})
    return config
