"""The run under test: `robonav train` as a user types it, started again with the very same command after it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Session:
    """One life of the command."""

    began: float
    pid: int
    ended: float | None = None
    code: int | None = None
    """Exit code; negative for the signal that ended it."""
    wanted: bool = False
    """Whether the suite ended it."""


class Training:
    """Runs the command, one life after the other, in a process of its own."""

    def __init__(self, run: Path, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """``run`` is the run's directory, ``arguments`` are a config and overrides; nothing is started yet."""
        self.run = run
        self.sessions: list[Session] = []
        self._arguments, self._environment, self._log = tuple(arguments), {**os.environ, **environment}, log
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *more: str) -> list[str]:
        """Return what one would type."""
        return [
            sys.executable, "-m", "robonav_ray.cli", "train", *self._arguments, *more, "--resume", "auto", "--out",
            str(self.run)
        ]  # fmt: skip

    @property
    def pid(self) -> int | None:
        """Of the process that runs; None when none does."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, *more: str) -> None:
        """Start the command; ``more`` are overrides for this life only."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(*more), stdout=log, stderr=subprocess.STDOUT, env=self._environment, start_new_session=True
            )
        self.sessions.append(Session(time.time(), self._process.pid))

    def poll(self) -> int | None:
        """Return the exit code when the last life has ended; None while it runs."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        session = self.sessions[-1]
        if session.ended is None:
            session.ended, session.code = time.time(), code
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's own process; its end is then wanted."""
        if self._process is not None and self.poll() is None:
            self.sessions[-1].wanted = True
            self._process.send_signal(number)

    def end(self, timeout_s: float = 30.0) -> None:
        """End what runs: SIGTERM, and SIGKILL where that is not enough."""
        if self._process is None or self.poll() is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.poll()
