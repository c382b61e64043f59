"""What every section of the config has in common: frozen, closed, defaults checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from robonav_ray.config.duration import seconds_of
from robonav_ray.config.kinds import check_kind, check_size


class Section(BaseModel):
    """A frozen config section: unknown keys, numbers that are not finite or beyond any count, and values of another
    kind are refused.

    A key in seconds (``*_s``) takes ``10m``, ``1.5h`` and ``90s`` as well.

    ``load.py`` names the nearest key, ``kinds.py`` says what the kinds are.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    auto_keys: ClassVar[tuple[str, ...]] = ()
    """Sizes that a run over Ray chooses itself where they are not set (``runtime/auto_sizes.py``); ``auto`` says that
    they are not."""

    @model_validator(mode="before")
    @classmethod
    def _auto_is_not_set(cls, data: Any) -> Any:
        if not cls.auto_keys or not isinstance(data, Mapping):
            return data
        given = cast("Mapping[str, Any]", data)
        return {key: value for key, value in given.items() if not (key in cls.auto_keys and value == "auto")}

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
        check_size(value)
        return value
