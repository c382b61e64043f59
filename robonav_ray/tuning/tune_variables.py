"""What Ray Tune reads from the environment, set for the time of a search and put back afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping

from robonav_ray.config.tuning import TuningConfig


@contextlib.contextmanager
def tune_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set the variables ``values``; a caller of ``robonav_ray.tune`` has its own environment back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def prepared_tune(config: TuningConfig) -> Iterator[None]:
    """Let Tune be quiet and leave signals and records to the search; entered before ``ray.tune`` is imported, here and
    in the trials.
    """
    values = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # records.jsonl and the runs' own trackers hold it all
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # a signal is ours to handle
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own state is never read again
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
    }
    if config.scheduler.is_population:  # the whole population is there from the start, and takes turns
        values["TUNE_MAX_PENDING_TRIALS_PG"] = str(config.num_trials)
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # failures stand in the table, the records and trials/ID/errors.txt
    try:
        with tune_variables(values):
            yield
    finally:
        logger.setLevel(level)
