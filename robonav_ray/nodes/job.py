"""What a run must know when a Ray job drives it: its id, how long `ray job stop` waits, and that its working directory
does not last.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
STORAGE = "ROBONAV_STORAGE"
STOP_WAIT_S = 45
"""What our cluster definitions and ``robonav submit`` set: a checkpoint is committed within 30 s."""
_RAY_DEFAULT_STOP_WAIT_S = 3
_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for the command of a job, and for nothing else (ray/dashboard/modules/job/job_supervisor.py)."""


@dataclass(frozen=True)
class RayJob:
    """The job whose command this process is."""

    submission_id: str
    stop_wait_s: int
    """Seconds between SIGTERM and SIGKILL when the job is stopped."""

    def warning(self) -> str | None:
        """Return what should be said about this job before it runs; None when all is well."""
        if self.stop_wait_s >= STOP_WAIT_S:
            return None
        return (
            f"this is the Ray job {self.submission_id}, and `ray job stop` gives it {self.stop_wait_s} s, which is too "
            f"short for a last checkpoint: submit with `robonav submit`, or set {STOP_WAIT}={STOP_WAIT_S} where the "
            "head is started or in the job's runtime_env (env_vars)"
        )


def current_job() -> RayJob | None:
    """Return the job that this process is the command of; None when it was started by other means."""
    text = os.environ.get(_JOB_CONFIG)
    if text is None:
        return None
    try:
        metadata = json.loads(text).get("metadata") or {}
        wait = int(os.environ.get(STOP_WAIT, _RAY_DEFAULT_STOP_WAIT_S))
    except (ValueError, AttributeError):
        metadata, wait = {}, _RAY_DEFAULT_STOP_WAIT_S
    return RayJob(str(metadata.get("job_submission_id", "?")), wait)


def place_output(config: RunConfig, directory: Path | None = None) -> RunConfig:
    """Return ``config`` with an ``output_dir`` that outlives the job: a relative one lies under the cluster's storage,
    the default is that folder itself.

    Outside of a job nothing changes. ``directory`` is where the run shall be instead, or None.

    Raises:
        ConfigError: When the place is relative to the job's working directory, and the nodes name no storage.
    """
    job, folder = current_job(), Path(config.output_dir)
    if job is None or (directory or folder).is_absolute():
        return config
    storage = os.environ.get(STORAGE, "")
    if directory is not None or not Path(storage).is_absolute():
        key, shown = ("output_dir", config.output_dir) if directory is None else ("--out", str(directory))
        raise ConfigError(
            f"{key}: {shown!r} lies in the working directory of the Ray job {job.submission_id}, which goes with the "
            "job: name a folder that all nodes share (output_dir=/mnt/robonav/runs), or start the nodes with "
            f"{STORAGE}=/that/folder, under which a relative output_dir then lies"
        )
    own = config.output_dir != RunConfig.model_fields["output_dir"].default
    return config.model_copy(update={"output_dir": str(Path(storage) / folder if own else Path(storage))})
