"""The configs that a pipeline names, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load import load_run_config, load_tuning_config
from robonav_ray.config.load_suite import load_suite
from robonav_ray.config.pipeline import PipelineConfig, Values
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.config.yaml_document import ConfigError
from robonav_ray.fronts.call_config import override_texts

NOT_LEARNED = ("output_dir", "name", "tracking", "checkpoint", "runtime")
"""Sections of a run's config that change nothing of what is learned: editing them has no step done again."""


def dotted(overrides: Values) -> Values:
    """Return overrides by dotted key, sections among them (``{budget: {time_s: 20}}``, as a command line writes them)
    by their keys.
    """
    found: Values = {}
    for key, value in overrides.items():
        if isinstance(value, dict) and "." not in key:
            found |= {f"{key}.{name}": inner for name, inner in dotted(value).items()}
        else:
            found[key] = value
    return found


def search_config(config: PipelineConfig) -> TuningConfig:
    """Return the config of the search; ConfigError for what is wrong in it."""
    try:
        return load_tuning_config(Path(config.search.config), override_texts(dotted(config.search.overrides)))
    except ConfigError as error:
        raise ConfigError(f"search: {error}") from None


def run_config(config: PipelineConfig, seed: int, base: Path | None = None) -> RunConfig:
    """Return the config of the run of a seed, on top of ``base``, or of what ``train`` names; ConfigError for what is
    wrong in it.
    """
    named = Path(config.train.config) if config.train.config is not None else None
    try:
        return load_run_config(base or named, [*override_texts(dotted(config.train.overrides)), f"seed={seed}"])
    except ConfigError as error:
        raise ConfigError(f"train: {error}") from None


def suites_of(config: PipelineConfig) -> list[Suite]:
    """Return the suites that are played; ConfigError for one that is none."""
    try:
        return [load_suite(Path(name)) for name in config.evaluate.suites]
    except ConfigError as error:
        raise ConfigError(f"evaluate.suites: {error}") from None


def what_is_learned(run: RunConfig) -> dict[str, Any]:
    """Return the keys of a run's config that decide on what it learns, where they are not at their defaults: a default
    that another version of robonav_ray has is a change of code.
    """
    return run.model_dump(mode="json", exclude_defaults=True, exclude=set(NOT_LEARNED))
