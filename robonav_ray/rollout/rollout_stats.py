"""Sums over fragments, which a worker returns and the runtime makes metrics of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from robonav_ray.rollout.env_numbers import NumberSums
from robonav_ray.rollout.episode_book import LENGTH_EDGES


class RolloutStats(NamedTuple):
    """Sums over one or more fragments."""

    env_steps: int = 0
    rows: int = 0
    fragments: int = 0
    episodes: int = 0
    policy_version: int = -1
    policy_lag: int = 0
    """Versions that the policy was behind when newer weights were last found."""
    fragment_s: float = 0.0
    """Seconds that making a fragment took at most; waiting for leave to insert it is not in it."""
    longest_episode: int = 0
    """Env steps that an episode has gone on for that was running at the end of a fragment, at most."""
    told: NumberSums = NumberSums()
    """Numbers that the environment told of its episodes."""
    length_counts: tuple[int, ...] = (0,) * (len(LENGTH_EDGES) - 1)
    """How many episodes took how many env steps, between ``LENGTH_EDGES``."""

    missing: Mapping[str, str] = {}
    """Members of the league that were to act and could not, and why; the learning policy took their seats."""

    def plus(self, other: RolloutStats) -> RolloutStats:
        """Return the sum; the later version, the larger lag and time."""
        return RolloutStats(
            self.env_steps + other.env_steps,
            self.rows + other.rows,
            self.fragments + other.fragments,
            self.episodes + other.episodes,
            max(self.policy_version, other.policy_version),
            max(self.policy_lag, other.policy_lag),
            max(self.fragment_s, other.fragment_s),
            max(self.longest_episode, other.longest_episode),
            self.told.plus(other.told),
            tuple(mine + theirs for mine, theirs in zip(self.length_counts, other.length_counts, strict=True)),
            {**self.missing, **other.missing},
        )
