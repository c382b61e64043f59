"""Weights & Biases: a run of theirs for a run of ours, live or kept below ``wandb/`` in the run's directory.

::

    feed's thread --write--> wandb (in this process) --socket--> wandb-core --> wandb/*.wandb; online the server too

Rows of W&B's history are numbered upwards (``_step``) and never replaced. Here the number is the env step, or the next
one where that is taken already, so that rows of a later session stand behind those of an earlier one; charts are drawn
over the column ``env_step``.
"""

from __future__ import annotations

import logging
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.config.tracking import WandbTracking
from robonav_ray.text import command_text
from robonav_ray.tracking.backend import Point, Refusals, RunEnding, TrackerError
from robonav_ray.tracking.items import Asset, Kind
from robonav_ray.tracking.run_facts import RunFacts
from robonav_ray.tracking.wandb.access import Access, check_package, wandb_access
from robonav_ray.tracking.wandb.artifacts import log_file, log_model
from robonav_ray.tracking.wandb.data_types import TAKES, as_logged
from robonav_ray.tracking.wandb.service_process import end_run, start_run

__all__ = ["WandbBackend", "open_wandb"]
logger = logging.getLogger(__name__)
AXIS = "env_step"
"""Column that all charts are drawn over."""
INIT_TIMEOUT_S, FINISH_TIMEOUT_S = 30.0, 15.0
"""How long wandb may take to begin a run, and at its end to send what is left; the rest stays on the disk."""
Told = Callable[[Mapping[str, str]], None]
_LETTERS = string.ascii_lowercase + string.digits


def open_wandb(section: WandbTracking, facts: RunFacts, told: Told) -> WandbBackend:
    """Return the backend of a run. wandb is imported, and its process started, with the first point.

    Raises:
        UserError: When there is no key for a server that is asked for, or no package.
    """
    check_package()
    access = wandb_access(section)
    ids = dict(facts.ids)
    if "run" not in ids:
        ids |= {"run": "".join(secrets.choice(_LETTERS) for _ in range(8)), "project": section.project}
        told(ids)
    backend = WandbBackend(section, facts, access, ids, told)
    logger.info("%s", backend.describe())
    return backend


class WandbBackend:
    """One run of W&B; used from one thread."""

    name = "wandb"
    takes = TAKES

    def __init__(
        self, section: WandbTracking, facts: RunFacts, access: Access, ids: dict[str, str], told: Told
    ) -> None:
        self._section, self._facts, self._access, self._ids, self._told = section, facts, access, ids, told
        self._run: Any = None
        self._next_row = int(ids.get("row", -1)) + 1
        self._logged: set[tuple[float, int, tuple[str, ...]]] = set()
        """Points that have been taken of those that a failed ``write`` will be given again."""

    def describe(self) -> str:
        """Return where the run is, in a line for people."""
        if self._access.mode == "online":
            return f"W&B: online at {self._access.url}, project {self._ids['project']}, run {self._ids['run']}"
        return f"W&B: offline, because {self._access.why}; `{self._sync_command()}` sends it later"

    def _sync_command(self) -> str:
        return command_text("wandb", "sync", str(self._facts.directory / "wandb"))

    def write(self, points: Sequence[Point]) -> None:
        """Log a row for each point, and an artifact for each file.

        Raises:
            RefusedPointsError: When wandb will never take some; the others are logged.
            TrackerError: When wandb, or its process, takes nothing now.
        """
        run, refused = self._opened(), Refusals()
        try:
            for point in points:
                if self._identity(point) not in self._logged:
                    try:
                        self._log(run, point)
                    except (TypeError, ValueError) as error:  # it can send no such value or name
                        refused.note(self._identity(point), error)
                    self._logged.add(self._identity(point))
        except (RuntimeError, OSError) as error:
            raise TrackerError(f"W&B takes nothing now: {type(error).__name__}: {str(error)[:300]}") from None
        self._logged.clear()
        self._keep_row()
        refused.tell()

    def close(self, ending: RunEnding | None) -> None:
        """End the run with its model and what became of it; of one that failed, send an alert.

        A session that had nothing to log, and ends as the one before it, is not heard of.

        Raises:
            TrackerError: When wandb cannot end it in order.
        """
        if self._run is None and (ending is None or self._ids.get("ending") == ending.status):
            return
        run = self._opened()
        self._run = None
        has_failed = ending is not None and ending.status == "failed"
        try:
            if ending is not None:
                self._tell_ending(run, ending)
        finally:
            end_run(run, int(has_failed))
        if ending is not None:
            self._ids["ending"] = ending.status
            self._told(self._ids)

    def _tell_ending(self, run: Any, ending: RunEnding) -> None:
        if self._facts.kind in ("train", "trial"):
            log_model(run, self._facts.directory)
        run.summary.update({**ending.summary, "status": ending.status})
        if ending.message:
            run.summary["reason"] = ending.message
        if ending.status == "failed" and self._section.alerts:
            run.alert(f"{self._facts.name} failed"[:63], ending.message or "it failed", level="ERROR")

    def _opened(self) -> Any:
        if self._run is None:
            config = {**self._facts.config, "facts": self._shown_tags()}
            settings = settings_of(self._section, self._access, self._facts.directory) | self._of_this_run()
            self._run = run = start_run(settings, config)
            run.define_metric(AXIS, hidden=True)
            run.define_metric("*", step_metric=AXIS)
            self._next_row = max(self._next_row, int(run.step))
            is_online = self._access.mode == "online"
            self._ids["address"] = str(run.url) if is_online else self._sync_command()
            self._told(self._ids)
        return self._run

    def _of_this_run(self) -> dict[str, Any]:
        facts = self._facts
        return {
            "project": self._ids["project"],
            "run_id": self._ids["run"],
            "run_name": facts.name,
            "run_group": facts.group,
            "run_job_type": facts.kind if facts.kind != "evaluation" else "trial" if facts.group else "train",
            "sweep_id": facts.parent_ids.get("sweep"),
            "resume": "allow" if self._access.mode == "online" else None,
        }

    def _shown_tags(self) -> dict[str, str]:
        """Return what is told of the run beside its config; the command line goes with the code."""
        return {key: text for key, text in self._facts.tags.items() if self._section.save_code or key != "command"}

    def _log(self, run: Any, point: Point) -> None:
        row: dict[str, Any] = dict(point.metrics)
        for item in point.items:
            if isinstance(item, Asset) and item.kind is Kind.FILE:
                log_file(run, item)
                continue
            try:
                row[item.name] = as_logged(item)
            except (OSError, ValueError, KeyError) as error:
                logger.warning("W&B is not given %s: %s", item.name, error)
        if row:
            number = max(point.step, self._next_row)
            run.log({**row, AXIS: point.step, "_timestamp": point.time}, step=number, commit=True)
            self._next_row = number + 1

    def _keep_row(self) -> None:
        self._ids["row"] = str(self._next_row - 1)
        self._told(self._ids)

    @staticmethod
    def _identity(point: Point) -> tuple[float, int, tuple[str, ...]]:
        return point.time, point.step, (*sorted(point.metrics), *(item.tag for item in point.items))


def settings_of(section: WandbTracking, access: Access, directory: Path) -> dict[str, Any]:
    """Return wandb's settings of a run that is kept below ``directory``/wandb.

    Git's state, the code, the command line and the list of packages are left alone unless ``save_code`` asks for them.
    """
    asked = section.save_code
    return {
        "mode": access.mode,
        "base_url": access.url,
        "project": section.project,
        "entity": section.entity,
        "root_dir": str(directory),
        "save_code": asked,
        "disable_code": not asked,
        "disable_git": not asked,
        "x_disable_meta": not asked,
        "x_save_requirements": asked,
        "x_disable_stats": not section.system_metrics,
        "init_timeout": INIT_TIMEOUT_S,
        "finish_timeout": FINISH_TIMEOUT_S,
        "finish_timeout_raises": True,
    }
