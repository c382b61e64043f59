"""The whole replay in one process: shards, ledger and mixing wired together, deterministic to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.counter_rng import ROLE_REPLAY, seed_for
from robonav_ray.files.manifest import FileEntry
from robonav_ray.files.storage import join, open_folder, read_bytes, write_file
from robonav_ray.ranges import check_generator, count, within
from robonav_ray.records import Fragment, ReplaySample, TransitionSpec, unpack_item_id
from robonav_ray.replay.mixing import Annealing, MixedDraw, mix, shard_probability, split_by_mass
from robonav_ray.replay.pacing import SamplesPerInsertLedger
from robonav_ray.replay.row_layout import RowLayout
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.replay.shard_records import ShardStats

_JSON_NAME = "replay.json"
SHARED_KEYS = ("num_shards", "ledger")
"""What replay.json holds in either wiring."""
LOCAL_KEYS = ("mixer_rng", "learner_step")
"""What only a replay in one process adds, for its exact continuation; over Ray these live in the clients and begin
afresh."""
MIXER_INDEX = 1 << 16
"""Index of a mixer's random stream under ROLE_REPLAY; shards have the indices 0..255. Rank k's mixer has MIXER_INDEX +
k."""


def make_ledger(config: ReplayConfig, max_insert_rows: int, max_sample_rows: int) -> SamplesPerInsertLedger:
    """Return the ledger of a replay with this config (see ``SamplesPerInsertLedger``)."""
    return SamplesPerInsertLedger(
        config.samples_per_insert, config.min_size, config.error_buffer, max_insert_rows, max_sample_rows
    )


def make_annealing(config: ReplayConfig) -> Annealing:
    """Return the schedule of beta; uniform samples have weights of exactly 1, so there beta is 0."""
    if config.sampler == "uniform":
        return Annealing(0.0, 0.0, 1)
    return Annealing(config.importance_exponent, config.importance_exponent_final, config.importance_anneal_steps)


class ReplayBuffer:
    """TransitionSink, BatchSource and PrioritySink of ``runtime/local.py``."""

    def __init__(
        self, config: ReplayConfig, spec: TransitionSpec, seed: int, max_insert_rows: int, max_sample_rows: int
    ) -> None:
        """Allocate all shards.

        ``max_insert_rows`` is the largest fragment, ``max_sample_rows`` the largest batch_size x num_batches of one
        call.
        """
        self.spec = spec
        self.shards = [ReplayShard(config, spec, seed, i) for i in range(config.num_shards)]
        self.ledger = make_ledger(config, max_insert_rows, max_sample_rows)
        self._layout = RowLayout(spec)
        self._rng = np.random.default_rng(seed_for(seed, ROLE_REPLAY, MIXER_INDEX))
        self._annealing = make_annealing(config)

    def stats(self) -> list[ShardStats]:
        """Return the figures of every shard."""
        return [shard.stats() for shard in self.shards]

    def can_insert(self, rows: int) -> bool:
        """Return whether ``insert`` of ``rows`` would be admitted now; if not, sample first."""
        return self.ledger.can_insert(rows)

    def insert(self, fragment: Fragment) -> None:
        """Store the fragment once. RuntimeError where the Ray version would wait: ask ``can_insert`` first."""
        reservation = self.ledger.reserve_insert(fragment.num_rows)
        if reservation is None:
            raise RuntimeError(
                "rollouts are too far ahead of the learner: ask can_insert() and sample before inserting more"
            )
        stored = 0
        try:
            stored = self.shards[(fragment.worker + fragment.sequence) % len(self.shards)].insert(fragment)
        finally:
            self.ledger.settle(reservation, stored)

    def sample(self, batch_size: int, num_batches: int) -> list[ReplaySample] | None:
        """Return ``num_batches`` batches of ``batch_size`` rows, or None when more must be inserted first."""
        num = batch_size * num_batches
        reservation = self.ledger.reserve_sample(num)
        if reservation is None:
            return None
        mixed = self._draw(num)
        self.ledger.settle(reservation)
        return mixed.batches(batch_size, self._annealing.next_exponents(num_batches))

    def set_learner_step(self, step: int) -> None:
        """Say which learner step the next batch is for (see ``mixing.Annealing``)."""
        self._annealing.learner_step = step

    @property
    def importance_exponent(self) -> float:
        """Beta of the next batch."""
        return self._annealing.exponent

    def forget_writers(self) -> None:
        """Take any fragment for a new one from here on.

        To be called after a restore whose workers were not restored: new workers start counting at zero, under the
        names of those that wrote the checkpoint, and what they send would pass for stored already.
        """
        for shard in self.shards:
            shard.forget_writers()

    def newest_sequence(self, worker: int, life: int) -> int:
        """Return the newest fragment of one worker's life that was stored; -1 when none was."""
        return max(shard.newest_sequence(worker, life) for shard in self.shards)

    def update_priorities(self, item_id: np.ndarray, priority: np.ndarray) -> int:
        """Set priorities (B,), |td_error| before the exponent, of items (B,); return how many came too late."""
        shard = unpack_item_id(item_id).shard
        num_stale = 0
        for index in np.unique(shard):
            mine = shard == index
            num_stale += self.shards[index].update_priorities(item_id[mine], priority[mine])
        return num_stale

    def state_dict(self) -> dict[str, Any]:
        """Return everything, rngs included."""
        return self._scalars() | {"shards": [shard.state_dict() for shard in self.shards]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state`` was taken; ValueError when it does not fit."""
        if set(state) != {*self._scalars(), "shards"} or len(state["shards"]) != len(self.shards):
            raise ValueError(
                f"replay state: expected {len(self.shards)} shards and keys {sorted(self._scalars())}, got "
                f"{sorted(state)}"
            )
        for shard, part in zip(self.shards, state["shards"], strict=True):
            shard.load_state_dict(part)
        self._load_scalars({name: state[name] for name in self._scalars()})

    def save(self, directory: Path) -> list[FileEntry]:
        """Write everything into ``directory``; return the files' entries, named relative to it."""
        entries = [write_replay_json(directory, self._scalars())]
        for shard, path in zip(self.shards, shard_directories(directory, len(self.shards)), strict=True):
            entries += [entry.below(f"shard_{shard.index:03d}") for entry in shard.save(path)]
        return entries

    def load(self, directory: Path | str) -> None:
        """Restore what ``save`` wrote, here or over Ray; ValueError names what is missing, damaged or different.

        What was written over Ray has no ``LOCAL_KEYS``: the mixer's rng then stays as it is, and the learner says its
        step.
        """
        scalars = read_replay_json(directory, len(self.shards))
        for shard, path in zip(self.shards, shard_directories(directory, len(self.shards)), strict=True):
            shard.load(path)
        with within("replay/replay.json: "):
            self._load_scalars(scalars)

    def check_valid(self) -> None:
        """AssertionError unless every shard is sound."""
        for shard in self.shards:
            shard.check_valid()

    def _draw(self, num: int) -> MixedDraw:
        shard_prob = shard_probability(np.array([s.mass for s in self.stats()]))
        counts = split_by_mass(shard_prob, num, self._rng)
        draws = [shard.draw(int(count)) for shard, count in zip(self.shards, counts, strict=True)]

        def copy_rows(s: int, columns: tuple[np.ndarray, ...], position: np.ndarray) -> None:
            self.shards[s].spread(draws[s].slot, columns, position)

        return mix(self._layout, shard_prob, draws, copy_rows, self._rng)

    def _scalars(self) -> dict[str, Any]:
        return {
            "num_shards": len(self.shards),
            "ledger": self.ledger.state_dict(),
            "mixer_rng": self._rng.bit_generator.state,
            "learner_step": self._annealing.learner_step,
        }

    def _load_scalars(self, scalars: dict[str, Any]) -> None:
        if "mixer_rng" in scalars:
            check_generator("mixer_rng", scalars["mixer_rng"])
        if "learner_step" in scalars:
            count().check("learner_step", scalars["learner_step"])
        self.ledger.load_state_dict(scalars["ledger"])
        if not any(shard.size for shard in self.shards):
            self.ledger.rebase(0)  # counts alone do not make rows that can be drawn
        self._rng.bit_generator.state = scalars.get("mixer_rng", self._rng.bit_generator.state)
        self._annealing.learner_step = scalars.get("learner_step", self._annealing.learner_step)


def shard_directories(directory: Path | str, num_shards: int) -> list[str]:
    """Return where each shard lies inside a replay saved at ``directory``, a path or a URI."""
    return [join(str(directory), f"shard_{index:03d}") for index in range(num_shards)]


def write_replay_json(directory: Path | str, saved: dict[str, Any]) -> FileEntry:
    """Write what belongs to no shard into ``directory`` (made if missing); return the file's entry."""
    return write_file(open_folder(str(directory)), _JSON_NAME, json.dumps(saved).encode())


def read_replay_json(directory: Path | str, num_shards: int) -> dict[str, Any]:
    """Return what ``write_replay_json`` wrote in this wiring or the other; ValueError unless it has the keys and that
    many shards.
    """
    path = join(str(directory), _JSON_NAME)
    try:
        saved: dict[str, Any] = json.loads(read_bytes(path))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot restore the replay: {path} is missing or damaged ({error}); choose another checkpoint"
        ) from error
    if not isinstance(saved, dict) or set(saved) - set(LOCAL_KEYS) != set(SHARED_KEYS):
        raise ValueError(
            f"cannot restore the replay: {path} must have the keys {', '.join(SHARED_KEYS)} and may have "
            f"{', '.join(LOCAL_KEYS)}; it was saved by another version: choose another checkpoint"
        )
    if type(saved["num_shards"]) is not int or saved["num_shards"] != num_shards:
        raise ValueError(
            f"{path} has {saved['num_shards']} shards, replay.num_shards is {num_shards}: set it to "
            f"{saved['num_shards']}"
        )
    return saved
