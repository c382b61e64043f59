"""How rows lie in memory: all columns of one transition side by side, so that a random row is one run of bytes.

Drawing rows at random is bound by cache and TLB misses; one run per row instead of one per column has a sixth of them,
and the rows to come are prefetched while the present one is copied. The same packed rows travel from a shard to the
learner as one buffer and are spread into columns there, in the same pass that copies them out of the object store.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from robonav_ray.compiled import njit
from robonav_ray.records import TransitionSpec

_ROWS_AHEAD = 8
_CACHE_LINE_BYTES = 64


def _emit_prefetch(_typing: Any, _address: Any) -> Any:
    """Ask for the cache line at an address (int64)."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], cgutils.voidptr_t)
        int32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, int32, int32, int32])
        builder.call(
            builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind),
            [pointer, int32(0), int32(3), int32(1)],
        )
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _emit_copy_bytes(_typing: Any, _target: Any, _source: Any, _num: Any) -> Any:
    """Copy ``num`` bytes between two addresses (all int64)."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        target, source = (builder.inttoptr(a, cgutils.voidptr_t) for a in args[:2])
        cgutils.raw_memcpy(builder, target, source, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


_prefetch: Any = intrinsic(_emit_prefetch)
_copy_bytes: Any = intrinsic(_emit_copy_bytes)


@njit(nogil=True)
def _spread(
    row_address: int,
    row_bytes: int,
    source: np.ndarray,
    target: np.ndarray,
    column_address: np.ndarray,
    column_begin: np.ndarray,
    column_bytes: np.ndarray,
) -> None:
    """Copy each column of packed row ``source[i]`` to row ``target[i]`` of its own array."""
    num_rows = source.shape[0]
    for i in range(-_ROWS_AHEAD, num_rows):
        ahead = i + _ROWS_AHEAD
        if ahead < num_rows:
            address = row_address + source[ahead] * row_bytes
            for k in range(0, row_bytes, _CACHE_LINE_BYTES):
                _prefetch(address + k)
        if i >= 0:
            address = row_address + source[i] * row_bytes
            for c in range(column_address.shape[0]):
                _copy_bytes(column_address[c] + target[i] * column_bytes[c], address + column_begin[c], column_bytes[c])


@njit(nogil=True)
def _gather_columns(
    row_address: int,
    row_bytes: int,
    num_rows: int,
    column_address: np.ndarray,
    column_begin: np.ndarray,
    column_bytes: np.ndarray,
) -> None:
    """Copy row i of every column into packed row i."""
    for i in range(num_rows):
        address = row_address + i * row_bytes
        for c in range(column_address.shape[0]):
            _copy_bytes(address + column_begin[c], column_address[c] + i * column_bytes[c], column_bytes[c])


class RowLayout:
    """Packed rows of one TransitionSpec: a structured dtype without padding, ``spec.row_bytes`` bytes a row."""

    def __init__(self, spec: TransitionSpec) -> None:
        """Derive the dtype and the place of every column."""
        self.spec = spec
        self.dtype = np.dtype([(c.name, c.dtype, c.shape) for c in spec.columns])
        fields = [self.dtype.fields[name] for name in spec.names]  # type: ignore[index]
        self._begin = np.array([field[1] for field in fields], np.int64)
        self._bytes = np.array([field[0].itemsize for field in fields], np.int64)
        self._whole_begin = np.zeros(1, np.int64)
        self._whole_bytes = np.array([self.dtype.itemsize], np.int64)

    def allocate(self, num_rows: int) -> np.ndarray:
        """Return (num_rows,) zeroed packed rows."""
        return np.zeros(num_rows, self.dtype)

    def pack(self, columns: tuple[np.ndarray, ...], rows: np.ndarray) -> None:
        """Write ``columns``, (B, *shape) each, into the packed ``rows`` (B,); ValueError when they do not fit."""
        num = self.spec.check_columns(columns)
        if num != len(rows) or rows.dtype != self.dtype or not rows.flags.c_contiguous or not rows.flags.writeable:
            raise ValueError(
                f"rows must be {num} contiguous, writeable ones of dtype {self.dtype}, got {len(rows)} of {rows.dtype}"
            )
        # The list also keeps the copies of columns that were not contiguous alive while their addresses are used.
        whole = [np.ascontiguousarray(column) for column in columns]
        address = np.array([column.ctypes.data for column in whole], np.int64)
        _gather_columns(rows.ctypes.data, self.dtype.itemsize, num, address, self._begin, self._bytes)

    def gather(self, rows: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """Return the packed rows at ``slot`` (B,) int64 as a new (B,) array."""
        out = np.empty(len(slot), self.dtype)
        address = np.array([out.ctypes.data], np.int64)
        self._run(rows, slot, np.arange(len(slot)), len(out), address, self._whole_begin, self._whole_bytes)
        return out

    def spread(self, rows: np.ndarray, source: np.ndarray, columns: tuple[np.ndarray, ...], target: np.ndarray) -> None:
        """Copy packed row ``source[i]`` into row ``target[i]`` of every column; both (B,) int64.

        ``columns`` come from ``spec.allocate`` or ``empty_columns``. ValueError when they do not fit the spec or an
        index is out of range.
        """
        num_target = self.spec.check_columns(columns)
        if not all(column.flags.c_contiguous and column.flags.writeable for column in columns):
            raise ValueError("columns must be C-contiguous and writeable")
        address = np.array([column.ctypes.data for column in columns], np.int64)
        self._run(rows, source, target, num_target, address, self._begin, self._bytes)

    def empty_columns(self, num_rows: int) -> tuple[np.ndarray, ...]:
        """Return uninitialised columns for ``num_rows`` rows, to be filled by ``spread``."""
        return tuple(np.empty((num_rows, *c.shape), c.dtype) for c in self.spec.columns)

    def _run(
        self,
        rows: np.ndarray,
        source: np.ndarray,
        target: np.ndarray,
        num_target: int,
        address: np.ndarray,
        begin: np.ndarray,
        num_bytes: np.ndarray,
    ) -> None:
        """Check everything that the kernel, which works on bare addresses, takes on trust; then run it."""
        if rows.dtype != self.dtype or not rows.flags.c_contiguous:
            raise ValueError(f"rows must be C-contiguous and of dtype {self.dtype}, got {rows.dtype}")
        if source.shape != target.shape or source.ndim != 1:
            raise ValueError(f"source and target must be (B,), got {source.shape} and {target.shape}")
        if not len(source):
            return
        if source.min() < 0 or source.max() >= len(rows) or target.min() < 0 or target.max() >= num_target:
            raise ValueError(f"row index out of range: source in [0, {len(rows)}), target in [0, {num_target})")
        _spread(rows.ctypes.data, self.dtype.itemsize, source, target, address, begin, num_bytes)
