"""What the numbers of a saved state may be: kind, shape and range, declared beside the class that owns the state, held
here.

Kernels take indices, counts and bounds on trust, and a file can hold any. So the class that loads a state holds it
against its declaration before anything of it is taken over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_COUNT = 1 << 53
"""The most that anything is counted to: beyond any run, exact as float64, and far from where int64 overflows."""
MAX_VERSION = 1 << 30
"""The same for what is kept as int32."""
MAX_SIZE = 1.0e8
"""The largest float of our worlds, whose squares and products of squares float32 still holds."""
MAX_FLOAT32 = 1.0e30
"""The largest float32 of anything else (rewards, values, observations), far from where it overflows."""
MAX_FLOAT64 = 1.0e100
"""The same for float64."""
_CHUNK_BYTES = 1 << 18

Bound = float | np.ndarray


class RangeError(ValueError):
    """A number of a saved state is not in its range; the message names the array, the number and the range."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """An array of numbers, or the same as nested lists in JSON."""

    dtype: np.dtype
    """Of an array it must be this one; of lists the kind must be (whole numbers for whole numbers, no bool for a
    number)."""
    shape: tuple[int | None, ...]
    """None where any length will do."""
    low: Bound
    """The least allowed; broadcast against the array, so that columns can have their own."""
    high: Bound
    """The most allowed. NaN is never in a range; infinity is where a bound is."""

    def check(self, name: str, value: Any) -> None:
        """Return when ``value`` is so.

        Raises:
            RangeError: When a number is out of its range, or what stands in JSON is none; the message begins with
                ``name``.
            ValueError: When an array has another shape or dtype: it is of another config.
        """
        array = value if isinstance(value, np.ndarray | np.generic) else _from_lists(name, value)
        listed = array is not value
        if listed and not array.size:  # an empty list has lost its dtype and its axes
            fits = bool(self.shape) and self.shape[0] in (None, 0)
        else:
            fits = array.ndim == len(self.shape) and all(
                mine in (None, theirs) for mine, theirs in zip(self.shape, array.shape, strict=True)
            )
            fits &= self._is_kind(array.dtype) if listed else array.dtype == self.dtype
        if not fits:
            shape = ", ".join("any" if n is None else str(n) for n in self.shape)
            kind = RangeError if listed else ValueError
            raise kind(f"{name}: expected {self.dtype} ({shape}), got {array.dtype} {array.shape}")
        if array.size:
            self._check_range(name, np.asarray(array))

    def _is_kind(self, dtype: np.dtype) -> bool:
        return dtype.kind in {"f": "fi", "u": "iu"}.get(self.dtype.kind, self.dtype.kind)

    def _check_range(self, name: str, array: np.ndarray) -> None:
        if array.dtype == np.bool_:
            array = array.view(np.uint8)
        if self._is_within(array):
            return
        with np.errstate(invalid="ignore"):
            inside = (array >= self.low) & (array <= self.high)
        at = np.unravel_index(int(np.argmin(inside)), array.shape)
        low, high = (np.broadcast_to(np.asarray(bound), array.shape)[at].item() for bound in (self.low, self.high))
        place = f"[{', '.join(str(int(i)) for i in at)}]" if at else ""
        raise RangeError(f"{name}{place} is {array[at].item()!r} and must be from {low!r} to {high!r}")

    def _is_within(self, array: np.ndarray) -> bool:
        with np.errstate(invalid="ignore"):  # signalling NaN
            if isinstance(self.low, np.ndarray) or isinstance(self.high, np.ndarray):
                return bool(((array >= self.low) & (array <= self.high)).all())
            rows = array if array.ndim else array[None]
            step = max(1, _CHUNK_BYTES * len(rows) // rows.nbytes)  # what min has read is still in the cache for max
            parts = (rows[begin : begin + step] for begin in range(0, len(rows), step))
            return all(bool(part.min() >= self.low and part.max() <= self.high) for part in parts)  # NaN is neither


def like(array: np.ndarray, low: Bound, high: Bound) -> Numbers:
    """Return the declaration of an array of the dtype and shape of ``array``."""
    return Numbers(array.dtype, array.shape, low, high)


def count(*shape: int | None, low: Bound = 0, high: Bound = MAX_COUNT) -> Numbers:
    """Return the declaration of counts, indices or ids, (*shape) int64."""
    return Numbers(np.dtype(np.int64), shape, low, high)


def real(*shape: int | None, low: Bound = -MAX_FLOAT64, high: Bound = MAX_FLOAT64) -> Numbers:
    """Return the declaration of finite numbers, (*shape) float64."""
    return Numbers(np.dtype(np.float64), shape, low, high)


def columns(
    num: int, ranges: Mapping[int, tuple[float, float]], low: float, high: float, dtype: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds (num,) of ``dtype`` for arrays whose last axis is ``num`` named columns: ``ranges`` of some, else
    ``low``, ``high``.
    """
    lows, highs = np.full(num, low, dtype), np.full(num, high, dtype)
    for column, (least, most) in ranges.items():
        lows[column], highs[column] = least, most
    return lows, highs


def check_numbers(what: str, state: Mapping[str, Any], declared: Mapping[str, Numbers], prefix: str = "") -> None:
    """Return when ``state`` has just the names of ``declared``, each as it says.

    Raises:
        ValueError: Of ``what``, when names are missing or unknown, or an array has another shape or dtype.
        RangeError: Naming the first number that is out of its range, with ``prefix`` before the array's name.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"{what}: expected the keys {', '.join(sorted(declared))}, got {type(state).__name__}")
    if set(state) != set(declared):
        missing, unknown = sorted(declared.keys() - state.keys()), sorted(state.keys() - declared.keys())
        raise ValueError(f"{what}: the keys differ from what is expected; missing: {missing}, unknown: {unknown}")
    for name, numbers in declared.items():
        try:
            numbers.check(f"{prefix}{name}", state[name])
        except RangeError:
            raise
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None


def require(holds: Any, what: str) -> None:
    """Raise RangeError with ``what`` unless ``holds``: a bool, or an array of which all must be True."""
    if not np.all(holds):
        raise RangeError(what)


@contextlib.contextmanager
def within(place: str) -> Iterator[None]:
    """Put ``place`` (a file, the prefix of an array's name) before what a RangeError says."""
    try:
        yield
    except RangeError as error:
        # Ray's error is the one it brings and a traceback
        raise RangeError(f"{place}{getattr(error, 'cause', error)}") from None


def check_generator(name: str, state: Any) -> None:
    """RangeError unless ``state`` is one of NumPy's PCG64, as JSON has it."""
    big = 1 << 128
    match state:
        case {
            "bit_generator": "PCG64",
            "state": {"state": int(value), "inc": int(inc)},
            "has_uint32": 0 | 1,
            "uinteger": int(kept),
        }:
            require(
                0 <= value < big and 0 <= inc < big and inc % 2 == 1 and 0 <= kept < 1 << 32,
                f"{name}: is no state of PCG64",
            )
        case _:
            raise RangeError(f"{name}: is no state of PCG64")


def _from_lists(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, OverflowError):
        raise RangeError(f"{name}: is no number, nor lists of numbers of one length") from None
