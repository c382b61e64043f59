"""What every section of the config has in common: frozen, closed, defaults checked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen config section. Unknown keys are refused; ``load.py`` turns the refusal into a message with the nearest name."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)
