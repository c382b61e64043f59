"""The kinds of config that there are, by the word that a person says for each."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple

from robonav_ray.config.base import Section
from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.config.run import RunConfig
from robonav_ray.config.shipped import ConfigKind, find_shipped
from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.config.worlds.robot import RobotModel
from robonav_ray.config.yaml_document import ConfigError


class KindOfConfig(NamedTuple):
    """One kind of config."""

    model: type[Section]
    """The class that checks it."""
    shipped: ConfigKind
    """By which the shipped ones are found."""
    requires: tuple[str, ...] = ()
    """Sections that it has to have, of those that ``model`` can do without."""


KINDS: dict[str, KindOfConfig] = {
    "run": KindOfConfig(RunConfig, "run"),
    "curriculum": KindOfConfig(RunConfig, "run", ("curriculum",)),
    "tuning": KindOfConfig(TuningConfig, "search"),
    "evaluation": KindOfConfig(Suite, "suite"),
    "ablation": KindOfConfig(AblationConfig, "ablation"),
    "pipeline": KindOfConfig(PipelineConfig, "pipeline"),
    "cluster": KindOfConfig(ClusterDefinition, "cluster"),
    "robot": KindOfConfig(RobotModel, "robot"),
}
"""``curriculum``: a run that says something of its stages, as those in ``configs/curriculum`` do."""


def kind_called(word: str, what: str) -> KindOfConfig:
    """Return the kind that is called ``word``; ConfigError, naming the nearest and all, where there is none.

    ``what`` is the option or argument that the word was given for.
    """
    if word in KINDS:
        return KINDS[word]
    near = difflib.get_close_matches(word, KINDS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    raise ConfigError(f"{what} {word!r}: no such kind of config{hint} there are {', '.join(KINDS)}")


def refuse_other_kind(path: Path, kind: KindOfConfig) -> None:
    """Raise ConfigError when ``path`` names a shipped config of another kind than ``kind``."""
    for word, other in KINDS.items():
        if other.shipped != kind.shipped and find_shipped(path, other.shipped) is not None:
            raise ConfigError(f"{path}: is the config of another kind: `--kind {word}` takes it")
