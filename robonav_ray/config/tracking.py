"""Where metrics go and how often."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from robonav_ray.config.base import Section


class TrackingConfig(Section):
    """Backends are written by the driver; nothing waits for them but the end of a run, for ``close_timeout_s``."""

    backends: tuple[Literal["jsonl", "tensorboard"], ...] = ("jsonl", "tensorboard")
    """Which trackers to open. With any of them metrics.jsonl is written: what another one misses while it is down or
    slow, it is given again from there."""
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

    @field_validator("backends", "extra")
    @classmethod
    def _each_once(cls, backends: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in backends if backends.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice; name every backend once")
        return backends
