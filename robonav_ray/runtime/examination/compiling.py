"""Kernels that are compiled during a command: the user is told of them, as nothing else moves meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from numba.core import event

from robonav_ray.screen import Screen


class Compiling(NamedTuple):
    """A kernel that is being compiled, or has just been."""

    kernel: str
    """The outermost one, ``planners/dwa: choose``: those that it calls are compiled with it."""
    num_done: int
    """How many have been compiled since the watch began."""

    def __str__(self) -> str:
        done = f", {self.num_done} done" if self.num_done else ""
        return f"compiling kernels, once for this installation ({self.kernel}{done})"


@contextmanager
def watch_compiling(tell: Callable[[Compiling], None]) -> Iterator[None]:
    """In the block, tell of each kernel that Numba compiles, as it begins and ends; those that were kept are not
    compiled.
    """
    with event.install_listener("numba:compile", _Listener(tell)):
        yield


@contextmanager
def said_on(screen: Screen) -> Iterator[None]:
    """In the block, print one line when kernels are compiled."""
    said = False

    def say(now: Compiling) -> None:
        nonlocal said
        if not said:
            screen.print(f"{now}; this takes from seconds to two minutes", soft_wrap=True)
        said = True

    with watch_compiling(say):
        yield


class _Listener(event.Listener):
    def __init__(self, tell: Callable[[Compiling], None]) -> None:
        self._tell, self._under_way, self._num_done = tell, list[str](), 0

    def on_start(self, event: event.Event) -> None:
        """Tell which it is."""
        details: Any = event.data
        function = details["dispatcher"].py_func
        room = function.__module__.removeprefix("robonav_ray.").replace(".", "/")
        self._under_way.append(f"{room}: {function.__name__.strip('_')}")
        self._tell(Compiling(self._under_way[0], self._num_done))

    def on_end(self, event: event.Event) -> None:
        """Count it, unless it began before the watch."""
        if self._under_way:
            kernel = self._under_way[0]
            self._under_way.pop()
            self._num_done += 1
            self._tell(Compiling(kernel, self._num_done))
