"""Parts of a run that are the user's own code: looked for before anything is made or started."""

from __future__ import annotations

from robonav_ray.config import RunConfig
from robonav_ray.evaluation.own_metrics import find_metrics
from robonav_ray.tracking.fanout import find_extra


def check_user_code(config: RunConfig) -> None:
    """Raise UserError for the first tracker or metric of the config that is not there, or cannot be imported."""
    find_extra(config.tracking)
    find_metrics(config.evaluation.metrics)
