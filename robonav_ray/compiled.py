"""How kernels are compiled, and where what was compiled is kept.

Compiling all kernels takes half a minute of one core, so Numba keeps what it has compiled, and that has to be right and
to be found:

* Numba looks at a function's own file only, while kernels call each other across files. The stamp here covers the
  sources of all of them.
* Numba keeps it beside the source. A Ray job brings its sources to a folder that is new on every node and in every
  cluster, so that each would compile them again; and those of an installation may belong to another user. Those are
  kept below ``NUMBA_CACHE_DIR``, ``XDG_CACHE_HOME`` or ``~/.cache``, in ``robonav_ray/kernels`` and a folder named
  after the stamp.
* What is kept are programs: a folder is taken only if it is this user's own, no link, and closed to the writing of
  other users. Where there is none, each process compiles for itself, and says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator, _CacheLocator

from robonav_ray.guarded import is_guarded

logger = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parent
_ROOMS = ("worlds", "worlds/kernels", "worlds/kernels/site", "worlds/maps", "planners", "algo", "replay")
_CONSTANTS = ("layout.py", "tables.py", "randomization.py", "kernel.py")
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
    """Return a decorator that compiles a function as ``numba.njit(**options)`` does, and keeps the result as this
    module says.
    """

    def compile_it(function: Callable[..., Any]) -> Callable[..., Any]:
        compiler: Any = numba.njit
        dispatcher = compiler(**options)(function)
        try:
            cache: Any = _KernelCache(function)
        except RuntimeError:  # Numba has found no place for it
            _say_that_nothing_is_kept()
            return dispatcher
        cache._cache_file._source_stamp = (cache._cache_file._source_stamp, fingerprint())
        # read before the rest, which may name modules that have moved since
        cache._cache_file._version += f" {fingerprint()}"
        dispatcher._cache = cache
        return dispatcher

    return compile_it


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock of the kernels that jobs share on this machine, so that the second to come finds what the first has
    compiled.
    """
    folder = kept_in().folder if _BROUGHT_BY_A_JOB else None
    if folder is None:
        yield
        return
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Kept(NamedTuple):
    """Where the kernels of these sources are kept."""

    folder: Path | None
    """A folder of this user's own; None: beside the sources, or nowhere."""
    beside: bool
    passed_over: tuple[str, ...]
    """What was tried before, and why it does not serve."""

    @property
    def anywhere(self) -> bool:
        """Whether they are kept at all."""
        return self.beside or self.folder is not None

    def describe(self) -> str:
        """Return one line for people."""
        where = "beside the sources" if self.beside else f"in {self.folder}" if self.folder else "nowhere"
        return "; ".join([f"compiled kernels are kept {where}", *self.passed_over])


@lru_cache(maxsize=1)
def kept_in() -> Kept:
    """Return the first place that serves: for a job this user's own folders, else one that was asked for, beside the
    sources, and those.
    """
    given = [Path(os.environ["NUMBA_CACHE_DIR"])] if os.environ.get("NUMBA_CACHE_DIR") else []
    order: list[Path | None] = [*given, *_user_caches(), None] if _BROUGHT_BY_A_JOB else [*given, None, *_user_caches()]
    passed_over: list[str] = []
    for base in order:
        folder = _PACKAGE if base is None else base / "robonav_ray" / "kernels" / fingerprint()[:16]
        why_not = _unwritable_sources() if base is None else _not_ours(base, folder)
        if why_not is None:
            return Kept(None if base is None else folder, base is None, tuple(passed_over))
        passed_over.append(f"not in {folder} ({why_not})")
    return Kept(None, False, tuple(passed_over))


def own_cache(name: str) -> Path | None:
    """Return a folder that this user alone can write, for what another compiler keeps; None where there is none."""
    folders = ((base, base / "robonav_ray" / name) for base in _user_caches())
    return next((folder for base, folder in folders if _not_ours(base, folder) is None), None)


def _user_caches() -> list[Path]:
    """Return where this user's caches are; none where no home is known."""
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        return [Path(given) if given else Path("~/.cache").expanduser()]
    except RuntimeError:
        return []


def _unwritable_sources() -> str | None:
    """Return why nothing can be kept beside the sources; None where it can."""
    try:
        for room in ("", *_ROOMS):
            cache = _PACKAGE / room / "__pycache__"
            cache.mkdir(exist_ok=True)
            tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        return _reason(error)
    return None


def _not_ours(base: Path, folder: Path) -> str | None:
    """Make ``folder`` below ``base`` for this user alone; return why it cannot be taken, None when it can."""
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_guarded(base):
            return f"others may rename what is in {base}"
        for part in (*reversed(folder.relative_to(base).parents[:-1]), folder.relative_to(base)):
            path = base / part
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode):
                return f"{path} is a link or a file"
            if found.st_uid != os.geteuid():
                return f"{path} belongs to another user (uid {found.st_uid})"
            if found.st_mode & stat.S_IWOTH:
                return f"every user may write to {path}"
            if found.st_mode & stat.S_IWGRP:
                path.chmod(found.st_mode & 0o755)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return _reason(error)
    return None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


@lru_cache(maxsize=1)
def _say_that_nothing_is_kept() -> None:
    logger.warning(
        "%s. Each process compiles them for itself, which takes a minute; set NUMBA_CACHE_DIR to a folder that is "
        "yours",
        kept_in().describe(),
    )


class _OwnFolder(_CacheLocator):
    """A place that is the same wherever the sources lie: named after what they say."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._line, self._folder = function.__code__.co_firstlineno, folder

    def get_cache_path(self) -> Any:
        return str(self._folder)

    def get_source_stamp(self) -> Any:
        return fingerprint()

    def get_disambiguator(self) -> Any:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _OwnFolder | None:
        """Return the place of ``py_func``; None leaves it to the next."""
        path = Path(py_file)
        folder = kept_in().folder if path.is_relative_to(_PACKAGE) else None
        return None if folder is None else cls(py_func, folder / path.parent.name)


class _BesideSource(InTreeCacheLocator):
    """Numba's own place, in ``__pycache__``."""

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        """Return the place of ``py_func``; None where nothing can be kept there."""
        if Path(py_file).is_relative_to(_PACKAGE) and not kept_in().beside:
            return None
        return super().from_function(py_func, py_file)


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_OwnFolder, _BesideSource]  # noqa: RUF012  (Numba's own attribute)


class _KernelCache(FunctionCache):
    _impl_class = _KernelCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was kept; None, so that it is compiled, where it cannot be read."""
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled; a disk that is full is no reason not to go on."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            logger.warning("a compiled kernel could not be kept (%s)", _reason(error))
