"""``os._exit`` called by an environment: it would end the command with a code of the environment's, 0 included, and
without a word.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

_ROOM = __name__.rpartition(".")[0]
_CALLERS = {f"{_ROOM}.guard", f"{_ROOM}.registered", f"{_ROOM.rpartition('.')[0]}.goal_vector"}
"""Modules whose functions call environments."""
_end_process = os._exit
_caught_in = 0
"""Process id in which calls are caught; a fork of it has another."""


class HardExit(SystemExit):
    """In place of the end of the process; told like what ``sys.exit`` raises."""

    def __repr__(self) -> str:
        """Return the call."""
        return f"os._exit({self.code!r})"


def catch_hard_exits() -> None:
    """Replace ``os._exit``, once per process: it raises HardExit where an environment calls it, in this process.

    Other callers, threads that an environment has started and forked children end their process as ever.
    """
    global _caught_in
    if _caught_in != os.getpid():
        _caught_in, os._exit = os.getpid(), _exit  # type: ignore[assignment]


def _exit(status: int) -> NoReturn:
    """As ``os._exit``, but for an environment."""
    if os.getpid() == _caught_in and _is_called_by_an_environment():
        raise HardExit(status)
    _end_process(status)


def _is_called_by_an_environment() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__") in _CALLERS:
            return True
        frame = frame.f_back
    return False
