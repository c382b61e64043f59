"""What every section of the config has in common: frozen, closed, defaults checked."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from robonav_ray.config.kinds import check_kind


class Section(BaseModel):
    """A frozen config section: unknown keys, numbers that are not finite and values of another kind are refused.

    ``load.py`` names the nearest key, ``kinds.py`` says what the kinds are.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _keeps_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        check_kind(field.annotation, value, tuple(field.metadata))
        return value
