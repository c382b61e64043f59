"""Trainings of an ablation side by side, each a Ray task of its own; the driver alone writes results."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from robonav_ray.config.studies.ablation import AblationResourcesConfig
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import replace
from robonav_ray.nodes.connection import ClusterError, ClusterFacts
from robonav_ray.own_processes import ACTS, step_back
from robonav_ray.runs.faults import sentence_of
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.tuning.ablation.cells import CellOrder, work_off
from robonav_ray.tuning.ablation.results import CellResult
from robonav_ray.tuning.file_stop import FileStop

logger = logging.getLogger(__name__)
STOP_FILE = ".stop"
_LOOK_S = 0.5


def slots(resources: AblationResourcesConfig, cluster: ClusterFacts) -> int:
    """Return how many trainings run at once; ClusterError when not even one fits."""
    fit = math.floor(cluster.free_cpus / resources.cpus_per_run + 1e-9)
    if fit < 1:
        raise ClusterError(
            f"resources.cpus_per_run ({resources.cpus_per_run:g}): not even one training fits into "
            f"{cluster.free_cpus:g} free CPUs; lower it, or give Ray more"
        )
    return min(fit, resources.max_concurrent or fit)


def side_by_side(
    orders: Sequence[CellOrder], resources: AblationResourcesConfig, num_slots: int, stop: StopRequest
) -> Iterator[tuple[CellOrder, CellResult | Exception | None]]:
    """Give the outcome of each order as it comes in; of those under way when ``stop`` asks for an end, None.

    One that fails is begun again, from its last checkpoint, ``resources.max_failures`` times.
    """
    if not orders:
        return
    stop_file = orders[0].folder / STOP_FILE
    stop_file.unlink(missing_ok=True)
    # a lost node is a failure like any other
    task: Any = ray.remote(num_cpus=resources.cpus_per_run, max_retries=0)(_train)
    waiting, running, failures = list(orders), dict[Any, CellOrder](), dict[str, int]()
    told = False
    try:
        while running or (waiting and not stop):
            while waiting and len(running) < num_slots and not stop:
                order = waiting.pop(0)
                running[task.remote(order, stop_file)] = order
            if stop and not told:
                told = True
                replace(stop_file, "")
            ready, _ = ray.wait(list(running), timeout=_LOOK_S)
            for ref in ready:
                order = running.pop(ref)
                came = _outcome(ref)
                if isinstance(came, Exception) and not isinstance(came, UserError) and not stop:
                    failures[order.run] = failures.get(order.run, 0) + 1
                    if failures[order.run] <= resources.max_failures:
                        logger.warning("%s: goes on after a failure (%s)", order.cell.name, sentence_of(came))
                        waiting.insert(0, order)
                        continue
                yield order, came
    finally:
        for ref in running:
            ray.cancel(ref, force=True)
        stop_file.unlink(missing_ok=True)


def _outcome(ref: Any) -> CellResult | Exception | None:
    try:
        return ray.get(ref)
    except RayError as error:
        cause: Any = error.cause if isinstance(error, RayTaskError) else None
        return cause if isinstance(cause, Exception) else error


def _train(order: CellOrder, stop_file: Path) -> CellResult | None:
    """What a task does."""
    step_back(ACTS)
    logging.getLogger().setLevel(logging.WARNING)
    os.chdir(order.folder)
    return work_off(order, FileStop(stop_file))
