"""Durations as people write them: ``90s``, ``10m``, ``1.5h``."""

from __future__ import annotations

import re

WITH_UNIT = r"^\s*[0-9]{1,12}(\.[0-9]{1,12})?\s*[smhd]\s*$"
"""Of a text that is read as seconds where a number of them belongs."""
MAX_DURATION_S = 10 * 366 * 86_400.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``20m``, ``1.5h`` or ``2d``; ValueError otherwise, and for more than ten
    years.
    """
    found = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([smhd]?)\s*", text)
    if found is None or (seconds := float(found[1]) * _UNITS[found[2]]) > MAX_DURATION_S:
        raise ValueError(f"{text!r}: write a duration such as 30s, 20m or 1.5h, of at most ten years")
    return seconds
