"""One shard: a ring of packed rows, their ids and the tree that draws them. A plain class; ``remote.py`` makes an actor
of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.counter_rng import ROLE_REPLAY, seed_for
from robonav_ray.files.background_write import BackgroundWrite
from robonav_ray.files.manifest import FileEntry
from robonav_ray.files.storage import local_folder, open_folder
from robonav_ray.histograms import count_between
from robonav_ray.ranges import within
from robonav_ray.records import MAX_LIFE, Fragment, TransitionSpec, pack_item_id, unpack_item_id
from robonav_ray.replay.duplicates import DuplicateFilter
from robonav_ray.replay.memory import shard_capacities
from robonav_ray.replay.rank_heap import RankHeap
from robonav_ray.replay.row_layout import RowLayout
from robonav_ray.replay.saved_shard import LIFE, check_arrays, check_counts
from robonav_ray.replay.shard_files import load_shard_state, state_arrays
from robonav_ray.replay.shard_records import PRIORITY_EDGES, Draw, ShardSample, ShardStats
from robonav_ray.replay.snapshot import ShardSnapshot
from robonav_ray.replay.sum_tree import SumTree


class ReplayShard:
    """A ring of rows, drawn in proportion to (priority + epsilon) ** priority_exponent (Schaul et al. 2016).

    The exponent is applied once, here, when a priority is written; nothing else in the package applies it. With
    ``rank`` rows are drawn in proportion to rank ** -priority_exponent (see ``RankHeap``). A row's slot is ``sequence %
    capacity``; its id says which row it is, so a late priority for an overwritten row is counted and dropped.
    """

    def __init__(self, config: ReplayConfig, spec: TransitionSpec, run_seed: int, index: int, life: int = 0) -> None:
        """Allocate everything up front; ``memory.shard_bytes`` says how much that is.

        Args:
            config: Of the whole replay: the shards share its rows evenly, and draw alike.
            spec: Columns of the rows.
            run_seed: Of the run; every life of every shard draws from a stream of its own.
            index: Which shard this is, from 0.
            life: Its life, from 0.
        """
        capacity = shard_capacities(config)[index]
        pack_item_id(index, life, np.zeros(1, np.int64))
        self.index, self.spec, self.capacity, self.life = index, spec, capacity, life
        self._config, self._sampler = config, config.sampler
        self._exponent, self._epsilon = config.priority_exponent, config.priority_epsilon
        self._stratified, self._enter_at_max = config.stratified, config.initial_priority == "max"
        self._layout = RowLayout(spec)
        self._rows = self._layout.allocate(capacity)
        self._item_id = np.full(capacity, -1, np.int64)
        self._index = self._make_index()
        self._rng = np.random.default_rng(seed_for(run_seed, ROLE_REPLAY, index + (life << 20)))
        self._seen = DuplicateFilter()
        self._next_sequence = 0
        self._max_leaf = 1.0
        self._num_duplicates = 0
        self._num_stale = 0
        self._snapshot: ShardSnapshot | None = None
        self._writing: BackgroundWrite | None = None

    @property
    def size(self) -> int:
        """Live rows; they are in slots 0..size-1."""
        return min(self._next_sequence, self.capacity)

    def stats(self) -> ShardStats:
        """Return the shard's figures as they are now."""
        index = self._index
        return ShardStats(
            shard=self.index,
            life=self.life,
            mass=float(self.size) if index is None else index.total,
            min_leaf=(1.0 if self.size else np.inf) if index is None else index.min_leaf,
            size=self.size,
            num_inserted=self._next_sequence,
            num_duplicates=self._num_duplicates,
            num_stale=self._num_stale,
        )

    def priority_counts(self) -> np.ndarray:
        """Return (B,) int64: live rows with a priority between ``PRIORITY_EDGES``; zeros when all are drawn alike."""
        leaf = np.empty(0) if self._index is None or not self._exponent else self._index.leaf[: self.size]
        return count_between(leaf, self._leaf_of(PRIORITY_EDGES, allow_inf=False) if len(leaf) else PRIORITY_EDGES)

    def insert(self, fragment: Fragment) -> int:
        """Store the fragment's rows once, over the oldest; return how many were stored (0 for a fragment seen before).

        A priority of inf means "the highest that was ever written here", for workers that compute none. ValueError when
        a column does not fit the spec, a priority is negative or NaN, or the fragment is larger than the shard.
        """
        num = self.spec.check_columns(fragment.columns)
        if num != fragment.num_rows:
            raise ValueError(f"fragment has {num} rows but {fragment.num_rows} priorities")
        if num > self.capacity:
            raise ValueError(
                f"a fragment of {num} rows does not fit a shard of {self.capacity}: raise replay.capacity, or lower "
                "replay.num_shards or rollout.steps_per_fragment"
            )
        leaf = self._leaf_of(
            np.full_like(fragment.priority, np.inf) if self._enter_at_max else fragment.priority, allow_inf=True
        )
        if not self._seen.is_new(fragment.worker, fragment.life, fragment.sequence):
            self._num_duplicates += 1
            return 0
        sequence = np.arange(self._next_sequence, self._next_sequence + num)
        slot = sequence % self.capacity
        first = int(self._next_sequence % self.capacity)
        head = min(num, self.capacity - first)
        if self._snapshot is not None:
            self._snapshot.before_overwrite(self._next_sequence, num)
        self._layout.pack(tuple(c[:head] for c in fragment.columns), self._rows[first : first + head])
        self._layout.pack(tuple(c[head:] for c in fragment.columns), self._rows[: num - head])
        self._item_id[slot] = pack_item_id(self.index, self.life, sequence)
        self._set_leaves(slot, leaf)
        self._next_sequence += num
        return num

    def draw(self, num: int) -> Draw:
        """Choose ``num`` rows, independently and in proportion to their leaves; none at all when the shard is empty.

        With ``stratified`` the i-th draw falls into the i-th of ``num`` equal parts of the mass (PER, section 3.3):
        each row is still drawn ``num * p`` times on average.
        """
        stats = self.stats()
        if num == 0 or self.size == 0:
            empty = np.empty(0, np.int64)
            return Draw(empty, empty, np.empty(0), stats)
        if self._index is None:
            slot = self._rng.integers(0, self.size, num)
            return Draw(slot, self._item_id[slot], np.full(num, 1.0 / self.size), stats)
        uniform = self._rng.random(num)
        if self._stratified:
            uniform = np.minimum((uniform + np.arange(num)) / num, np.nextafter(1.0, 0.0))
        slot = self._index.sample(uniform)
        return Draw(slot, self._item_id[slot], self._index.weight_of(slot) / stats.mass, stats)

    def sample(self, num: int) -> ShardSample:
        """Draw ``num`` rows and return them packed, with ids, probabilities within the shard and the shard's
        figures.
        """
        draw = self.draw(num)
        return ShardSample(self._layout.gather(self._rows, draw.slot), draw.item_id, draw.probability, draw.stats)

    def spread(self, slot: np.ndarray, columns: tuple[np.ndarray, ...], position: np.ndarray) -> None:
        """Copy the rows at ``slot`` (B,) into rows ``position`` (B,) of ``columns`` (see ``RowLayout.spread``)."""
        self._layout.spread(self._rows, slot, columns, position)

    def update_priorities(self, item_id: np.ndarray, priority: np.ndarray) -> int:
        """Set priorities (B,) float32, |td_error| before the exponent, of items (B,) int64; return how many were too
        late.

        ValueError when an id is of another shard, or a priority is negative or not finite.
        """
        leaf = self._leaf_of(priority, allow_inf=False)
        parts = unpack_item_id(item_id)
        if (parts.shard != self.index).any():
            raise ValueError(
                f"shard {self.index} was sent priorities for items of shards {np.unique(parts.shard).tolist()}"
            )
        slot = parts.sequence % self.capacity
        live = self._item_id[slot] == item_id
        num_stale = len(live) - int(np.count_nonzero(live))
        self._num_stale += num_stale
        self._set_leaves(slot[live] if num_stale else slot, leaf[live] if num_stale else leaf)
        return num_stale

    def state_dict(self) -> dict[str, Any]:
        """Return everything, rng included; the arrays are copies, the rest is plain enough for JSON."""
        state = self._state_views()
        return state | {name: state[name].copy() for name in state_arrays(self._sampler)}  # rows in slot order

    def load_state_dict(self, state: dict[str, Any], life: int | None = None) -> None:
        """Become the shard that ``state`` was taken from.

        With ``life`` the rows keep their ids and new rows get ids of that life, so that no id is used twice even when
        the shard had gone on after the snapshot; without, the shard continues exactly. ValueError when keys, settings,
        columns or sizes differ from this shard's, or ``life`` is not above the one in ``state``; nothing has changed
        then.
        """
        self._check_state(state, life)
        self.abandon_save()
        size, first = len(state["item_id"]), state["first_slot"]
        self._rows[first:size] = state["rows"][: size - first]
        self._rows[:first] = state["rows"][size - first :]
        self._item_id[:] = -1
        self._item_id[:size] = state["item_id"]
        self._index = self._make_index()
        if self._index is not None:
            self._index.set(np.arange(size), np.ascontiguousarray(state["leaf"]))
        if isinstance(self._index, RankHeap):
            self._index.place(state["order"], state["num_writes"])
        self.life = state["incarnation"] if life is None else life
        self._next_sequence = state["next_sequence"]
        self._max_leaf = state["max_leaf"]
        self._num_duplicates = state["num_duplicates"]
        self._num_stale = state["num_stale"]
        self._seen.load_state_dict(state["seen"])
        self._rng.bit_generator.state = state["rng"]

    def save(self, directory: str) -> list[FileEntry]:
        """Write the live rows and all other state into ``directory`` (made if missing); return the files' entries."""
        return self._mark().write(open_folder(directory))

    def begin_save(self, directory: str) -> None:
        """Set the mark of a snapshot and return; a thread writes what ``save`` would, and the shard goes on meanwhile.

        Costs a copy of ids and leaves now (16 bytes a row), and of rows only where inserts overtake the writer.
        RuntimeError while another one is being written.
        """
        if self._writing is not None and self._writing.is_running:
            raise RuntimeError(f"shard {self.index}: a snapshot is being written already; abandon it first")
        self._snapshot = snapshot = self._mark()
        self._writing = BackgroundWrite(lambda: snapshot.write(open_folder(directory)))

    def poll_save(self) -> list[FileEntry] | None:
        """Return the files of the newest snapshot once they are on the disk; None before; OSError when that failed."""
        if self._writing is None:
            raise RuntimeError(f"shard {self.index}: no snapshot was begun")
        if not self._writing.is_running:
            self._snapshot = None
        return self._writing.poll()

    def abandon_save(self) -> None:
        """Give up the snapshot that is being written, if any; the writer ends at its next chunk."""
        if self._snapshot is not None:
            self._snapshot.abandon()
        self._snapshot = self._writing = None

    def load(self, directory: str, life: int | None = None) -> None:
        """Restore what ``save`` wrote (see ``load_state_dict``); ValueError names the missing or damaged file."""
        with self._saved(directory) as state:
            self.load_state_dict(state, life)

    def restore(self, directory: str, least_life: int) -> int:
        """Load ``directory`` in a new life, numbered at least ``least_life``; return the number."""
        with self._saved(directory) as state:
            LIFE.check("shard.json: incarnation", state.get("incarnation"))
            self.load_state_dict(state, max(least_life, state["incarnation"] + 1))
        return self.life

    def forget_writers(self) -> None:
        """Take any fragment for a new one from here on (see ``ReplayBuffer.forget_writers``)."""
        self._seen = DuplicateFilter()

    def newest_sequence(self, worker: int, life: int) -> int:
        """Return the newest fragment of one worker's life that was stored here; -1 when none was."""
        return self._seen.newest(worker, life)

    def warm_up(self) -> None:
        """Go once through insert, sample and update on a small shard of the same kind: that compiles the kernels."""
        small = self._config.model_copy(update={"capacity": 8 * self._config.num_shards})
        twin = ReplayShard(small, self.spec, 0, self.index)
        twin.insert(Fragment(0, 0, 0, self.spec.allocate(4), np.ones(4, np.float32)))
        drawn = twin.sample(2)
        twin.spread(np.zeros(2, np.int64), self._layout.empty_columns(2), np.arange(2))
        twin.update_priorities(drawn.item_id, np.ones(2, np.float32))

    def check_valid(self) -> None:
        """AssertionError unless ids, slots, leaves and sizes agree."""
        size = self.size
        live = self._item_id[:size]
        parts = unpack_item_id(live)
        assert (self._item_id[size:] == -1).all(), "a slot behind the last live row has an id"
        assert (parts.shard == self.index).all(), "an id of another shard"
        assert (parts.sequence % self.capacity == np.arange(size)).all(), "a row is not in the slot of its sequence"
        oldest = self._next_sequence - size
        assert np.array_equal(np.sort(parts.sequence), np.arange(oldest, self._next_sequence)), (
            "live sequences have gaps"
        )
        assert (parts.life <= self.life).all(), "a row of a life to come"
        if self._index is not None:
            self._index.check_valid()
            assert not self._index.leaf[size:].any(), "a slot without a row can be drawn"
        if isinstance(self._index, SumTree):
            assert (self._index.leaf[:size] > 0).all(), "a live row can never be drawn"
        elif self._index is not None:
            assert self._index.size == size, "a live row has no rank"

    def _make_index(self) -> SumTree | RankHeap | None:
        """Return what rows are drawn by; None when all are alike."""
        if self._sampler == "uniform":
            return None
        return (
            SumTree(self.capacity)
            if self._sampler == "prioritized"
            else RankHeap(self.capacity, self._exponent, self._config.num_shards)
        )

    def _state_views(self) -> dict[str, Any]:
        """Return ``state_dict`` with views in place of copies: the live rows may be most of the machine's memory."""
        size = self.size
        return {
            "settings": self._settings(),
            "incarnation": self.life,
            "next_sequence": self._next_sequence,
            "max_leaf": self._max_leaf,
            "num_duplicates": self._num_duplicates,
            "num_stale": self._num_stale,
            "seen": self._seen.state_dict(),
            "rng": self._rng.bit_generator.state,
            "first_slot": 0,
            "rows": self._rows[:size],
            "item_id": self._item_id[:size],
            "leaf": np.empty(0) if self._index is None else self._index.leaf[:size],
        } | (
            {"order": self._index.order, "num_writes": self._index.num_writes}
            if isinstance(self._index, RankHeap)
            else {}
        )

    @contextlib.contextmanager
    def _saved(self, location: str) -> Iterator[dict[str, Any]]:
        try:
            with local_folder(location) as directory, within(f"replay/shard_{self.index:03d}/"):
                yield load_shard_state(directory, self._layout.dtype)
        except OSError as error:
            raise ValueError(f"cannot restore a replay shard: {error}; choose another checkpoint") from error

    def _mark(self) -> ShardSnapshot:
        """Return a snapshot of everything as it is now."""
        state = self._state_views()
        arrays = {name: state[name].copy() for name in state_arrays(self._sampler) if name != "rows"}
        document = {name: value for name, value in state.items() if name not in arrays and name != "rows"}
        document["first_slot"] = self._next_sequence % self.capacity if self.size == self.capacity else 0
        return ShardSnapshot(self._rows, self._next_sequence, arrays, document)

    def _check_state(self, state: dict[str, Any], life: int | None) -> None:
        """ValueError unless ``state`` fits this shard."""
        for name, mine in self._settings().items():
            theirs = state.get("settings", {}).get(name, mine)
            if theirs != mine:
                raise ValueError(
                    f"shard state was saved with {name} = {theirs}, this shard has {mine}: restore with the settings "
                    "that the run was saved with, or start without its replay"
                )
        expected = set(self._state_views())
        if set(state) != expected:
            raise ValueError(
                f"shard state: missing keys {sorted(expected - set(state))}, unknown keys "
                f"{sorted(set(state) - expected)}"
            )
        check_counts(state, self.capacity)
        size = min(state["next_sequence"], self.capacity)
        sizes = {name: len(state[name]) for name in state_arrays(self._sampler)}
        if any(num != (0 if name == "leaf" and self._index is None else size) for name, num in sizes.items()):
            raise ValueError(f"shard state: expected {size} live rows, got {sizes}")
        if state["rows"].dtype != self._layout.dtype:
            raise ValueError(f"shard state: rows are {state['rows'].dtype}, expected {self._layout.dtype}")
        if life is not None and not state["incarnation"] < life < MAX_LIFE:
            raise ValueError(f"life must be above {state['incarnation']} and below {MAX_LIFE}, got {life}")
        check_arrays(state, self.spec, self.index, self.capacity, self._least_leaf)
        DuplicateFilter().load_state_dict(state["seen"])

    @property
    def _least_leaf(self) -> float | None:
        """The least that a live row is drawn by; None when all are alike."""
        if self._index is None:
            return None
        return 0.0 if self._sampler == "rank" else self._epsilon**self._exponent

    def _leaf_of(self, priority: np.ndarray, allow_inf: bool) -> np.ndarray:
        """Return (priority + epsilon) ** exponent (for ranks: priority) as float64; the highest one so far where
        ``priority`` is inf.
        """
        is_inf = np.isinf(priority)
        if not (priority >= 0).all() or (is_inf.any() and not allow_inf):
            raise ValueError("priorities must be finite and not negative; look for NaN or Inf in td_error")
        leaf = priority.astype(np.float64)
        if self._sampler != "rank":
            leaf = (leaf + self._epsilon) ** self._exponent
        if is_inf.any():
            leaf[is_inf] = max(self._max_leaf, leaf[~is_inf].max(initial=0.0))
        return leaf

    def _set_leaves(self, slot: np.ndarray, leaf: np.ndarray) -> None:
        if len(leaf) and self._index is not None:
            self._max_leaf = max(self._max_leaf, float(leaf.max()))
            self._index.set(slot, leaf)

    def _settings(self) -> dict[str, Any]:
        """What must be equal for a state to fit."""
        return {
            "shard": self.index,
            "capacity": self.capacity,
            "schema_version": self.spec.schema_version,
            "columns": [[c.name, c.dtype, list(c.shape)] for c in self.spec.columns],
            "sampler": self._sampler,
            "priority_exponent": self._exponent,
            "priority_epsilon": self._epsilon,
        }
