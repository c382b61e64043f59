"""What a pipeline and its steps say: JSON lines on disk, and a watcher for people."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from robonav_ray.files.plain_files import append
from robonav_ray.screen import Screen

How = Literal["done", "kept", "stopped", "failed"]
_KEPT = 20


class Watcher(Protocol):
    """Shows people how far a pipeline is."""

    def began(self, step: str, reason: str) -> None:
        """A step begins, or goes on."""
        ...

    def said(self, step: str, line: str) -> None:
        """A step has said something."""
        ...

    def ended(self, step: str, how: How, text: str, seconds: float) -> None:
        """A step has ended, or was kept as it is."""
        ...


class PlainWatcher:
    """Shows each line with its step before it."""

    def __init__(self, screen: Screen) -> None:
        """Show them on ``screen``, which is not what steps print to."""
        self._screen = screen

    def began(self, step: str, reason: str) -> None:
        """Print that it begins, and why."""
        self._screen.print(f"{step}: begins ({reason})")

    def said(self, step: str, line: str) -> None:
        """Print the line."""
        self._screen.print(f"{step} | {line}")

    def ended(self, step: str, how: How, text: str, seconds: float) -> None:
        """Print how it ended."""
        self._screen.print(f"{step}: {how}{f' in {seconds:.1f} s' * (how != 'kept')}{f': {text}' * bool(text)}")


class JsonLines:
    """A file of JSON lines, each with its time; the newest texts are kept for a notice."""

    def __init__(self, path: Path) -> None:
        """Nothing is made before the first line."""
        self._path = path
        self.lost: OSError | None = None
        """Why a line could not be written, where that was so; later ones are not tried."""
        self.newest: list[str] = []

    def add(self, event: str, **facts: Any) -> None:
        """Write a line; OSError when there is no room."""
        line = json.dumps({"time": time.time(), "event": event, **facts}, default=str)
        append(self._path, line + "\n")

    def say(self, text: str) -> None:
        """Write what a step has said. What it does is not ended by a disk that is full: ``lost`` tells later."""
        self.newest = [*self.newest[1 - _KEPT :], text]
        if self.lost is None:
            try:
                self.add("said", text=text)
            except OSError as error:
                self.lost = error


class LineSink(io.TextIOBase):
    """Takes what is printed and hands it on by whole lines; empty ones are left out."""

    encoding = "utf-8"

    def __init__(self, tell: Callable[[str], None]) -> None:
        """``tell`` is given each line, without its end."""
        self._tell, self._begun = tell, ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Take a text; its last line waits for its end."""
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            if line.strip():
                self._tell(line.rstrip())
        return len(text)

    def close(self) -> None:
        """Hand on what has no end yet."""
        if self._begun.strip():
            self._tell(self._begun.rstrip())
        self._begun = ""


@contextlib.contextmanager
def heard(tell: Callable[[str], None]) -> Iterator[None]:
    """Give ``tell`` each line that is printed, and each warning of ours that is logged, while the block runs."""
    sink = LineSink(tell)
    handler = logging.StreamHandler(sink)
    handler.setLevel(logging.WARNING)
    logger = logging.getLogger("robonav_ray")
    logger.addHandler(handler)
    try:
        with contextlib.redirect_stdout(sink):
            yield
    finally:
        logger.removeHandler(handler)
        sink.close()
