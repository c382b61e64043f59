"""Acting in a worker: which policy chooses the action of each lane, and how greedily.

Where worlds are shared with other policies, the lanes are grouped by policy: a batch costs one product per policy, and
a lane's action has the same bits whichever others are in the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robonav_ray.algo.exploration import epsilon_greedy, exploration_key, ladder_epsilon
from robonav_ray.algo.policy import Policy
from robonav_ray.interfaces import WeightSource
from robonav_ray.records import PolicySnapshot
from robonav_ray.rollout.partners import Partners


class Choice(NamedTuple):
    """What was chosen for one vector step; the arrays belong to ``Acting`` and are overwritten by its next choice."""

    action: np.ndarray
    """(L,) int32."""
    q_taken: np.ndarray
    """(L,) float32: Q of the chosen action."""
    q_max: np.ndarray
    """(L,) float32: max_a Q."""


class Acting:
    """The newest policy, those of the partners, and the exploration of each lane."""

    def __init__(
        self,
        policy: Policy,
        weights: WeightSource,
        seed: int,
        world_index: np.ndarray,
        num_lanes_total: int,
        ladder_exponent: float,
        partners: Partners | None = None,
    ) -> None:
        """Act with ``policy`` as it is, until newer weights are found.

        Args:
            policy: Acts.
            weights: Has the newest policy.
            seed: Of the exploration noise, together with each lane's global index.
            world_index: (L,) int64 global indices of the lanes.
            num_lanes_total: Lanes over all workers (the length of the ladder of epsilons).
            ladder_exponent: Of the ladder.
            partners: Who acts in each lane; None: the newest policy in all.
        """
        self.policy, self._weights, self._partners = policy, weights, partners
        self._key = exploration_key(seed)
        self._world_index, self._num_lanes_total = world_index, num_lanes_total
        self._ladder_exponent = ladder_exponent
        num_lanes = len(world_index)
        self.step_count = np.zeros(num_lanes, np.int64)
        """(L,) int64: steps that each lane has made in the run; ``advance`` counts them."""
        self._choice = Choice(
            np.zeros(num_lanes, np.int32), np.zeros(num_lanes, np.float32), np.zeros(num_lanes, np.float32)
        )

    def use(self, snapshot: PolicySnapshot) -> None:
        """Act with ``snapshot`` from now on."""
        self.policy.load(snapshot)

    def look_for_newer(self) -> int:
        """Take newer weights, if there are any; return how many versions the policy was behind."""
        snapshot = self._weights.newer_than(self.policy.version)
        if snapshot is None:
            return 0
        lag = snapshot.version - self.policy.version
        self.policy.load(snapshot)
        return lag

    def epsilon_of_lanes(self, stage_epsilon: float) -> np.ndarray:
        """Return each lane's epsilon (L,) float64 under the stage's."""
        return ladder_epsilon(stage_epsilon, self._world_index, self._num_lanes_total, self._ladder_exponent)

    def choose(self, obs: np.ndarray, epsilon: np.ndarray, active: np.ndarray | None = None) -> Choice:
        """Return an action per lane for ``obs`` (L, D) float32, epsilon-greedy with ``epsilon`` (L,) float64.

        Partners act greedily; the action of a lane that the environment drives is 0. Of lanes that are not ``active``
        (L,) bool, None for all, the Q values are not computed: what they do is not looked at.
        """
        self.policy.resample_noise(self._key, int(self.step_count[0]))
        if self._partners is not None:
            q = self._q_values_by_group(obs, self._partners, active)
        elif active is None:
            q = self.policy.q_values(obs)
        else:
            q = np.zeros((len(obs), self.policy.num_actions), np.float32)
            q[active] = self.policy.q_values(obs[active])
        if self._partners is not None:
            epsilon = np.where(self._partners.learns, epsilon, 0.0)
        epsilon_greedy(q, epsilon, self._key, self._world_index, self.step_count, *self._choice)
        return self._choice

    def _q_values_by_group(self, obs: np.ndarray, partners: Partners, active: np.ndarray | None) -> np.ndarray:
        q = np.zeros((len(obs), self.policy.num_actions), np.float32)
        for policy, lanes in partners.groups:
            those = lanes if active is None else lanes[active[lanes]]
            q[those] = (policy or self.policy).q_values(obs[those])
        return q

    def advance(self) -> None:
        """All lanes have made one step more."""
        self.step_count += 1

    def values(self, obs: np.ndarray) -> np.ndarray:
        """Return max_a Q (B,) float32 of ``obs`` (B, D) under the newest policy."""
        return self.policy.q_values(np.ascontiguousarray(obs)).max(axis=1)
