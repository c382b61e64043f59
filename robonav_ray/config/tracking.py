"""Where metrics go and how often: a section for each backend, and None is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue

from robonav_ray.config.base import Section
from robonav_ray.config.words import ShownName
from robonav_ray.files.locations import has_secret


class TensorboardTracking(Section):
    """Event files in the run's directory, for ``tensorboard --logdir``."""

    flush_s: int = Field(default=10, ge=0, le=3600)
    """Seconds that points may wait to be written together."""


class MlflowTracking(Section):
    """A run of MLflow, on a server or in a local store."""

    tracking_uri: str | None = Field(default=None, min_length=1, max_length=1000)
    """Of the server or store, without a password (``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD`` hold
    it). None: that of the variable ``MLFLOW_TRACKING_URI``, else an sqlite store in the output folder."""
    experiment: ShownName = "robonav"
    """Experiment that runs are put into; made if missing."""
    required: bool = True
    """Whether a server that does not answer at the start ends the run; else it goes on, and the server is given later
    what it missed."""
    system_metrics: bool = True
    """Also log the machine's processor, memory and disk."""
    checkpoints: bool = True
    """Upload the checkpoint that a run ends with."""
    registered_model: ShownName | None = None
    """Name in MLflow's model registry under which the checkpoint is registered; None registers nothing."""

    @field_validator("tracking_uri")
    @classmethod
    def _holds_no_secret(cls, uri: str | None) -> str | None:
        if uri is not None and has_secret(uri):
            raise ValueError(
                "the URI has a name or a password in it, which would be written down with the config: set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
            )
        return uri


class WandbTracking(Section):
    """A run of Weights & Biases, live or kept on disk to be sent later."""

    mode: Literal["auto", "online", "offline"] = "auto"
    """``auto``: online where ``WANDB_API_KEY`` (or a login) is there, else offline."""
    project: ShownName = "robonav"
    """Project that runs are put into."""
    entity: ShownName | None = None
    """User or team that the project belongs to; None: the login's own."""
    required: bool = True
    """Whether a server that does not answer at the start ends the run; else it goes on, and the server is given later
    what it missed."""
    save_code: bool = False
    """Let W&B keep the git diff, the code and the command line."""
    system_metrics: bool = True
    """Also log the machine's processor, memory and disk."""
    alerts: bool = True
    """Send an alert when a run fails."""


class TrackingConfig(Section):
    """metrics.jsonl is always written. Backends are given what stands in it; nothing waits for them but the end of a
    run, for ``close_timeout_s``.
    """

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {
        "backends": {
            "type": "array",
            "items": {"enum": ["jsonl", "tensorboard"]},
            "deprecated": True,
            "description": "Of configs of before: write tensorboard, mlflow and wandb.",
        }
    }

    tensorboard: TensorboardTracking | None = TensorboardTracking()
    """Event files of TensorBoard; null is off."""
    mlflow: MlflowTracking | None = None
    """MLflow; null is off, ``{}`` is on."""
    wandb: WandbTracking | None = None
    """Weights & Biases; null is off, ``{}`` is on."""
    histogram_interval_s: float = Field(default=10.0, gt=0.0)
    """Seconds between two histograms of weights, gradients and others."""
    extra: tuple[str, ...] = ()
    """Trackers of your own beside them: ``module:Name`` (a module in the current folder or installed), or the name of
    an entry point in the group ``robonav_ray.trackers``."""
    max_waiting: int = Field(default=256, ge=1, le=100_000)
    """Points that may wait in memory in front of a slow backend; the rest of them it reads from metrics.jsonl when it
    is their turn."""
    close_timeout_s: float = Field(default=5.0, ge=0.0, le=25.0)
    """Seconds at the end of a session that backends have for what they have not taken yet; what is left is said."""
    interval_s: float = Field(default=2.0, gt=0.0)
    """Seconds between two logged points."""
    prometheus: bool = True
    """Also export as Ray metrics ``ray_robonav_...``, where the wiring runs on Ray: every node serves them for
    Prometheus at its ``MetricsExportPort`` (``ray start --metrics-export-port`` fixes it), with or without the
    dashboard."""
    panel: Literal["auto", "live", "plain", "off"] = "auto"
    """``auto``: a live panel in a terminal, plain lines otherwise."""

    @property
    def shows_histograms(self) -> bool:
        """Whether there is a backend that shows histograms."""
        return any(section is not None for section in (self.tensorboard, self.wandb))

    @model_validator(mode="before")
    @classmethod
    def _as_before_sections(cls, data: Any) -> Any:
        """Read ``backends`` (a list of ``jsonl`` and ``tensorboard``), which configs had before there were sections.

        Beside ``tensorboard`` the one that stands later holds: an override stands behind what a file says.
        """
        if not isinstance(data, Mapping) or "backends" not in data:
            return cast("Any", data)
        given = dict(cast("Mapping[str, Any]", data))
        names = list(given)
        named: Any = given.pop("backends")
        if not isinstance(named, list | tuple) or not all(one in ("jsonl", "tensorboard") for one in named):  # pyright: ignore[reportUnknownVariableType]
            raise ValueError(
                "tracking.backends: is a list of jsonl and tensorboard, read for configs of before; write "
                "tracking.tensorboard, tracking.mlflow and tracking.wandb (null is off, {} is on)"
            )
        before = cast("list[str]", named)
        if twice := sorted({name for name in before if before.count(name) > 1}):
            raise ValueError(f"tracking.backends: {twice[0]!r} stands twice; name every backend once")
        if "tensorboard" not in given or names.index("backends") > names.index("tensorboard"):
            was = given.get("tensorboard")
            given["tensorboard"] = ({} if was is None else was) if "tensorboard" in before else None
        return given

    @field_validator("extra")
    @classmethod
    def _each_once(cls, trackers: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in trackers if trackers.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice; name every tracker once")
        return trackers
