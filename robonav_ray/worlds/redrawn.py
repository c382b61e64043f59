"""The same worlds with another course of events: everything is placed alike, and what is drawn later is drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import NavVectorEnv

_LATER = (lay.MOTION_STREAM, lay.SENSOR_STREAM, lay.ACTUATOR_STREAM)


def redraw(stream: np.ndarray, draw: int) -> None:
    """Give the streams (N, NUM_STREAMS, 2) of episodes that have just begun other keys, for what is drawn from now on.

    Start, goals, obstacles and the errors of the body have been drawn and stay; where obstacles turn next, and noise,
    do not. Draw 0 is the episode as it was.
    """
    if draw:
        for row in stream:
            for k in _LATER:
                row[k, 0] = seed_for(int(row[k, 0]), ROLE_EVALUATION, draw)


class RedrawnVectorEnv(NavVectorEnv):
    """Worlds whose episodes that ``reset`` begins are those of one draw; give it AutoresetMode.DISABLED."""

    def __init__(self, num_envs: int, *, draw: int, **given: Any) -> None:
        """``given`` as for ``NavVectorEnv``."""
        super().__init__(num_envs, **given)
        self.draw = draw

    def reset(self, **given: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """As ``NavVectorEnv``."""
        obs, info = super().reset(**given)
        redraw(self.worlds.state.stream, self.draw)
        return obs, info
