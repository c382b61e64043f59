"""Says once when the support of a categorical run (c51) is too small for the returns, so that values saturate."""

from __future__ import annotations

import logging

from robonav_ray.config.algo import AlgoConfig
from robonav_ray.records import Metrics

logger = logging.getLogger(__name__)
MOST_BEYOND = 0.2
"""Part of the targets' probability that may lie beyond one end; an even distribution over 51 atoms has a fiftieth in
the outermost."""
LEARNER_STEPS = 200
"""So long it must be beyond before it is said: values overshoot for a moment."""


class SupportWatch:
    """Looks at ``learner/support_below_frac`` and ``learner/support_above_frac`` and warns once for each end."""

    def __init__(self, algo: AlgoConfig) -> None:
        """``algo`` may be of any distribution; only c51 has these metrics."""
        self._algo = algo
        self._since: dict[str, float | None] = {"below": None, "above": None}

    def note(self, metrics: Metrics) -> None:
        """Take one look; figures from before the newest updates may come again."""
        for side, since in list(self._since.items()):
            beyond = metrics.get(f"learner/support_{side}_frac")
            if beyond is None:
                continue
            step = metrics["learner/learner_step"]
            if beyond <= MOST_BEYOND:
                self._since[side] = None
            elif since is None:
                self._since[side] = step
            elif step - since >= LEARNER_STEPS:
                logger.warning("%s", self._text(side, beyond))
                del self._since[side]

    def _text(self, side: str, beyond: float) -> str:
        algo = self._algo
        key, value, word = ("v_min", algo.v_min, "high") if side == "below" else ("v_max", algo.v_max, "low")
        further = value - (algo.v_max - algo.v_min) if side == "below" else value + (algo.v_max - algo.v_min)
        return (
            f"algo.{key} ({value:g}) is too {word}: {beyond:.0%} of the targets' probability lies {side} it, so values "
            f"saturate there. Start a new run with a wider support, for instance algo.{key}={further:g}, or with a "
            "smaller algo.reward_scale: rewards of r in every step are worth r * "
            f"{algo.reward_scale / (1.0 - algo.gamma):.4g} (algo.reward_scale / (1 - algo.gamma))"
        )
