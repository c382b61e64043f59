"""Worlds and levels as people give them to any face: configs, mappings of their keys, one level or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.config.worlds import CROWDNAV_LEVEL, EVERETT_LEVEL, EnvConfig, LevelConfig, WorldConfig

WorldLike = WorldConfig | Mapping[str, Any]
LevelLike = LevelConfig | Mapping[str, Any]
LevelsLike = LevelLike | Sequence[LevelLike]


def default_levels(world: WorldConfig) -> tuple[LevelConfig, ...]:
    """Return the level that an environment made without levels runs."""
    return ({"crowdnav": CROWDNAV_LEVEL, "everett": EVERETT_LEVEL}.get(world.profile, LevelConfig()),)


def as_world(world: WorldLike | EnvConfig | None) -> WorldConfig:
    """Return a config from a config, a mapping of its keys, or None (the defaults); ConfigError, naming the key,
    otherwise.
    """
    if isinstance(world, WorldConfig | EnvConfig):
        return world.world if isinstance(world, EnvConfig) else world
    return check_section(WorldConfig, _mapping({} if world is None else world, "world"), "world")


def as_levels(levels: LevelsLike | None, world: WorldConfig) -> tuple[LevelConfig, ...]:
    """Return levels from one or several configs or mappings, or None (the full challenge); ConfigError, naming the
    level, otherwise.
    """
    if levels is None:
        return default_levels(world)
    several: Any = [levels] if isinstance(levels, LevelConfig | Mapping) else levels
    if isinstance(several, str | bytes) or not isinstance(several, Sequence) or not several:
        raise ConfigError(f"levels: give a LevelConfig, a mapping of its keys, or a list of such, not {levels!r:.80}")
    names = ["levels"] if several is not levels else [f"levels[{i}]" for i in range(len(several))]
    return tuple(
        level if isinstance(level, LevelConfig) else check_section(LevelConfig, _mapping(level, name), name)
        for level, name in zip(several, names, strict=True)
    )


def _mapping(given: Any, name: str) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise ConfigError(f"{name}: give a config or a mapping of its keys, not {given!r:.80}")
    return dict(given)
