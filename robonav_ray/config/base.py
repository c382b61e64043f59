"""What every section of the config has in common: frozen, closed, defaults checked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen config section: unknown keys, and numbers that are not finite, are refused (``load.py`` names the nearest key)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
