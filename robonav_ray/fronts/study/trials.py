"""Which trials of a study are really running: every runner stamps its own, and what a dead one left behind is queued
anew.

Optuna's own heartbeat belongs to ``study.optimize`` over a database; this one is a user attribute of the trial, so it
works over any storage. A stamp says who runs the trial (host and process) and when that was last so.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

RUNNER_ATTR = "runner"
"""User attribute: ``{"host", "pid", "seen"}``, the last in seconds since the epoch."""
REQUEUED_FROM_ATTR = "requeued_from"
"""User attribute: number of the trial whose values these are."""
REQUEUES_ATTR = "requeues"
"""User attribute: how often these values have been queued anew."""
MAX_REQUEUES = 3
"""Values that have been queued anew so often and were left unfinished again are given up: they may be what kills the
process."""

logger = logging.getLogger(__name__)


def host_name() -> str:
    """Return what tells this machine from others; containers with process ids of their own count as machines."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def stamp() -> dict[str, Any]:
    """Return what a trial that this process runs is marked with now."""
    return {"host": host_name(), "pid": os.getpid(), "seen": time.time()}


def is_stale(trial: FrozenTrial, stale_after_s: float) -> bool:
    """Return whether no process runs this ``RUNNING`` trial any more.

    On this host its process tells: it is gone, or its id now belongs to one that began after the last stamp. For
    another host it is the age of the stamp; without one (cut off while it was being made, or made by other means) the
    age of the trial.
    """
    runner = trial.user_attrs.get(RUNNER_ATTR)
    if not isinstance(runner, Mapping):
        return trial.datetime_start is not None and time.time() - trial.datetime_start.timestamp() > stale_after_s
    if runner["host"] != host_name():
        return time.time() - runner["seen"] > stale_after_s
    try:
        process = psutil.Process(runner["pid"])
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > runner["seen"] + 1.0
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def tell(study: optuna.Study, number: int, state: TrialState, value: float | None = None) -> FrozenTrial | None:
    """End a running trial and return what it has become; None when it had ended already, by whomever."""
    try:
        return study.tell(number, value, state)
    except (UpdateFinishedTrialError, ValueError):
        return None


def fail_and_requeue(study: optuna.Study, trial: FrozenTrial) -> bool:
    """End a running trial as failed and queue its values anew, before any that are drawn; return whether it was still
    running.
    """
    if tell(study, trial.number, TrialState.FAIL) is None:
        return False
    requeues = int(trial.user_attrs.get(REQUEUES_ATTR, 0)) + 1
    if requeues > MAX_REQUEUES:
        logger.warning("trial %d was left unfinished for the %dth time: it is not queued again", trial.number, requeues)
        return True
    values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    study.enqueue_trial(values, user_attrs={REQUEUED_FROM_ATTR: trial.number, REQUEUES_ATTR: requeues})
    return True


def requeue_stale(study: optuna.Study, stale_after_s: float) -> list[int]:
    """Queue anew what dead runners left behind; return the numbers of those trials."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    stale = [trial for trial in running if is_stale(trial, stale_after_s)]
    return [trial.number for trial in stale if fail_and_requeue(study, trial)]


def num_settled(study: optuna.Study) -> int:
    """Return how many trials have come to their end, without those whose values were queued anew."""
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs[REQUEUED_FROM_ATTR] for trial in trials if REQUEUED_FROM_ATTR in trial.user_attrs}
    return sum(trial.state.is_finished() and trial.number not in again for trial in trials)


def num_running(study: optuna.Study) -> int:
    """Return how many trials are marked as running."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


class Heartbeat:
    """Stamps the trials of this process at once and every ``interval_s`` from a thread of its own, while the ``with``
    lasts.

    A trial that does not report for hours stays fresh that way, as long as its process lives.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._trials: dict[int, optuna.Trial] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="optuna-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def add(self, trial: optuna.Trial) -> None:
        """Stamp the trial, and go on doing so."""
        trial.set_user_attr(RUNNER_ATTR, stamp())
        with self._lock:
            self._trials[trial.number] = trial

    def drop(self, trial: optuna.Trial) -> None:
        """Leave it alone from now on."""
        with self._lock:
            self._trials.pop(trial.number, None)

    @property
    def numbers(self) -> list[int]:
        """The trials that are stamped."""
        with self._lock:
            return sorted(self._trials)

    def _beat(self) -> None:
        while not self._stop.wait(self._interval_s):
            with self._lock:
                trials = list(self._trials.values())
            for trial in trials:
                try:
                    trial.set_user_attr(RUNNER_ATTR, stamp())
                except UpdateFinishedTrialError:
                    self.drop(trial)
                except Exception:  # each storage has errors of its own; the stamp is tried again
                    logger.warning(
                        "trial %d could not be stamped; tried again in %.0f s",
                        trial.number,
                        self._interval_s,
                        exc_info=True,
                    )
