"""The settings cell of a notebook: its own values, and others where the environment asks for them."""

from __future__ import annotations

import difflib
import json
import os
from types import SimpleNamespace
from typing import Any

from robonav_ray.errors import UserError

VARIABLE = "ROBONAV_NOTEBOOK_SETTINGS"
"""A JSON object of settings that take the place of a notebook's own, for runs without a person: CI, ``papermill``."""


def settings(**values: Any) -> SimpleNamespace:
    """Return the settings of a notebook, each as an attribute; those in ``ROBONAV_NOTEBOOK_SETTINGS`` come first.

    ::

        settings = notebooks.settings(config="quick", episodes=500)
        settings.episodes

    A mapping (``overrides``) is joined with the one that stands there.

    Raises:
        UserError: When the variable holds no JSON object, a setting that the notebook does not have, or a value of
            another kind.
    """
    asked = _asked()
    for name, value in asked.items():
        if name not in values:
            near = difflib.get_close_matches(name, values, 1)
            hint = f"did you mean {near[0]}" if near else f"it has {', '.join(values)}"
            raise UserError(f"{VARIABLE}: the notebook has no setting {name!r}; {hint}")
        if not _is_alike(values[name], value):
            raise UserError(f"{VARIABLE}: {name} is {json.dumps(value)}; give something like {values[name]!r}")
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return SimpleNamespace(**values)


def _asked() -> dict[str, Any]:
    text = os.environ.get(VARIABLE) or "{}"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{VARIABLE}: is no JSON ({error})") from None
    if not isinstance(found, dict):
        raise UserError(f"{VARIABLE}: is no JSON object; write for instance {{'episodes': 100}}".replace("'", '"'))
    return found


def _is_alike(own: Any, asked: Any) -> bool:
    """Whether a value can take the place of a notebook's own: of the same kind, and any number for a number."""
    if isinstance(own, bool) or isinstance(asked, bool):
        return isinstance(own, bool) and isinstance(asked, bool)
    if isinstance(own, int | float):
        return isinstance(asked, int | float)
    return own is None or isinstance(asked, type(own))
