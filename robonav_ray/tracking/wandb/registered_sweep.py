"""A search made known to W&B's server as a sweep, whose runs our own tuner makes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from robonav_ray.config.tracking import WandbTracking
from robonav_ray.errors import UserError
from robonav_ray.tracking.backend import TrackerError
from robonav_ray.tracking.deliveries import Delivered, TrackersFile
from robonav_ray.tracking.wandb.access import ask, wandb_access

logger = logging.getLogger(__name__)
_UPSERT = """
mutation UpsertSweep($config: String, $entityName: String, $projectName: String, $controller: JSONString,
                     $displayName: String) {
  upsertSweep(input: {config: $config, entityName: $entityName, projectName: $projectName, controller: $controller,
                      displayName: $displayName}) {
    sweep { name }
  }
}
"""


def register_sweep(section: WandbTracking, document: Mapping[str, Any], search: Path, metric: str) -> str | None:
    """Register the sweep file ``document`` and keep the sweep's id in ``search``/trackers.json.

    Its metric is called ``metric``, as the trials track it. The server is told that the controller is a local one: it
    proposes no trials itself.

    Returns:
        The id; None offline, and where the server cannot be asked or the id cannot be kept, which is said: the search
        goes on without.
    """
    known = {"program": "robonav", **document}
    if "metric" in document:
        known["metric"] = {**document["metric"], "name": metric}
    variables = {
        "config": yaml.safe_dump(known, sort_keys=False),
        "entityName": section.entity,
        "projectName": section.project,
        "controller": '{"type": "local"}',
        "displayName": str(document.get("name", search.name)),
    }
    try:
        access = wandb_access(section)
        if access.mode == "offline":
            return None
        answer = ask(access.url, _UPSERT, variables)
        sweep = str(answer["upsertSweep"]["sweep"]["name"])
        _keep(search, sweep)
    except (TrackerError, UserError, KeyError, TypeError, OSError) as error:
        logger.warning(
            "the sweep is not registered at W&B (%s); its trials are runs of the group %s", error, search.name
        )
        return None
    return sweep


def _keep(search: Path, sweep: str) -> None:
    def keep(entries: dict[str, Delivered]) -> None:
        one = entries.get("wandb", Delivered())
        entries["wandb"] = replace(one, ids={**one.ids, "sweep": sweep})

    TrackersFile(search).update(keep)
