"""Ends what is left of a Ray that a driver had started for itself, when that driver was killed.

::

    driver --pipe, which closes with it--> [ a process of its own ] --SIGKILL--> who still has files of that Ray session open

Ray's processes end with the driver, but its agents first try for a minute to tell a head that is gone (Ray 2.60,
``_private/process_watcher``), and hold their ports and memory meanwhile. On Linux only; elsewhere that minute stays.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 4.0
"""How long Ray has to end its processes by itself."""
ROUNDS = 5


class Reaper:
    """Watches over one driver: made when its Ray is up, ``dismiss``ed when that has been shut down in good order."""

    def __init__(self, session: Path) -> None:
        """``session`` is the folder of the Ray session, in which all its processes have their logs open."""
        self._process: subprocess.Popen[bytes] | None = None
        if sys.platform == "linux":
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(session)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a signal for the terminal's processes is not for this one
            )

    def dismiss(self) -> None:
        """Have it go without doing anything."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody has ended it already
                self._process.communicate(b"in good order")


def holders(session: str, proc: Path = Path("/proc")) -> list[int]:
    """Return the processes of Ray that have a file below ``session`` open; those of other users cannot be seen.

    A driver of somebody else that had joined has such files too, and is no process of Ray: it is left to its owner.
    """
    found: list[int] = []
    for process in proc.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            command = (process / "cmdline").read_bytes()
            if not command.startswith(b"ray::") and b"/ray/" not in command:
                continue
            if any(os.readlink(file).startswith(f"{session}/") for file in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


def reap(session: str) -> None:
    """Kill whoever still has files of the session open after ``GRACE_S``."""
    time.sleep(GRACE_S)
    for _ in range(ROUNDS):
        left = holders(session)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            return
        time.sleep(0.5)


if __name__ == "__main__":
    if not sys.stdin.buffer.read():
        reap(sys.argv[1])
