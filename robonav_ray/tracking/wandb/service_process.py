"""wandb's own process (wandb-core): started with the first run that this process tracks, ended with the last."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robonav_ray.text import command_text
from robonav_ray.tracking.backend import TrackerError

logger = logging.getLogger(__name__)
QUIET = {
    "silent": True,
    "console": "off",
    "symlink": False,
    "label_disable": True,
    "sagemaker_disable": True,
    "disable_job_creation": True,
    "x_stats_coreweave_metadata_base_url": "http://127.0.0.1:1",  # else it asks 169.254.169.254
    "reinit": "create_new",
    "strict": False,
    "force": False,
}
"""Settings of every run of ours: nothing is printed, linked or read that was not asked for."""
_HERE = threading.Lock()
_num_open = 0
_is_ours = False  # whether the process was started by us, and not by a program that uses wandb itself


def start_run(settings: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """Return a run of wandb that has begun in the folder ``settings["root_dir"]``/wandb; it is ended by ``end_run``.

    Nothing of it is process-wide: ``wandb.run`` stays what it is, and so do ``sys.exit`` and the hook of exceptions.
    Copies of files that wait to be sent lie in the folder too, unless the environment names another.

    Raises:
        TrackerError: When wandb cannot begin it now.
    """
    global _num_open, _is_ours
    folder = Path(settings["root_dir"], "wandb")
    folder.mkdir(parents=True, exist_ok=True)
    with _HERE:
        for variable, text in (("WANDB_ERROR_REPORTING", "false"), ("WANDB_SILENT", "true")):
            os.environ.setdefault(variable, text)  # read before there are settings
        for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
            os.environ.setdefault(variable, str(folder / "data"))
        import wandb
        from wandb.sdk import wandb_setup

        if _num_open == 0:
            _is_ours = wandb.run is None and wandb_setup.singleton()._connection is None  # pyright: ignore[reportPrivateUsage]
        with _hooks_kept(), _as_tracker_errors():
            run = wandb.init(settings=wandb.Settings(**{**QUIET, **settings}), config=dict(config))
        _num_open += 1
        return run


def end_run(run: Any, exit_code: int) -> None:
    """Finish a run, and wandb's process with the last one; ``exit_code`` is the run's.

    Raises:
        TrackerError: When wandb cannot end it in order, or has not sent everything within its ``finish_timeout``.
    """
    global _num_open
    try:
        with _as_tracker_errors():
            run.finish(exit_code=exit_code)
    except TimeoutError:
        sync = command_text("wandb", "sync", str(run.settings.sync_dir))
        within = f"{run.settings.finish_timeout:g} s"
        raise TrackerError(f"W&B was not sent everything within {within}; `{sync}` sends it") from None
    finally:
        with _HERE:
            _num_open -= 1
            if _num_open == 0 and _is_ours:
                _end_process()


def _end_process() -> None:
    import wandb

    try:
        wandb.teardown()
    except SystemExit as error:  # what wandb makes of a process of its own that did not end with 0
        logger.warning("wandb's process ended with %s", error.code)


@contextlib.contextmanager
def _hooks_kept() -> Iterator[None]:
    leave, hook = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = leave, hook


@contextlib.contextmanager
def _as_tracker_errors() -> Iterator[None]:
    """Raise what wandb raises when it cannot do something now as TrackerError."""
    import wandb

    try:
        yield
    except (wandb.errors.Error, ConnectionError) as error:  # pyright: ignore[reportAttributeAccessIssue]
        raise TrackerError(f"W&B: {type(error).__name__}: {str(error)[:300]}") from None
