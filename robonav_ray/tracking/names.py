"""Names of metrics outside of this process."""

from __future__ import annotations

import re


def gauge_name(metric: str) -> str:
    """Return the Prometheus name of a metric: ``learner/td_error_mean`` -> ``robonav_learner_td_error_mean``; Ray adds
    ``ray_``.
    """
    return "robonav_" + re.sub(r"[^A-Za-z0-9_]", "_", metric)
