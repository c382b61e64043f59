"""How kernels are compiled, and where what was compiled is kept.

Compiling all kernels takes half a minute of one core, so Numba keeps what it has compiled, and that has to be right and to be found:

* Numba looks at a function's own file only, while kernels call each other across files. The stamp here covers the sources of all of them.
* Numba keeps it beside the source. A Ray job brings its sources to a folder that is new on every node and in every cluster, so that each
  would compile them again. Those are kept below ``NUMBA_CACHE_DIR`` or ``~/.cache/robonav_ray/kernels``, in a folder named after the stamp.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

_PACKAGE = Path(__file__).parent
_ROOMS = ("worlds", "planners", "algo", "replay")
_CONSTANTS = ("layout.py", "randomization.py", "kernel.py")
_MARKS = (b"@njit", b"kernel\ndef ")
_BROUGHT_BY_A_JOB = "runtime_resources" in _PACKAGE.parts
"""Whether these sources lie where Ray unpacks on each node what jobs bring."""


@lru_cache(maxsize=1)
def fingerprint(package: Path = _PACKAGE) -> str:
    """Return a hash over every source below ``package`` that kernels are compiled from."""
    digest = hashlib.sha256()
    for room in ("", *_ROOMS):
        for path in sorted((package / room).glob("*.py")):
            text = path.read_bytes()
            if path.name in _CONSTANTS or any(mark in text for mark in _MARKS):
                digest.update(f"{room}/{path.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles a function as ``numba.njit(**options)`` does, and keeps the result as this module says."""

    def compile_it(function: Callable[..., Any]) -> Callable[..., Any]:
        compiler: Any = numba.njit
        dispatcher = compiler(**options)(function)
        cache: Any = _KernelCache(function)
        cache._cache_file._source_stamp = (cache._cache_file._source_stamp, fingerprint())
        dispatcher._cache = cache
        return dispatcher

    return compile_it


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock of the kernels that jobs share on this machine, so that the second to come finds what the first has compiled."""
    folder = _folder_of_jobs() if _BROUGHT_BY_A_JOB else None
    if folder is None:
        yield
        return
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@lru_cache(maxsize=1)
def _folder_of_jobs() -> Path | None:
    """Return where jobs keep the kernels of these sources, for this user alone; None where nothing can be written."""
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    folder = (Path(given) if given else Path("~/.cache").expanduser()) / "robonav_ray" / "kernels" / fingerprint()[:16]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK)
    except OSError:  # a read-only home: Numba's own places are tried
        return None
    return folder if writable else None


class _InJobs(_CacheLocator):
    """A place that is the same wherever a job's sources lie: named after what they say."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._line, self._folder = function.__code__.co_firstlineno, folder

    def get_cache_path(self) -> Any:
        return str(self._folder)

    def get_source_stamp(self) -> Any:
        return fingerprint()

    def get_disambiguator(self) -> Any:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _InJobs | None:
        """Return the place of ``py_func``; None leaves it to Numba's own."""
        path = Path(py_file)
        folder = _folder_of_jobs() if _BROUGHT_BY_A_JOB and path.is_relative_to(_PACKAGE) else None
        if folder is None:
            return None
        place = cls(py_func, folder / path.parent.name)
        place.ensure_cache_path()
        return place


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_InJobs, *CompileResultCacheImpl._locator_classes]  # noqa: RUF012  (Numba's own attribute)


class _KernelCache(FunctionCache):
    _impl_class = _KernelCacheImpl
