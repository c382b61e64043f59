"""One session of a search inside Tune: what trials are made of, and what is written down at every event."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from robonav_ray.files.plain_files import read_json, read_text, replace
from robonav_ray.nodes.orphans import remove_orphans
from robonav_ray.runs.session_facts import command_line
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.screen import Screen
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.explore import Explorer
from robonav_ray.tuning.samplers import make_sampler
from robonav_ray.tuning.schedulers import Population, Recorder, make_scheduler
from robonav_ray.tuning.search_records import Exploit, Records, TrialFacts, TrialHistory
from robonav_ray.tuning.search_tracker import SearchTracker
from robonav_ray.tuning.stream import TrialStream
from robonav_ray.tuning.trial import POINTER_FILE, CurriculumTrial, TrialOrder
from robonav_ray.tuning.trial_resources import TrialPlan
from robonav_ray.tuning.trial_run import order_take_over
from robonav_ray.tuning.views.hparams import write_hparams
from robonav_ray.tuning.views.summary import params_at
from robonav_ray.tuning.views.table import Mode, make_table

logger = logging.getLogger(__name__)
KEPT_CHECKPOINTS = 2
ERRORS_FILE = "errors.txt"
"""In the folder of a trial that failed: the tracebacks of this session."""


class SearchSession(tune.Callback):
    """Runs Tune once and writes the records; ``run`` blocks until there is nothing left to do, or it is asked to
    stop.
    """

    def __init__(
        self,
        experiment: Experiment,
        records: Records,
        plan: TrialPlan,
        stop: StopRequest,
        limit: float | None,
        table: Mode,
        console: Screen,
        tracker: SearchTracker,
    ) -> None:
        """``limit`` is a time of ``time.monotonic`` after which the search stops; None: no limit."""
        self._experiment, self._records, self._plan = experiment, records, plan
        self._stop, self._limit, self._tracker = stop, limit, tracker
        self._interrupted = False
        self._down: set[str] = set()
        """Trials that have failed and do not run again yet."""
        self._failed: Counter[str] = Counter()
        self._table = make_table(table, experiment.config, experiment.path.name, console)
        self._session = records.begin_session()
        self._stop_file = experiment.path / "ray_tune" / f"stop-{self._session}"
        """Tells the trials, which are other processes and may be in the midst of a report, that this session ends."""
        self._order_clones()
        config, history = experiment.config, records.history
        self._scheduler = Recorder(
            make_scheduler(config, Explorer(experiment, history), self._note_exploit),
            history,
            self._note_report,
            self._note_failure,
        )
        self._stream = TrialStream(
            make_sampler(config),
            history,
            config.num_trials,
            config.num_trials if config.scheduler.is_population else plan.max_concurrent,
            is_population=config.scheduler.is_population,
            note_trial=lambda trial, params: self._records.add("trial", trial=trial, params=dict(params)),
            note_end=self._note_end,
        )

    def run(self) -> bool:
        """Search until the end; return whether it was interrupted before."""
        config = self._experiment.config
        if self._stream.is_finished():  # a session of a search that had come to its end already
            self._records.add("over")
            return False
        order = TrialOrder(self._experiment, self._plan.plan, tuple(command_line()), self._stop_file)
        trainable = tune.with_resources(tune.with_parameters(CurriculumTrial, order=order), _bundles(self._plan))
        with self._table:
            self._show()
            tune.run(
                trainable,
                name=f"session-{self._session}-{time.time_ns()}",
                storage_path=str(self._experiment.path / "ray_tune"),
                search_alg=self._stream,
                scheduler=self._scheduler,
                stop=_StopAll(self._should_stop),
                callbacks=[self],
                checkpoint_config=tune.CheckpointConfig(num_to_keep=4, checkpoint_frequency=1),
                max_failures=config.trial.max_failures,
                reuse_actors=config.trial.wiring == "local" or config.scheduler.is_population,
                raise_on_failed_trial=False,
                verbose=0,
            )
            if not self._interrupted:
                self._records.add("over")
            self._show()
        return self._interrupted

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Keep the table up to date."""
        self._show()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Write down that it is at work."""
        self._down.discard(trial.trial_id)
        trial.max_failures = trial.run_metadata.num_failures + self._failures_left(trial.trial_id)
        if self._history(trial.trial_id).state != "running":
            self._records.add("started", trial=trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write the last report down, which no scheduler sees; remove checkpoints that no trial needs."""
        self._note_report(trial.trial_id, result)
        self._prune(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Write a failure down that the trial goes on after."""
        self._note_failure(trial)

    def _note_failure(self, trial: Trial) -> None:
        """Write down why; the whole traceback goes into the trial's folder.

        Tune counts the death of a trial's process twice, once for what it was asked and once for itself, so its limit
        is moved along with what has really happened.
        """
        twice = trial.trial_id in self._down
        trial.max_failures = trial.run_metadata.num_failures + self._failures_left(trial.trial_id)
        if twice:
            return
        self._down.add(trial.trial_id)
        self._failed[trial.trial_id] += 1
        text = "it failed, and Tune says no more"
        with contextlib.suppress(OSError, TypeError):
            text = read_text(Path(str(trial.error_file)), errors="replace").strip()
            folder = self._experiment.trial(trial.trial_id)
            folder.mkdir(exist_ok=True)
            replace(folder / ERRORS_FILE, text)
        self._records.add("failure", trial=trial.trial_id, message=text.splitlines()[-1].strip()[:500])
        remove_orphans(self._experiment.trial(trial.trial_id))

    def _failures_left(self, trial: str) -> int:
        return self._experiment.config.trial.max_failures - self._failed[trial]

    def _note_report(self, trial: str, result: Mapping[str, Any]) -> None:
        self._records.add_report(trial, TrialFacts.of_result(result), self._session)
        self._tracker.log(self._records.history)

    def _note_exploit(self, clone: str, donor: str, tune_checkpoint: str, params: Mapping[str, Any]) -> None:
        checkpoint = Path(read_json(Path(tune_checkpoint, POINTER_FILE))["checkpoint"])
        trial, other = self._history(clone), self._history(donor)
        assert trial.last is not None
        assert other.last is not None
        self._records.add(
            "exploit",
            trial=clone,
            env_steps=trial.last.env_steps,
            objective=trial.last.objective,
            donor=donor,
            donor_objective=other.last.objective,
            donor_checkpoint=str(checkpoint.relative_to(self._experiment.path)),
            params_before=trial.params,
            params=dict(params),
        )

    def _note_end(self, trial: str, result: Mapping[str, Any] | None, error: bool) -> None:
        past = self._history(trial)
        if error:
            self._records.add(
                "end", trial=trial, state="failed", reason=past.failures[-1] if past.failures else "it failed"
            )
        elif (
            result is not None
            and result.get("done")
            and result["env_steps"] >= self._experiment.config.trial.max_env_steps
        ):
            self._records.add("end", trial=trial, state="finished", reason="it has used its env steps")
        elif not self._interrupted:
            kind = self._experiment.config.scheduler.kind
            self._records.add("end", trial=trial, state="stopped", reason=f"stopped early by {kind}")
        else:
            return
        self._write_hparams(past)

    def _write_hparams(self, trial: TrialHistory) -> None:
        best = trial.best
        folder = self._experiment.trial(trial.id) / "tensorboard"
        if best is not None and folder.parent.is_dir():
            figures = {"objective": best.objective, "mean_return": best.mean_return, "env_steps": float(best.env_steps)}
            status = "failure" if trial.state == "failed" else "success"
            try:
                write_hparams(folder, params_at(trial, best), figures, status)
            except OSError as error:  # a full disk: the search is worth more than one tab of TensorBoard
                logger.warning("the values of trial %s cannot be shown in TensorBoard: %s", trial.id, error)

    def _order_clones(self) -> None:
        """A clone that had not reported since its exploit when the last session ended takes it over (again)."""
        for trial in self._records.history.trials.values():
            last: Exploit | None = trial.exploits[-1] if trial.exploits else None
            folder = self._experiment.trial(trial.id)
            if (
                last is not None
                and not trial.is_over
                and folder.is_dir()
                and (trial.last is None or trial.last.time <= last.time)
            ):
                order_take_over(folder, self._experiment.path / last.donor_checkpoint)

    def _prune(self, trial: str) -> None:
        """Keep the newest checkpoints, the best report's, and those that a clone may go on from."""
        config, history = self._experiment.config, self._records.history
        best = history.trials[trial].best
        keep = {best.checkpoint} if best is not None else set()
        newest = KEPT_CHECKPOINTS
        if config.scheduler.is_population:
            newest += -(-config.scheduler.perturbation_env_steps // config.trial.report_env_steps)
            keep |= {
                Path(e.donor_checkpoint).name
                for t in history.trials.values()
                for e in t.exploits[-1:]
                if e.donor == trial
            }
            keep |= self._donors(trial)
        self._experiment.remove_checkpoints(trial, keep, newest)

    def _donors(self, trial: str) -> set[str]:
        """Names of the trial's checkpoints that the population's scheduler holds for a clone."""
        names: set[str] = set()
        if isinstance(self._scheduler.inner, Population):
            for checkpoint in self._scheduler.inner.donor_checkpoints:
                path = getattr(checkpoint, "path", None)  # one that is still being written is of the newest
                with contextlib.suppress(OSError):
                    if path is not None:
                        document = read_json(Path(path, POINTER_FILE))
                        names |= {Path(document["checkpoint"]).name} if document["trial"] == trial else set()
        return names

    def _history(self, trial: str) -> TrialHistory:
        return self._records.history.trials[trial]

    def _should_stop(self) -> bool:
        is_late = self._limit is not None and time.monotonic() >= self._limit
        if (self._stop or is_late) and not self._interrupted:
            self._interrupted = True
            self._tell_trials()
        return self._interrupted

    def _tell_trials(self) -> None:
        try:
            self._stop_file.parent.mkdir(exist_ok=True)
            replace(self._stop_file, "")
        except OSError as error:
            # a full disk: Tune ends trials by force that do not end by themselves within some seconds
            logger.warning("the trials could not be told that the search ends: %s", error)

    def _show(self) -> None:
        self._table.update(self._records.history, time.time())


class _StopAll(tune.Stopper):
    """Ends all trials when it is asked to; a trial of its own accord by its result."""

    def __init__(self, asked: Any) -> None:
        self._asked = asked

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune writes it into its state, which is never read."""
        return str, ()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return bool(self._asked())


def _bundles(plan: TrialPlan) -> Any:
    if plan.plan is None:
        return tune.PlacementGroupFactory([{"CPU": plan.bundles[0]}])
    return tune.PlacementGroupFactory([{}, *({"CPU": cpus} for cpus in plan.bundles)], strategy="PACK")
