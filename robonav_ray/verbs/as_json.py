"""``--json``: one JSON document on standard output in place of a table; all else that is said goes to standard
error.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from robonav_ray.screen import Screen

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs, instead.")]


def print_json(data: Any) -> None:
    """Print ``data``; what is not finite is null, what JSON has no kind for (a path, a time) its text."""
    from robonav_ray.screen import say

    say(json.dumps(_finite(data), indent=1, allow_nan=False, default=str))


def screen_beside(json: bool, *, soft_wrap: bool = True) -> Screen:
    """Return the screen of a verb: on standard output, or on standard error where that is for a JSON document alone."""
    from robonav_ray.screen import Screen

    return Screen(soft_wrap=soft_wrap, stderr=json)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
