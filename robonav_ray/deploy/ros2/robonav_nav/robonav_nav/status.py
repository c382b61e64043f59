"""What the node tells about itself, as ``diagnostic_msgs`` has it."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, ERROR, STALE = 0, 1, 2, 3
"""Levels of ``diagnostic_msgs/DiagnosticStatus``."""


@dataclass(frozen=True)
class Status:
    """One state of the node."""

    level: int
    state: str
    """One word: a change of it, or of the level, is told at once."""
    message: str


UNCONFIGURED = Status(STALE, "unconfigured", "not configured")
INACTIVE = Status(STALE, "inactive", "inactive: the robot is told to stand, then nothing")
NO_GOAL = Status(OK, "idle", "no goal")
ARRIVED = Status(OK, "arrived", "all goals are reached")


def refused(message: str) -> Status:
    """Return the status of a node that could not be configured or activated."""
    return Status(ERROR, "refused", message)


def stopped(message: str) -> Status:
    """Return the status of a robot that stands because something is wrong."""
    return Status(ERROR, "stopped", message)
