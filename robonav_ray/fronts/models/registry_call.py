"""``robonav_ray.registry``: models by name, as ``robonav registry`` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from robonav_ray.registry.by_name import default_place
from robonav_ray.registry.mirror import Mirror
from robonav_ray.registry.registry import Registry
from robonav_ray.registry.versions import Version

MIRRORS: Mapping[str, str] = {
    "mlflow": "robonav_ray.tracking.mlflow_registry:open_mirror",
    "wandb": "robonav_ray.tracking.wandb.registry_mirror:open_wandb_mirror",
}
"""Section of ``tracking`` -> ``module:function`` (section, version) -> Mirror, for the sections that have one."""


def registry(place: str | Path | None = None) -> Registry:
    """Return the registry of models at ``place``; trackers that are on in a version's config mirror its changes.

    ::

        models = robonav_ray.registry()
        version = models.add("runs/curriculum-20261122-181500", "robot_nav")     # Version: name, number, ref
        models.promote("robot_nav", version.number, reason="the first")          # the champion stands there now
        policy = robonav_ray.load_policy("robot_nav@champion")
        models.journal("robot_nav")                                              # who moved what, when and why

    Args:
        place: A folder, or the URI of one in a bucket; None takes ``ROBONAV_REGISTRY``, else ``runs/models``.

    Raises:
        UserError: When ``place`` is neither. Nothing need be there, and nothing is made before the first ``add``.
    """
    return Registry(default_place() if place is None else place, mirrors=mirrors_of)


def mirrors_of(version: Version) -> Sequence[Mirror]:
    """Return the mirrors that are on in the config of a version; UserError when one cannot be opened."""
    sections, found = dict(version.config.tracking), list[Mirror]()
    for name, word in MIRRORS.items():
        section = sections.get(name)
        if section is not None:
            module, _, function = word.partition(":")
            found.append(vars(import_module(module))[function](section, version))
    return found
