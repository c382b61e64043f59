"""A trial as Tune sees it: a trainable whose step is one report of a whole curriculum run.

::

    Tune --step--> [ CurriculumTrial ] --> TrialRun: the wiring; its checkpoints in EXPERIMENT/trials/ID
         <-result-                     --save--> a Tune checkpoint: the path of ours (a few bytes)
         --reset_config, load_checkpoint(another trial's)--> the clone takes over weights, optimiser and curriculum; its
                                                             values are the new ones

What a step waits for: the run to come to its next report, or the search to be stopped, which the trial sees by a file
in the search's directory; what a stop waits for: Ray Train to end its ranks itself (seconds), so that nothing of a
trial outlives it.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from robonav_ray.files.plain_files import read_json, replace
from robonav_ray.interfaces import Tracker
from robonav_ray.nodes.resources import Plan
from robonav_ray.runtime.live import StartWiring, start_local
from robonav_ray.runtime.watching import EvaluationStopped
from robonav_ray.runtime.wiring import RunSession, Wiring
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.file_stop import FileStop
from robonav_ray.tuning.mutations import in_flight_changes
from robonav_ray.tuning.trial_run import TrialRun

POINTER_FILE = "robonav_checkpoint.json"


@dataclass(frozen=True)
class TrialOrder:
    """What every trial is told, the same for all values."""

    experiment: Experiment
    plan: Plan | None
    """Sizes of a trial's parts; None for a trial in one process."""
    command: tuple[str, ...]
    """What began the search."""
    stop_file: Path
    """Is there once this session of the search is to end."""


class CurriculumTrial(tune.Trainable):
    """One trial. Its id, which is also its folder, stays the same in every session of the search."""

    def setup(self, config: dict[str, Any], order: TrialOrder) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keep the values; parts start with the first step."""
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger(TrialRun.__module__).setLevel(logging.INFO)  # how far its evaluations are
        os.chdir(order.experiment.path)
        self._order = order
        self._params: dict[str, Any] = dict(config)
        self._running = self._params
        """Values that the parts were last given."""
        self._run: TrialRun | None = None

    def step(self) -> dict[str, Any]:
        """Train to the next report and return it."""
        try:
            facts = self._opened().report()
        except EvaluationStopped:
            raise RuntimeError("the search was stopped; this report is no longer waited for") from None
        if facts.done:
            self._close()
        return facts.to_result()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the path of the trial's newest checkpoint: ours is the only truth."""
        run = self._opened()
        document = {"trial": self.trial_id, "checkpoint": str(run.newest_path())}
        replace(Path(checkpoint_dir, POINTER_FILE), json.dumps(document))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from the trial's own newest checkpoint, or take over another trial's with the values that ``config``
        has now.
        """
        document = read_json(Path(str(checkpoint), POINTER_FILE))
        if document["trial"] == self.trial_id:
            return  # opening finds what is newest
        run = self._opened()
        run.take_over(Path(document["checkpoint"]), self._config(), in_flight_changes(self._running, self._params))
        self._running = self._params

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial, or the same one with other values."""
        if self._run is not None and self._run.directory.name != self.trial_id:
            self._close()
        self._params = dict(new_config)
        return True

    def cleanup(self) -> None:
        """End all parts."""
        self._close()

    def _config(self) -> Any:
        return self._order.experiment.trial_config(self.trial_id, self._params)

    def _opened(self) -> TrialRun:
        if self._run is None:
            search = self._order.experiment.config.trial
            self._running = self._params
            self._run = TrialRun(
                self._order.experiment.trial(self.trial_id),
                self._config(),
                search.report_env_steps,
                _starter(self._order.plan),
                wiring_name=search.wiring,
                command=self._order.command,
                stop=FileStop(self._order.stop_file),
                metric=search.metric,
            )
        return self._run

    def _close(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.close()


def _starter(plan: Plan | None) -> StartWiring:
    if plan is None:
        return start_local

    def start(session: RunSession) -> tuple[Wiring, list[Tracker]]:
        from robonav_ray.runtime.over_ray.ray_wiring import RayWiring

        return RayWiring(session, plan), []

    return start
