"""Where metrics go and how often."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from robonav_ray.config.base import Section


class TrackingConfig(Section):
    """Backends are written by the driver; nothing in the hot loops waits for them."""

    backends: tuple[Literal["jsonl", "tensorboard"], ...] = ("jsonl", "tensorboard")
    """Which trackers to open."""
    interval_s: float = Field(default=2.0, gt=0.0)
    """Seconds between two logged points."""
    prometheus: bool = True
    """Also export as Ray metrics ``ray_robonav_...``, where the wiring runs on Ray: every node serves them for Prometheus at its
    ``MetricsExportPort`` (``ray start --metrics-export-port`` fixes it), with or without the dashboard."""
    panel: Literal["auto", "live", "plain", "off"] = "auto"
    """``auto``: a live panel in a terminal, plain lines otherwise."""

    @field_validator("backends")
    @classmethod
    def _each_once(cls, backends: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in backends if backends.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice; name every backend once")
        return backends
