"""Budget, checkpoints and the cluster that a run uses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from robonav_ray.config.base import Section
from robonav_ray.files.locations import check_location

LEAST_GIVE_UP_S = 1800.0
"""A run is not given up before this many seconds of training, unless it says so."""


class BudgetConfig(Section):
    """When training ends: when the curriculum is passed and ``time_s`` (or ``env_steps``) is used, whichever is later,
    or at a limit.
    """

    time_s: float = Field(default=300.0, ge=0.0)
    """Seconds of training (from the first learner step) that are used even when the curriculum is passed earlier; a run
    whose last stage has no gate ends after them."""
    env_steps: int | None = Field(default=None, ge=1)
    """In place of ``time_s``, which is then not used (refused, unless it is 0 or the default): env steps that are used
    even when the curriculum is passed earlier; a run whose last stage has no gate trains just so long."""
    max_time_s: float | None = Field(default=None, gt=0.0)
    """Hard limit in seconds from the start of the command (``--time-limit``), by which it is over: it stops ``grace_s``
    earlier (at most a tenth of the limit), commits, and exits with 75 if unfinished."""
    max_env_steps: int | None = Field(default=None, ge=1)
    """Hard limit in env steps: ends a run whether it is passed or not, also before the budget is used. Over Ray worlds
    run while the learner comes up; the run ends after its first step at the earliest."""
    give_up_s: float | None = Field(default=None, gt=0.0)
    """Seconds of training without a gate opening after which the run stops, to be resumed (exit code 75). None: 30
    minutes or four times ``time_s``, whichever is longer; never where ``max_env_steps`` ends the run anyway."""
    grace_s: float = Field(default=30.0, gt=0.0)
    """Seconds from a signal or the time limit's stop within which the last checkpoint is committed and the command over
    (``--grace``); what hangs beyond is ended by force, with exit code 75 and the checkpoint before intact."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> BudgetConfig:
        default = type(self).model_fields["time_s"].default
        if self.env_steps is not None and self.time_s not in (0.0, default):
            raise ValueError(
                f"time_s ({self.time_s:g}) would be ignored, because env_steps ({self.env_steps}) says how long to "
                "train: leave it out, or set budget.time_s=0"
            )
        if self.env_steps is not None and self.max_env_steps is not None and self.env_steps > self.max_env_steps:
            raise ValueError(
                f"env_steps ({self.env_steps}) must not be above max_env_steps ({self.max_env_steps}), which ends the "
                "run before"
            )
        return self

    @property
    def needed_s(self) -> float:
        """Seconds of training that are used in any case."""
        return self.time_s if self.env_steps is None else 0.0

    @property
    def gives_up_after_s(self) -> float | None:
        """Seconds without a gate opening after which a run stops; None where it never does."""
        if self.give_up_s is None and self.max_env_steps is not None:
            return None
        return self.give_up_s or max(LEAST_GIVE_UP_S, 4.0 * self.time_s)

    @property
    def stop_margin_s(self) -> float:
        """How long before ``max_time_s`` a command stops, so that it is over by then."""
        return 0.0 if self.max_time_s is None else min(self.grace_s, self.max_time_s / 10)


class CheckpointConfig(Section):
    """Committed directories under ``RUN/checkpoints``."""

    interval_s: float = Field(default=60.0, gt=0.0)
    """Seconds between two checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept."""
    keep_best: bool = True
    """Whether the policy with the best judgement (``evaluation.interval_s``) is kept besides; it is what
    ``evaluate``, ``play`` and others take of the run, unless they are asked for the last."""
    interval_episodes: int | None = Field(default=None, ge=1)
    """Episodes between two numbered checkpoints; None makes none. Each is whole, with the rows of the replay unless
    ``replay`` is false."""
    keep_numbered: int | None = Field(default=None, ge=1)
    """Newest numbered checkpoints that are kept; None keeps all of them."""
    replay: bool = True
    """Whether the rows of the replay are saved too (needed for an exact resume)."""
    storage: str | None = None
    """Where checkpoints lie besides, so that a run can be resumed on other nodes without a shared file system: a folder
    or a bucket (``s3://bucket/prefix``, ``gs://``, ``abfs://``). Learner and shards write their parts there themselves;
    ``output_dir`` then need not be shared. Credentials come from the environment. None: they lie under ``output_dir``
    alone."""

    @field_validator("storage")
    @classmethod
    def _can_be_written_to(cls, storage: str | None) -> str | None:
        return None if storage is None else check_location(storage)


class RuntimeConfig(Section):
    """What is asked of Ray."""

    address: str | None = None
    """Cluster to join (``auto``, ``host:port``); None joins RAY_ADDRESS or the running local cluster, else starts
    one."""
    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs of a cluster that we start ourselves; None takes the machine's (container limit included)."""
    auth_mode: Literal["token", "disabled"] = "token"
    """Ray's authentication, always set explicitly."""
    dashboard: bool = False
    """Whether a cluster that we start ourselves serves the Ray dashboard (slower start, about 300 MB)."""
    keep_ray_logs: bool = False
    """Whether the folder with the logs of a cluster that we start ourselves stays when it has ended; it is named at the
    start."""
    object_store_bytes: int = Field(default=268_435_456, ge=78_643_200)
    """Object store of a cluster that we start ourselves."""
    cpus_per_rollout_worker: float = Field(default=0.5, gt=0.0)
    """CPUs that one rollout worker reserves."""
    cpus_per_rank: float = Field(default=1.0, gt=0.0)
    """CPUs that one learner rank reserves."""
    cpus_per_shard: float = Field(default=0.2, gt=0.0)
    """CPUs that one replay shard reserves."""
    start_timeout_s: float = Field(default=120.0, gt=0.0)
    """Seconds after which a start that does not come up is given up with a message."""
    heartbeat_timeout_s: float = Field(default=10.0, ge=2.0)
    """Seconds of silence after which a part that had answered (a frozen process, a node that is cut off) is given up
    and replaced. Rollout workers that take long over a fragment are given five times their longest."""
    max_session_restarts: int = Field(default=5, ge=0)
    """How often within an hour a run may begin again from its last checkpoint because a part was lost that cannot be
    replaced alone."""
