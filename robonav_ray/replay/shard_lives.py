"""The lives of the shards: which process holds which shard, what replaces one that is lost, and when that is given up.

Plain: what starts, asks and ends a process is behind ``ShardProcesses``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from robonav_ray.calls import Call, CallFailedError, PartGoneError

logger = logging.getLogger(__name__)
MAX_FRUITLESS_LIVES = 5
"""Replacements of one shard in a row that may die while they come up: more of them do not come from outside."""
MAX_RESTORES = 3
"""How often a shard tries to take up a checkpoint, the newest each time, before it begins empty: storage may fail for a
moment."""


class ShardProcesses(Protocol):
    """Where the processes of shards come from; a process is what ``start`` returns, of any type."""

    def start(self, index: int, life: int) -> Any:
        """Start a process that holds shard ``index``, empty."""
        ...

    def first_answer(self, process: Any, index: int, life: int, directory: Path | str | None) -> Call:
        """Have the shard restore itself from its part of the replay saved in ``directory``; None only asks whether it
        is up.

        The answer is its new life where it restores itself.
        """
        ...

    def kill(self, process: Any) -> None:
        """End a process at once."""
        ...


@dataclass
class _Coming:
    """A replacement that is on its way up."""

    process: Any
    ready: Call
    """Its first answer."""
    directory: Path | str | None
    began: float
    deaths: int = 0
    failed_restores: int = 0


class ShardLives:
    """One living process per shard, and the replacements that are on their way up."""

    def __init__(self, processes: ShardProcesses, num_shards: int, now: Callable[[], float] = time.monotonic) -> None:
        """Start all shards, empty."""
        self._processes, self._now = processes, now
        self.numbers = [0] * num_shards
        """Of the newest life of each shard."""
        self.present = [processes.start(index, 0) for index in range(num_shards)]
        """The process that holds each shard, dead or alive, until its replacement is up."""
        self._coming: dict[int, _Coming] = {}
        self.num_restarts = 0

    def begin_replacing(self, index: int, directory: Path | str | None = None) -> None:
        """Start shard ``index`` anew in a new life, from its part of the replay saved in ``directory`` if given;
        returns at once.

        Rows that it had got since are lost; their ids never come back. Nothing happens when one is on its way already.
        """
        if index not in self._coming:
            self._processes.kill(self.present[index])
            self._come(index, directory, deaths=0, failed_restores=0)

    def begin_again(self, index: int, directory: Path | str | None) -> None:
        """Give up the replacement of shard ``index`` that is on its way up, and start another one; returns at once."""
        coming = self._coming.get(index)
        if coming is not None:
            self._processes.kill(coming.process)
            self._come(index, directory, deaths=coming.deaths, failed_restores=0)

    def take_replaced(self, saved: Path | str | None = None) -> list[int]:
        """Put the replacements that are up in their places and return their indices; never waits.

        One that cannot be restored tries again from ``saved``, the newest checkpoint by now, and begins empty after
        ``MAX_RESTORES``, which is logged. RuntimeError when a replacement has died ``MAX_FRUITLESS_LIVES`` times in a
        row.
        """
        return [
            index for index, coming in list(self._coming.items()) if coming.ready.is_done() and self._take(index, saved)
        ]

    def replacing_s(self, index: int) -> float | None:
        """Return for how long a replacement of shard ``index`` has been on its way up; None when there is none."""
        coming = self._coming.get(index)
        return None if coming is None else self._now() - coming.began

    def kill(self) -> None:
        """End all processes."""
        for process in (*self.present, *(coming.process for coming in self._coming.values())):
            self._processes.kill(process)

    def _take(self, index: int, saved: Path | str | None) -> bool:
        """Put a replacement that has answered in its place; False when it must come again."""
        coming = self._coming[index]
        try:
            answer = coming.ready.result()
        except CallFailedError as error:
            self._processes.kill(coming.process)  # it may be half restored
            failed, directory = coming.failed_restores + 1, saved if saved is not None else coming.directory
            if failed == MAX_RESTORES:
                directory = None
                logger.warning(
                    "replay shard %d begins empty, it cannot be restored from %s: %s", index, coming.directory, error
                )
            self._come(index, directory, deaths=coming.deaths, failed_restores=failed)
            return False
        except PartGoneError as error:
            if coming.deaths >= MAX_FRUITLESS_LIVES:
                raise RuntimeError(
                    f"replay shard {index} dies again and again while it comes up; last: {error}"
                ) from error
            self._come(index, coming.directory, deaths=coming.deaths + 1, failed_restores=coming.failed_restores)
            return False
        if coming.directory is not None:
            self.numbers[index] = int(answer)
        self.present[index] = self._coming.pop(index).process
        self.num_restarts += 1
        return True

    def _come(self, index: int, directory: Path | str | None, *, deaths: int, failed_restores: int) -> None:
        self.numbers[index] += 1
        process = self._processes.start(index, self.numbers[index])
        ready = self._processes.first_answer(process, index, self.numbers[index], directory)
        self._coming[index] = _Coming(process, ready, directory, self._now(), deaths, failed_restores)
