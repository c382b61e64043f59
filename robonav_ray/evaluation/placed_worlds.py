"""Worlds that begin as they would for another body: robots of two sizes meet the same ones.

Starts, obstacles and goals are drawn clear of the robot's disc, and tours so short that its greatest speed will do.
Drawn for each body separately, the worlds of two bodies would differ from the first start on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.step import observe_world
from robonav_ray.worlds.redrawn import RedrawnVectorEnv


class Body(NamedTuple):
    """What of a robot has a part in how worlds are drawn."""

    radius_m: float
    max_speed: float


class PlacedWorlds(RedrawnVectorEnv):
    """As RedrawnVectorEnv, of whose episodes only the first one counts: it begins where it would for another body."""

    def __init__(self, num_envs: int, placed_for: Body, **options: Any) -> None:
        """``options`` are those of RedrawnVectorEnv."""
        super().__init__(num_envs, **options)
        self._placed_for = placed_for

    def reset(self, **given: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all worlds; what the robot sees then is what its own body sees from there."""
        worlds = self.worlds
        const = worlds.params.const
        own = const[0, [lay.RADIUS, lay.MAX_SPEED]].copy()
        const[:, [lay.RADIUS, lay.MAX_SPEED]] = self._placed_for
        try:
            super().reset(**given)
        finally:
            const[:, [lay.RADIUS, lay.MAX_SPEED]] = own
        worlds.state.robot[..., [lay.OWN_RADIUS, lay.OWN_SPEED]] = own
        thinner = np.float32(self._placed_for.radius_m) - own[0]
        worlds.state.tally[:, :, lay.T_CLEARANCE] += thinner
        worlds.state.robot[:, :, lay.CLEARANCE] += thinner
        everyone = np.ones(self.num_envs, np.bool_)
        for w in range(worlds.num_worlds):
            observe_world(worlds.state, worlds.params, worlds._scratch, w, everyone, worlds.out.obs)
        return (worlds.out.obs.copy() if self.copy else worlds.out.obs), {}
