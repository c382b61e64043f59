"""Who follows a run session from outside: a verb on a terminal, or a call in a user's program."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from robonav_ray.screen import Screen
from robonav_ray.tracking.panel import MakeView


@dataclass(frozen=True)
class Audience:
    """Where a run session says what it does."""

    screen: Screen
    """Takes the lines before, between and after."""
    make_view: MakeView
    """Makes the view of where the run stands, which is updated several times a second."""
    logger: logging.Logger
    """Whose records the run keeps in its ``log.txt``: the root logger in a process of ours, our own in a user's."""
