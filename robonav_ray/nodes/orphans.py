"""What a killed run may leave behind: the placement group of its ranks, which Ray keeps until the job ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray._raylet import PlacementGroupID
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

from robonav_ray.part_names import GROUPS_SUFFIX

logger = logging.getLogger(__name__)


def remove_orphans(run_directory: Path) -> int:
    """Remove the placement groups that Ray Train made for earlier sessions of the run in ``run_directory``; return how
    many there were.

    The actors of a run end with its driver; where that was an actor itself, only this outlives it. Call it once that is
    gone and before the next session.
    """
    if not ray.is_initialized():
        return 0
    names = tuple(
        f"{path.name.removesuffix(GROUPS_SUFFIX)}#" for path in (run_directory / "ray_train").glob(f"*{GROUPS_SUFFIX}")
    )
    alive = orphans_among(placement_group_table(), names)
    for group in alive:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))
        logger.info("removed the placement group %s that %s had left behind", group, run_directory.name)
    return len(alive)


def orphans_among(table: Mapping[str, Mapping[str, Any]], prefixes: tuple[str, ...]) -> list[str]:
    """Return the ids of the placement groups in Ray's ``table`` that are not removed and whose names begin with one of
    ``prefixes``.
    """
    return [
        group for group, entry in table.items() if entry["name"].startswith(prefixes) and entry["state"] != "REMOVED"
    ]
