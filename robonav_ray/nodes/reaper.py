"""Ends what is left of a Ray that a driver had started for itself, when that driver was killed, and removes its folder.

::

    driver --pipe, which closes with it--> [ a process of its own ] --SIGKILL--> the processes of that Ray session alone

Ray's processes end with the driver, but its agents first try for a minute to tell a head that is gone (Ray 2.60,
``_private/process_watcher``), and hold their ports and memory meanwhile. The driver names the processes that Ray has
started for it; what is born below them is noted while the driver lives, and a worker is also known by its raylet, which
is in the environment that it was started with. On Linux only; elsewhere that minute stays, and the folder until the
next start.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from robonav_ray.own_processes import PROC, Family, Process, ProcessName, lives, read_process, send, with_variable

GRACE_S = 4.0
"""Seconds that Ray has to end its own processes."""
LOOK_EVERY_S = 1.0
ROUNDS = 5
IN_GOOD_ORDER, NOW = "in good order", "now"
_START = "import sys; sys.path.insert(0, sys.argv[1]); from robonav_ray.nodes.reaper import main; main(sys.argv[2:])"


class Reaper:
    """Watches over one driver: made before its Ray is started, ``dismiss``ed when that has been shut down in good
    order.
    """

    def __init__(self, folder: Path, claim: int, *, keep: bool = False) -> None:
        """``folder`` is the Ray session's own, which is removed unless ``keep``; the descriptor ``claim`` says that it
        is in use.
        """
        self._process: subprocess.Popen[bytes] | None = None
        if sys.platform == "linux":
            package_root = str(Path(__file__).parents[2])
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-c",
                    _START,
                    package_root,
                    str(os.getpid()),
                    str(folder),
                    "keep" if keep else "remove",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[claim],
                cwd="/",
                start_new_session=True,  # a signal for the terminal's processes is not for this one
            )

    def watch(self, pids: Iterable[int]) -> None:
        """Say which processes Ray has started, its raylet the first. Until then it is what this process starts for the
        folder.
        """
        names = [process.name for pid in pids if (process := read_process(pid)) is not None] if self._process else []
        self._say(" ".join(f"{name.pid}:{name.started}" for name in names))

    def dismiss(self) -> None:
        """Have it go without doing anything."""
        self._say(IN_GOOD_ORDER)
        self._leave()

    def end_now(self) -> None:
        """Have it end the processes and remove the folder, and wait for that: the start has failed half-way."""
        self._say(NOW)
        self._leave()

    def _leave(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()

    def _say(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it was ended already
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()


class SessionProcesses:
    """The processes of one Ray session, of which the driver's own are not one."""

    def __init__(self, driver: ProcessName, folder: str, proc: Path = PROC) -> None:
        self._driver, self._folder, self._proc = driver, folder, proc
        self._family = Family(proc)
        self._raylet: ProcessName | None = None

    def named(self, names: list[ProcessName]) -> None:
        """From now on these, the raylet first, and what is below them are the session; strangers that came in meanwhile
        are not.
        """
        self._family = Family(self._proc)
        self._raylet = names[0] if names else None
        self._family.add(names)
        self._family.look()

    def look(self) -> None:
        """Note who is new."""
        if self._raylet is None:
            self._family.add(())  # a look may fall between fork and exec, when a command line is still the driver's
        strangers = self._family.look()
        found = with_variable(
            (one for one in strangers if self._raylet is not None and one.started >= self._raylet.started),
            f"RAY_RAYLET_PID={self._raylet.pid}" if self._raylet else "",
            self._proc,
        )
        if self._raylet is None:
            found = [one.name for one in strangers if one.parent == self._driver.pid and self._works_in_folder(one)]
        if found and not self._raylet_is_another():
            self._family.add(found)
            self._family.look()

    def living(self) -> list[ProcessName]:
        """Return those that live."""
        self.look()
        return self._family.living()

    def _raylet_is_another(self) -> bool:
        """Whether its pid has been given away, so that what names it may mean the other one."""
        if self._raylet is None:
            return False
        now = read_process(self._raylet.pid, self._proc)
        return now is not None and now.started != self._raylet.started

    def _works_in_folder(self, process: Process) -> bool:
        with contextlib.suppress(OSError):
            return f"{self._folder}/".encode() in (self._proc / str(process.pid) / "cmdline").read_bytes()
        return False


def reap(session: SessionProcesses, grace_s: float = GRACE_S) -> None:
    """Kill what is left of the session after ``grace_s``."""
    session.look()
    time.sleep(grace_s)
    for _ in range(ROUNDS):
        left = session.living()
        for process in left:
            send(process, signal.SIGKILL)
        if not left:
            return
        time.sleep(0.5)


def main(words: list[str]) -> None:
    """Watch until the driver says that all is over, or has ended without a word. ``words``: its pid, the folder, keep
    or remove.
    """
    driver_pid, folder, then = int(words[0]), words[1], words[2]
    driver = read_process(driver_pid)
    session = SessionProcesses(driver.name if driver else ProcessName(driver_pid, 0), folder)
    text, grace_s = b"", GRACE_S
    while True:
        driver_lives = driver is not None and os.getppid() == driver_pid and lives(driver.name)
        if select.select([0], [], [], LOOK_EVERY_S if driver_lives else 0.0)[0]:
            read = os.read(0, 65536)
            if not read:
                break
            *lines, text = (text + read).split(b"\n")
            for line in lines:
                if line.decode() == IN_GOOD_ORDER:
                    return
                if line.decode() == NOW:
                    grace_s = 0.0
                    continue
                session.named([ProcessName(*map(int, word.split(":"))) for word in line.decode().split()])
        elif not driver_lives:  # and what it had said before, which a busy machine left no time to hear, is heard now
            break
        session.look()
    reap(session, grace_s)
    if then == "remove":
        shutil.rmtree(folder, ignore_errors=True)
