"""How much memory this process may still take, how much it took at its highest, and a limit that turns a kill into an
error.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_CGROUPS = (  # (limit, usage, statistics): version 2, then version 1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory.stat")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.stat"),
    ),
)
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def available_bytes() -> int:
    """Return the memory that can be had without swapping: the machine's, or the container's (cgroup v1 or v2) where
    that is less.
    """
    free = [psutil.virtual_memory().available]
    for limit, usage, statistics in _CGROUPS:
        try:
            text = limit.read_text().strip()
            if text.isdecimal():
                free.append(int(text) - int(usage.read_text()) + _reclaimable(statistics))
        except OSError:  # not this version of cgroups, or not ours to read
            continue
    return max(0, min(free))


def _reclaimable(statistics: Path) -> int:
    """Bytes of file cache that the kernel would give back."""
    for line in statistics.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name in ("total_inactive_file", "inactive_file"):
            return int(value)
    return 0


def resident_bytes() -> int:
    """Return the memory that this process holds now."""
    return psutil.Process().memory_info().rss


def give_back() -> None:
    """Let the C allocator return what it keeps for later (glibc), so that what is taken next can be seen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def forget_peak() -> bool:
    """Let the highest memory be counted from now on; False where the system cannot (it is Linux that can)."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Return the most memory that this process held since ``forget_peak``; Linux only."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS}: has no VmHWM")


@contextmanager
def limited_growth(num_bytes: int) -> Iterator[None]:
    """Let allocations fail that would make this process grow by more than ``num_bytes``, instead of having it killed
    (Linux).

    Allocations of other threads fail too, so the limit is the last resort behind a prediction, and holds for as short
    as it can.
    """
    if not _STATUS.exists():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + num_bytes
    for present in (soft, hard):
        most = most if present == resource.RLIM_INFINITY else min(most, present)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def num_cpus() -> int:
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
