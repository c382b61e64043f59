"""Runs trials: side by side as Ray tasks, one process and one CPU each; those that must run alone afterwards, one by
one.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from proofs.reproduction.command import run_command
from proofs.reproduction.entry import Command
from proofs.reproduction.store import Trial

Look = Callable[[set[str]], None]
"""Called about twice a second with the names of the trials that run now."""


def run_trial(trial: Trial) -> str | None:
    """Run one trial to its end in this process; return None, or what went wrong."""
    try:
        if isinstance(trial.entry.task, Command):
            run_command(trial)
        else:
            from proofs.reproduction.training import run_training

            run_training(trial)
    except Exception:  # noqa: BLE001  (one trial's failure is reported in the table; the others go on)
        return traceback.format_exc()
    return None


def run_all(trials: Sequence[Trial], parallel: int, look: Look) -> dict[str, str]:
    """Run what is not finished yet and return what went wrong, by the trial's name."""
    waiting = [trial for trial in trials if trial.result is None]
    together = [trial for trial in waiting if not (isinstance(trial.entry.task, Command) and trial.entry.task.alone)]
    failed = _run_on_ray(together, parallel, look) if together else {}
    for trial in waiting:
        if trial not in together:
            look({trial.name})
            error = run_trial(trial)
            if error is not None:
                failed[trial.name] = error
    look(set())
    return failed


def _run_on_ray(trials: Sequence[Trial], parallel: int, look: Look) -> dict[str, str]:
    os.environ["RAY_AUTH_MODE"] = "disabled"  # a cluster of our own, for as long as the trials take
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray.exceptions import RayError

    from robonav_ray.nodes.own_ray import own_ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    with own_ray(
        num_cpus=parallel,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=100_000_000,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
        **quiet,
    ):
        task: Any = ray.remote(num_cpus=1, max_retries=0)(run_trial)
        running = {task.options(name=trial.name).remote(trial): trial for trial in trials}
        failed: dict[str, str] = {}
        while running:
            done, _ = ray.wait(list(running), timeout=0.5)
            for ref in done:
                trial = running.pop(ref)
                try:
                    error = ray.get(ref)
                except RayError as lost:  # its process died
                    error = str(lost)
                if error is not None:
                    failed[trial.name] = error
            look({trial.name for trial in running.values() if trial.progress})
        return failed
