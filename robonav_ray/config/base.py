"""What every section of the config has in common: frozen, closed, defaults checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from robonav_ray.config.duration import WITH_UNIT, seconds_of
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

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {}
    """JSON schemas by key: what a key takes besides the values of its type, or what a key is that was renamed, because
    a validator of the section reads it first."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say in the JSON schema what sections take besides: durations with their unit, ``auto``, ``also_read``."""
        made = handler(schema)
        keys: dict[str, JsonSchemaValue] = handler.resolve_ref_schema(made)["properties"]
        keys.update({name: read for name, read in cls.also_read.items() if name not in cls.model_fields})
        for name, field in cls.model_fields.items():
            if isinstance(keys[name].get("default"), dict) and field.default_factory is None:
                del keys[name]["default"]  # of a section: each of its keys has its own
            also = [cls.also_read[name]] if name in cls.also_read else []
            also += [{"const": "auto"}] if name in cls.auto_keys else []
            also += [{"type": "string", "pattern": WITH_UNIT}] if name.endswith("_s") else []
            if also:
                keys[name] = _or(keys[name], also)
        return made

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


def _or(key: JsonSchemaValue, also: list[JsonSchemaValue]) -> JsonSchemaValue:
    """Return the JSON schema of a key that takes other values besides."""
    told = {word: value for word, value in key.items() if word in ("description", "default")}
    values = {word: value for word, value in key.items() if word not in told}
    branches: list[JsonSchemaValue] = values["anyOf"] if values.keys() == {"anyOf"} else [values]
    return {"anyOf": [*branches, *also], **told}
