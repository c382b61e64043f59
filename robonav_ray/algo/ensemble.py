"""Several policies that act as one: by the mean of their Q values, or by a vote.

Members may have different algorithms; what they see and can do is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from robonav_ray.algo.policy import Policy
from robonav_ray.records import PolicySnapshot

How = Literal["mean", "vote"]
"""``mean``: the action whose mean Q is greatest. ``vote``: the one that most members choose; of equal ones that whose
mean Q is greatest."""
HOWS: tuple[How, ...] = get_args(How)


class EnsemblePolicy(Policy):
    """Acts for its members, whose weights it never changes."""

    def __init__(self, members: Sequence[Policy], how: How, scales: Sequence[float]) -> None:
        """``scales`` is what each member's Q is multiplied with before the mean is taken: rewards may be scaled
        differently.
        """
        first = members[0]
        self.obs_dim, self.num_actions = first.obs_dim, first.num_actions
        self.how, self._members = how, tuple(members)
        self._scales = tuple(np.float32(scale) for scale in scales)
        self._noise = None
        self._version = max(member.version for member in members)

    def takes(self, obs_dim: int) -> bool:
        """Whether all members do."""
        return all(member.takes(obs_dim) for member in self._members)

    def load(self, snapshot: PolicySnapshot) -> None:
        """Raise ValueError: an ensemble's weights are those of its members."""
        raise ValueError("an ensemble takes no weights: they are those of its members")

    def resample_noise(self, key: np.uint64, step: int) -> None:
        """Do nothing: members act with their means."""
        del key, step

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """Return the mean of the members' Q (B, A) float32, in units of the first one's rewards; also where they
        vote.
        """
        return self._mean(self._values(obs))

    def representation(self, obs: np.ndarray) -> np.ndarray:
        """Return the Q values: the members have no layer in common."""
        return self.q_values(obs)

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Return the action (B,) int32 of the mean, or of the vote; what is still equal goes to the lowest index."""
        values = self._values(obs)
        mean = self._mean(values)
        if self.how == "mean":
            return mean.argmax(axis=1).astype(np.int32)
        rows, votes = np.arange(len(mean)), np.zeros(mean.shape, np.int32)
        for value in values:
            votes[rows, value.argmax(axis=1)] += 1
        leads = votes == votes.max(axis=1, keepdims=True)
        return np.where(leads, mean, -np.inf).argmax(axis=1).astype(np.int32)

    def _values(self, obs: np.ndarray) -> list[np.ndarray]:
        return [member.q_values(obs) * scale for member, scale in zip(self._members, self._scales, strict=True)]

    def _mean(self, values: Sequence[np.ndarray]) -> np.ndarray:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total / np.float32(len(values))
