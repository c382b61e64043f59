"""The JSON schema of a kind of config (draft 2020-12), by which an editor completes keys and marks mistakes.

It says of each key what the config classes say: type, bounds, words, default, meaning. What crosses keys (one that
another one switches off) a schema cannot say: ``robonav config validate`` does.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from robonav_ray.config.base import Section
from robonav_ray.config.described.kinds_of_config import kind_called
from robonav_ray.config.run import RunConfig

_MODE: JsonSchemaMode = "validation"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_GROUPED: JsonSchemaValue = {"type": "string", "pattern": r"^[-+]?[1-9][0-9]*(_[0-9]+)+(\.[0-9]+)?$"}
"""``400_000``: a number to our reader and a text to an editor."""


class _Generator(GenerateJsonSchema):
    """As pydantic's, without a title for every key, and with digits in groups where a number may stand."""

    schema_dialect = DIALECT

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return {"anyOf": [super().int_schema(schema), _GROUPED]}

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [super().float_schema(schema), _GROUPED]}


def config_schema(word: str) -> dict[str, Any]:
    """Return the schema of the kind of config that is called ``word``; ConfigError where there is none."""
    kind = kind_called(word, "schema")
    name, holds_run = kind.model.__name__, "run" in kind.model.model_fields
    models: list[type[Section]] = [kind.model, RunConfig] if holds_run else [kind.model]
    made, whole = models_json_schema([(model, _MODE) for model in models], schema_generator=_Generator)
    definitions: dict[str, Any] = whole["$defs"]
    root = definitions.pop(name)
    if holds_run:
        root["properties"]["run"] = {**root["properties"]["run"], **made[(RunConfig, _MODE)]}
    required = [*root.pop("required", ()), *kind.requires]
    schema = {"$schema": DIALECT, **root, "title": f"robonav_ray: {word}", "$defs": definitions}
    return _as_markdown(schema | ({"required": required} if required else {}))


def _as_markdown(schema: Any) -> Any:
    """Return the schema with the code in its descriptions marked as editors show it."""
    if isinstance(schema, dict):
        items = cast("dict[str, Any]", schema).items()
        return {
            key: value.replace("``", "`") if key == "description" and isinstance(value, str) else _as_markdown(value)
            for key, value in items
        }
    return [_as_markdown(item) for item in cast("list[Any]", schema)] if isinstance(schema, list) else schema
