"""What an environment that is not ours shows while it is trained in: its own numbers as metrics, and episodes that
never end.
"""

from __future__ import annotations

import logging
from collections import deque

from robonav_ray.records import Metrics
from robonav_ray.rollout.env_numbers import MAX_NAMES, NumberSums
from robonav_ray.rollout.rollout_stats import RolloutStats

logger = logging.getLogger(__name__)
WINDOW = 100
"""Episodes, at least, over which a mean goes."""


class EnvWatch:
    """What the environment tells, from all workers: means over the last ``WINDOW`` episodes or a little more, and what
    is wrong.
    """

    def __init__(self, max_episode_steps: int) -> None:
        """An episode that goes on beyond ``max_episode_steps`` is said."""
        self._max_episode_steps = max_episode_steps
        self._parts: dict[str, deque[tuple[float, int]]] = {}
        self._num_dropped = 0
        self.message = ""
        """What a person should know of now."""
        self._has_told = False

    def add(self, news: RolloutStats) -> None:
        """Take what came with new fragments; what is wrong is logged the first time."""
        self._take(news.told)
        if news.fragments:
            self._look_at(news.longest_episode)

    def _look_at(self, longest: int) -> None:
        self.message = ""
        if longest <= self._max_episode_steps:
            return
        self.message = (
            f"an episode has not ended for {longest:,} env steps: a gate hears of episodes when they end, and waits "
            "for those that began earlier, so it may never open; env.kwargs.max_episode_steps=N has Gymnasium end them"
        )
        if not self._has_told:
            self._has_told = True
            logger.warning("%s", self.message)

    def _take(self, told: NumberSums) -> None:
        for name, part in told.sums.items():
            if name not in self._parts and len(self._parts) >= MAX_NAMES:
                self._num_dropped += part[1]
                continue
            parts = self._parts.setdefault(name, deque())
            parts.append(part)
            while sum(num for _, num in parts) - parts[0][1] >= WINDOW:
                parts.popleft()
        if told.num_dropped and not self._num_dropped:
            logger.warning(
                "info of the environment: %s told at the end of an episode can be no metrics, and are dropped "
                "(rollout/info_dropped counts them): finite numbers are taken, %d names at most, each of at most 64 "
                "letters, digits and _ . / -",
                ", ".join(map(repr, told.dropped)), MAX_NAMES,
            )  # fmt: skip
        self._num_dropped += told.num_dropped

    def metrics(self) -> Metrics:
        """Return ``info/NAME`` for each name, and ``rollout/info_dropped`` where something was."""
        means = {
            f"info/{name}": sum(total for total, _ in parts) / max(1, sum(num for _, num in parts))
            for name, parts in self._parts.items()
        }
        return means | ({"rollout/info_dropped": float(self._num_dropped)} if self._num_dropped else {})
