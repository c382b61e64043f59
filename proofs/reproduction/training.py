"""One trial of a training: the local wiring under the runtime's own controller, every episode recorded, measured at the
end.

A trial that was interrupted continues from its last checkpoint (one every minute); its environment begins new episodes
there.
"""

from __future__ import annotations

import io
import shutil
import time
from typing import Any, Self

from proofs.reproduction.entry import Measure, Training
from proofs.reproduction.episodes import EpisodeRecorder, read_episodes
from proofs.reproduction.store import Trial, TrialResult, write_json
from robonav_ray.config import RunConfig
from robonav_ray.records import EpisodeResults
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.runs.located import find_policy
from robonav_ray.runs.run_directory import RunDirectory, create_run, open_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.controller import Controller
from robonav_ray.runtime.judge import evaluate_run
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.sizes import check_sizes
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.screen import Screen
from robonav_ray.tracking.fanout import open_trackers
from robonav_ray.tracking.status import RunStatus


class ProgressFile:
    """A ``StatusView`` that writes what the overall progress needs into the trial's folder."""

    def __init__(self, trial: Trial, recorder: EpisodeRecorder, max_env_steps: int, before_s: float):
        self._trial, self._recorder, self._max_env_steps = trial, recorder, max_env_steps
        self._began, self._before_s = time.monotonic(), before_s
        self._written = float("-inf")

    @property
    def seconds(self) -> float:
        """Seconds of all lives of the trial."""
        return self._before_s + time.monotonic() - self._began

    def update(self, status: RunStatus) -> None:
        """Write, at most once a second."""
        if time.monotonic() - self._written < 1.0:
            return
        self._written = time.monotonic()
        last = self._recorder.last
        facts = {
            "env_steps": status.facts.env_steps,
            "max_env_steps": self._max_env_steps,
            "return": sum(last) / len(last) if last else None,
            "seconds": self.seconds,
        }
        write_json(self._trial.folder / "progress.json", facts)

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def run_training(trial: Trial) -> TrialResult:
    """Train to the end of the budget, from the trial's last checkpoint where there is one, and measure."""
    task = trial.entry.task
    assert isinstance(task, Training)
    config = task.config(trial.seed)
    limit = config.budget.max_env_steps
    assert limit is not None, "an entry's config has budget.max_env_steps"
    session = _open_session(trial, config)
    wiring = LocalWiring(session)
    recorder = EpisodeRecorder(trial.folder / "episodes.csv", session.counters.env_steps)

    def listen(results: EpisodeResults) -> None:
        recorder.note(results, wiring.env_steps)

    wiring.curriculum.listeners.append(listen)
    view = ProgressFile(
        trial, recorder, limit, float(trial.progress.get("seconds", 0.0)) if session.checkpoint else 0.0
    )
    resume_step = session.counters.env_steps if session.checkpoint else None
    trackers = open_trackers(config.tracking, session.run.path, resume_step)
    try:
        with session.run.locked():
            ending = Controller(session, wiring, trackers, view, StopRequest(), "local").run()
    finally:
        trackers.close()
        wiring.close()
        recorder.close()
    value, facts = _measure(task.measure, trial, session.run, config)
    facts |= {"learner_steps": ending.facts.learner_steps, "stopped_because": ending.reason.value}
    result = TrialResult(value, ending.facts.env_steps, round(view.seconds, 1), facts)
    trial.finish(result)
    shutil.rmtree(session.run.checkpoints)
    return result


def _open_session(trial: Trial, config: RunConfig) -> RunSession:
    task = describe_task(config)
    check_sizes(config, task.spec)
    folder = trial.folder / "run"
    began = time.monotonic()
    if folder.is_dir():
        checkpoint, _damaged = newest_good_checkpoint(folder / "checkpoints")
        if checkpoint is not None:
            return RunSession(config, task, open_run(folder), checkpoint, began)
        shutil.rmtree(folder)
    trial.folder.mkdir(parents=True, exist_ok=True)
    return RunSession(config, task, create_run(config, folder), None, began)


def _measure(measure: Measure, trial: Trial, run: RunDirectory, config: RunConfig) -> tuple[float, dict[str, Any]]:
    episodes = read_episodes(trial.folder / "episodes.csv")
    facts: dict[str, Any] = {"num_episodes": len(episodes.length)}
    if measure.what == "last_training_episodes":
        return episodes.last_mean(measure.episodes), facts
    if measure.what == "best_training_window":
        return episodes.best_window(measure.episodes), facts
    found, checkpoint = find_policy(run.path)
    report = evaluate_run(found, checkpoint, config, Screen(file=io.StringIO()), None)
    summary = report.levels[-1].summary
    if measure.what == "greedy_return":
        value = summary.total_return.value
        assert value is not None
        return value, facts | {"interval": [summary.total_return.low, summary.total_return.high]}
    if summary.success is None:
        raise ValueError(f"{trial.entry.name}: {config.env.id} does not say whether an episode was won")
    return summary.success.frac, facts | {"interval": [summary.success.low, summary.success.high]}
