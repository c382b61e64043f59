"""The lists of a config that an override goes into (``curriculum.stages.0.name=x``), where the config does not write
them down.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, ValidationError

from robonav_ray.config.run import RunConfig


def only_env_id(data: dict[str, Any]) -> dict[str, Any]:
    """Return of ``data`` what decides on the default stages; the rest may hold a mistake, which is told when all is
    checked.
    """
    env = data.get("env")
    return {"env": {"id": env["id"]}} if isinstance(env, dict) and "id" in env else {}


def list_in_use(model: type[BaseModel], data: dict[str, Any], path: tuple[str | int, ...]) -> Any:
    """Return a list that an override indexes into (``curriculum.stages.0.name=x``) as the run would have it; {} where
    it has none.

    Elsewhere the default stages, which a resolved config has written down, are not those that are used.
    """
    try:
        config = model.model_validate(data)
    except ValidationError:
        return {}
    node: Any = config.sections_in_use() if isinstance(config, RunConfig) else config.model_dump(mode="json")
    for part in path:
        if not isinstance(node, dict) or part not in node:
            return {}
        node = cast("dict[str | int, Any]", node)[part]
    return node
