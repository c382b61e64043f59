"""Nouns on the wire: the only things that travel between rooms (and between processes).

Everything here is a frozen dataclass or named tuple of NumPy arrays with the shape and dtype of each field written
down. Batched arrays are named in the singular: ``reward`` has shape (B,). This module imports NumPy and nothing else
heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from robonav_ray.ranges import MAX_FLOAT32, MAX_VERSION

SCHEMA_VERSION = 1
"""Rises when the meaning of a column changes; stored in checkpoints and checked when rows are inserted."""


class Outcome(IntEnum):
    """How an episode ended. ``NONE`` is for environments that know only terminated and truncated."""

    NONE = 0
    SUCCESS = 1
    COLLISION_STATIC = 2
    COLLISION_DYNAMIC = 3
    COLLISION_WALL = 4
    COLLISION_ROBOT = 5
    TIMEOUT = 6
    """Ended without any of the others; in an environment that is not ours, without the success that it tells of."""
    CUT_OFF = 7
    """Did not end within ``evaluation.max_episode_steps``, and was left there."""

    @property
    def is_collision(self) -> bool:
        """True for the four kinds of collision."""
        return Outcome.COLLISION_STATIC <= self <= Outcome.COLLISION_ROBOT


class ColumnSpec(NamedTuple):
    """One column of a transition: ``dtype`` as a NumPy string, ``shape`` of one row, and what rows that were saved may
    hold.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float = -MAX_FLOAT32
    high: float = MAX_FLOAT32


@dataclass(frozen=True)
class TransitionSpec:
    """The columns of a transition, in wire order; made from the environment's spaces and the algorithm.

    Standard columns: ``obs`` and ``next_obs`` (observation shape), ``action`` (int32), ``reward`` (float32; the n-step
    return, sum of gamma**i r_i), ``discount`` (float32; gamma**n, 0 after a true termination, never after truncation)
    and ``policy_version`` (int32; the version that chose the action).
    """

    columns: tuple[ColumnSpec, ...]
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def for_discrete(
        cls, obs_shape: tuple[int, ...], obs_dtype: str = "float32", num_actions: int = MAX_VERSION
    ) -> TransitionSpec:
        """Return the columns for a Box observation of ``obs_shape`` and ``num_actions`` Discrete actions."""
        return cls(
            (
                ColumnSpec("obs", obs_dtype, obs_shape),
                ColumnSpec("action", "int32", (), 0, num_actions - 1),
                ColumnSpec("reward", "float32", ()),
                ColumnSpec("next_obs", obs_dtype, obs_shape),
                ColumnSpec("discount", "float32", (), 0.0, 1.0),
                ColumnSpec("policy_version", "int32", (), 0, MAX_VERSION),
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in wire order."""
        return tuple(column.name for column in self.columns)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return sum(np.dtype(c.dtype).itemsize * int(np.prod(c.shape, dtype=np.int64)) for c in self.columns)

    def index(self, name: str) -> int:
        """Return the position of column ``name``; KeyError names the columns that exist."""
        for i, column in enumerate(self.columns):
            if column.name == name:
                return i
        raise KeyError(f"no column {name!r}; there are {', '.join(self.names)}")

    def allocate(self, num_rows: int) -> tuple[np.ndarray, ...]:
        """Return one zeroed array (num_rows, *shape) per column."""
        return tuple(np.zeros((num_rows, *c.shape), dtype=c.dtype) for c in self.columns)

    def check_columns(self, columns: tuple[np.ndarray, ...]) -> int:
        """Return the number of rows; ValueError when count, dtype or shape of a column is not as specified."""
        if len(columns) != len(self.columns):
            raise ValueError(f"expected {len(self.columns)} columns {self.names}, got {len(columns)}")
        num_rows = len(columns[0])
        for spec, array in zip(self.columns, columns, strict=True):
            if array.dtype != np.dtype(spec.dtype) or array.shape != (num_rows, *spec.shape):
                raise ValueError(
                    f"column {spec.name!r}: expected {spec.dtype} ({num_rows}, *{spec.shape}), got {array.dtype} "
                    f"{array.shape}"
                )
        return num_rows


@dataclass(frozen=True)
class Fragment:
    """Transitions that one rollout worker ships in one call.

    ``(worker, life, sequence)`` names the fragment, so that a retried insert is not stored twice.
    """

    worker: int
    life: int
    sequence: int
    columns: tuple[np.ndarray, ...]
    """One array (rows, *shape) per column of the TransitionSpec."""
    priority: np.ndarray
    """(rows,) float32, >= 0: initial priorities |td_error| before the exponent (Ape-X, Horgan et al. 2018); inf is the
    highest so far, where none was computed or the error is not finite."""

    @property
    def num_rows(self) -> int:
        """Rows in the fragment."""
        return len(self.priority)


# An item id packs (shard, life, sequence) into one non-negative int64: 8 + 15 + 40 bits.
_SEQUENCE_BITS = 40
_LIFE_BITS = 15
MAX_SEQUENCE = 1 << _SEQUENCE_BITS
MAX_SHARDS = 1 << 8
MAX_LIFE = 1 << _LIFE_BITS


class ItemIdParts(NamedTuple):
    """The parts of item ids, each (B,) int64."""

    shard: np.ndarray
    life: np.ndarray
    sequence: np.ndarray


def pack_item_id(shard: int, life: int, sequence: np.ndarray) -> np.ndarray:
    """Return the (B,) int64 ids of ``sequence`` (B,) int64 in one life of one shard; ids are never reused."""
    if not (0 <= shard < MAX_SHARDS and 0 <= life < MAX_LIFE):
        raise ValueError(f"shard {shard} or life {life} out of range")
    prefix = (shard << (_LIFE_BITS + _SEQUENCE_BITS)) | (life << _SEQUENCE_BITS)
    return np.int64(prefix) | sequence.astype(np.int64)


def unpack_item_id(item_id: np.ndarray) -> ItemIdParts:
    """Return shard, life and sequence of (B,) int64 ids."""
    return ItemIdParts(
        item_id >> (_LIFE_BITS + _SEQUENCE_BITS),
        (item_id >> _SEQUENCE_BITS) & (MAX_LIFE - 1),
        item_id & ((1 << _SEQUENCE_BITS) - 1),
    )


@dataclass(frozen=True)
class ReplaySample:
    """One batch drawn from the whole replay (all shards)."""

    columns: tuple[np.ndarray, ...]
    """One array (B, *shape) per column of the TransitionSpec."""
    item_id: np.ndarray
    """(B,) int64; see ``pack_item_id``."""
    probability: np.ndarray
    """(B,) float64: the probability with which the item was really drawn."""
    importance_weight: np.ndarray
    """(B,) float32: (N P(i))**-importance_exponent, normalised by the largest weight in the whole replay."""


@dataclass(frozen=True)
class PolicySnapshot:
    """Network weights with a version that only rises."""

    version: int
    learner_step: int
    names: tuple[str, ...]
    """Parameter names as in ``state_dict``."""
    arrays: tuple[np.ndarray, ...]
    """One float32 array per name."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for a in self.arrays)


MAX_MEMBER_ID = 1000
"""Characters of a league member's id."""


@dataclass(frozen=True)
class Opponents:
    """How the worlds of a run are shared with other policies: the league's word to rollout workers.

    Drawn for each episode of each world: first one of K kinds of world, then one of M members, whose robots it is
    shared with. ValueError for lengths that do not go together, and for what are no probabilities.
    """

    serial: int
    """Rises whenever anything else here changed."""
    member: tuple[str, ...]
    """(M,): ids."""
    driver: tuple[int, ...]
    """(M,): 0 acts by its snapshot in the pool; others are scripts of the worlds (``interfaces.HasDrivers``)."""
    share: tuple[float, ...]
    """(K,): part of the worlds that are of each kind; they sum to 1."""
    probability: tuple[tuple[float, ...], ...]
    """(K, M): of each member in each kind; a row sums to 1, or to 0 where all robots are of the learning policy."""

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        sizes = (len(self.driver), *(len(row) for row in self.probability))
        if any(size != len(self.member) for size in sizes) or len(self.share) != len(self.probability):
            raise ValueError(f"opponents: {len(self.member)} members and {len(self.share)} kinds do not fit {sizes}")
        if self.share:
            _check_parts("share", self.share, 1.0)
        for row in self.probability:
            _check_parts("probability", row, 1.0 if any(row) else 0.0)
        ids = set(self.member)
        if len(ids) < len(self.member) or any(not 0 < len(m) <= MAX_MEMBER_ID or not m.isprintable() for m in ids):
            raise ValueError("opponents: ids of members must be printable, different from each other and not empty")


def _check_parts(name: str, parts: tuple[float, ...], total: float) -> None:
    if min(parts, default=0.0) < 0.0 or not abs(sum(parts) - total) <= 1e-6:
        raise ValueError(f"opponents: {name} must hold no negative number, and sum to {total:g}: {parts}")


NO_OPPONENTS = Opponents(0, (), (), (), ())
"""All robots act by the learning policy."""


@dataclass(frozen=True)
class Assignment:
    """What a rollout worker practises next: the curriculum's word to it."""

    stage: int
    """Index of the stage; worlds switch to it at their next reset."""
    epsilon: float
    """The stage's epsilon now; a world's own epsilon is a pure function of it and the world's global index."""
    clock: int
    """Steps that each world has made under this stage so far, as the curriculum knows; a (re)started worker begins
    here."""
    serial: int
    """Rises whenever anything in the assignment changed."""
    opponents: Opponents | None = None
    """Whom episodes that begin now are shared with; None without a league."""


@dataclass(frozen=True)
class EpisodeResults:
    """Finished episodes of one worker, (E,) arrays, plus how far its unfinished ones go back."""

    worker: int
    stage: np.ndarray
    """(E,) int32: stage under which the episode ran."""
    world: np.ndarray
    """(E,) int32: global index of the world (of the lane, with several robots in a world)."""
    started_at: np.ndarray
    """(E,) int64: the world's clock under that stage when the episode began; gives the order of starting."""
    length: np.ndarray
    """(E,) int32: env steps."""
    outcome: np.ndarray
    """(E,) int8: see ``Outcome``."""
    task_return: np.ndarray
    """(E,) float32: undiscounted sum of the task terms only (goals, finish, collision); what gates look at."""
    total_return: np.ndarray
    """(E,) float32: undiscounted sum of everything that was paid, shaping included."""
    goals_reached: np.ndarray
    """(E,) int32."""
    path_length_m: np.ndarray
    """(E,) float32; 0 for environments without a path."""
    shortest_path_length_m: np.ndarray
    """(E,) float32: legs from start through the goals: straight, along the routes of a map, or around inner walls."""
    min_clearance_m: np.ndarray
    """(E,) float32."""
    on_gate: np.ndarray
    """(E,) bool: the world is on the low-epsilon part of the epsilon ladder, so its episodes count for the gate."""
    watermark: int
    """Smallest ``started_at`` among this worker's running episodes that count for the gate at ``watermark_stage``."""
    watermark_stage: int
    """Level that ``watermark`` speaks of (the worker's current assignment)."""
    member: np.ndarray | None = None
    """(E,) str: the member that the world was shared with, "" where all its robots were of the learning policy; None
    without a league."""
    seat: np.ndarray | None = None
    """(E,) int32: which robot of its world it was; None without a league."""

    @property
    def num_episodes(self) -> int:
        """Episodes in the record."""
        return len(self.length)


def _no_arrays() -> dict[str, np.ndarray]:
    return {}


@dataclass(frozen=True)
class EpisodeFacts:
    """What an environment tells of the episodes that ended in one vector step, (L,) arrays that are valid where they
    ended.
    """

    columns: Mapping[str, np.ndarray] = field(default_factory=_no_arrays)
    """Under our names: ``outcome`` int8 and others of ``EpisodeResults``, as far as they are known."""
    numbers: Mapping[str, np.ndarray] = field(default_factory=_no_arrays)
    """Under the environment's own names, float64; NaN where an episode told none."""
    dropped: tuple[str, ...] = ()
    """Names of what was told and cannot be taken."""


Metrics = dict[str, float]
"""``room/quantity_unit`` -> value; the one place where a plain mapping travels, because dashboards want exactly
that."""


class PartEvent(NamedTuple):
    """Something that happened to a part of a run, for ``RUN/events.jsonl``."""

    event: str
    """``lost``, ``fenced``, ``back``, ``restarted``, ``joined``, ``left``, ``saved`` or ``failed``; of a member of a
    league that has challenged the best ``promoted`` or ``kept``, of one that has played for a gate ``played``."""
    part: str
    """``rollout/3``, ``replay/1``, ``learner``, ``node/<address>``, ``session`` (see ``part_names.event_name``);
    ``league`` or ``league/<member>``."""
    detail: str = ""
    """For people."""
    after_s: float | None = None
    """Seconds from the loss to the recovery, where this is one."""
    rows_lost: int | None = None
    """Rows that went with the part, where known."""
