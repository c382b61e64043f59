"""Shipped settings that have a name: ``preset: rainbow`` lies under what the user's file and overrides say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, cast

import yaml

from robonav_ray.config.yaml_document import ConfigError

_FOLDER = resources.files("robonav_ray.config") / "presets"
_ELSEWHERE = resources.files("robonav_ray.config") / "elsewhere.yaml"


def preset_names() -> tuple[str, ...]:
    """Return the shipped names, sorted."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))
    )


def load_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset.

    Raises:
        ValueError: When there is none of that name; names the nearest and all that there are.
    """
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise ValueError(f"preset: there is no {name!r}{hint} the presets are {', '.join(names)}")
    return cast("dict[str, Any]", yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def refuse_idle_preset(source: str, file: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Raise ConfigError when an override names a preset of which the file at ``source`` sets every key, as a resolved
    config does: a preset lies under a file.
    """
    pairs = [override.partition("=") for override in overrides]
    name = next((value.strip() for key, _, value in reversed(pairs) if key.strip() == "preset"), None)
    if name not in preset_names() or file.get("preset") == name or merged(load_preset(name), file) != file:
        return
    raise ConfigError(
        f"override 'preset={name}': would change nothing, because {source} sets every key of that preset: take a "
        "file that leaves them out, or leave preset out"
    )


def load_elsewhere(name: str) -> dict[str, Any]:
    """Return what lies over the settings of the preset ``name``, and under what the user says, on an environment that
    is not ours.
    """
    sizes = _read_elsewhere()
    return merged(sizes["all"], sizes.get(name, {}))


def with_sizes_of_ours(run: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of ``run`` with what ``elsewhere.yaml`` and c51's support would set written down as it is in
    our worlds.

    ``defaults`` are all sections of a run without a preset.
    """
    keys = {section: [*sizes] for section, sizes in _read_elsewhere()["all"].items()}
    keys["algo"] += ["initializer", "v_min", "v_max"]
    sizes = {section: {key: defaults[section][key] for key in names} for section, names in keys.items()}
    name = run.get("preset")
    return merged(merged(sizes, load_preset(name) if name in preset_names() else {}), run)


def with_first_weights_of_ours(run: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of ``run`` with the first weights that every preset had elsewhere before ``dqn`` had others,
    written down.
    """
    return merged({"algo": {"initializer": defaults["algo"]["initializer"]}}, run)


def _read_elsewhere() -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", yaml.safe_load(_ELSEWHERE.read_text(encoding="utf-8")))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``over`` with what only ``under`` has added, section by section; lists and everything else are taken
    whole.
    """
    result = {**under, **over}
    for key in under.keys() & over.keys():
        low, high = under[key], over[key]
        if isinstance(low, Mapping) and isinstance(high, Mapping):
            result[key] = merged(cast("Mapping[str, Any]", low), cast("Mapping[str, Any]", high))
        elif isinstance(low, Mapping) and high is None:  # an empty section of a YAML file
            result[key] = low
    return result
