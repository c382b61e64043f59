"""What every section of the config has in common: frozen, closed, defaults checked."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from robonav_ray.config.duration import seconds_of
from robonav_ray.config.kinds import check_kind


class Section(BaseModel):
    """A frozen config section: unknown keys, numbers that are not finite and values of another kind are refused.

    A key in seconds (``*_s``) takes ``10m``, ``1.5h`` and ``90s`` as well.

    ``load.py`` names the nearest key, ``kinds.py`` says what the kinds are.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _keeps_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        if (
            isinstance(value, str) and name.endswith("_s") and value.strip()[-1:].isalpha()
        ):  # with its unit; resolved it is seconds
            value = seconds_of(value)
        field = cls.model_fields[name]
        check_kind(field.annotation, value, tuple(field.metadata))
        return value
