"""``robonav_ray.load_policy``: the policy of a run, ready to act."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robonav_ray.algo.policy import Policy
from robonav_ray.errors import UserError
from robonav_ray.registry.ensembles import open_acting
from robonav_ray.runs.checkpoint_index import Which, checked_which


@dataclass(frozen=True)
class StoredPolicy:
    """A trained policy that acts on observations; it is whole in memory, and no file is read any more."""

    run: str
    """The run, as it was named."""
    env_id: str
    """Gymnasium's name of the environment that it was trained in."""
    env_steps: int
    """Env steps of training behind it."""
    _policy: Policy = field(repr=False)

    @property
    def obs_dim(self) -> int:
        """Numbers in an observation."""
        return self._policy.obs_dim

    @property
    def num_actions(self) -> int:
        """Actions to choose from; they are 0 to ``num_actions`` - 1."""
        return self._policy.num_actions

    def act(self, obs: npt.NDArray[np.float32]) -> int | npt.NDArray[np.int32]:
        """Return the greedy action: of the highest Q value, the lowest number where several have it.

        Args:
            obs: One observation (D,) float32, or N of them (N, D), as the environment gives them.

        Returns:
            An ``int`` for one observation, (N,) int32 for N.

        Raises:
            UserError: For another shape or dtype, and for NaN or infinity.
        """
        rows = self._checked(obs)
        actions = self._policy.greedy(rows.reshape(-1, self.obs_dim))
        return int(actions[0]) if rows.ndim == 1 else actions

    def q_values(self, obs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the Q value of every action: (A,) float32 of one observation (D,) float32, (N, A) of N of them.

        Raises:
            UserError: As for ``act``.
        """
        rows = self._checked(obs)
        values = self._policy.q_values(rows.reshape(-1, self.obs_dim))
        return values[0] if rows.ndim == 1 else values

    def _checked(self, obs: Any) -> npt.NDArray[np.float32]:
        if not isinstance(obs, np.ndarray):
            raise UserError(
                f"obs is {type(obs).__name__}; give a NumPy array of float32, (D,) or (N, D) with D={self.obs_dim}"
            )
        if obs.dtype != np.float32:
            raise UserError(f"obs has dtype {obs.dtype}; the policy takes float32 (obs.astype(np.float32))")
        if obs.ndim not in (1, 2) or obs.shape[-1] != self.obs_dim:
            raise UserError(f"obs has shape {obs.shape}; the policy takes ({self.obs_dim},) or (N, {self.obs_dim})")
        if not np.isfinite(obs).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(obs))[0])
            raise UserError(f"obs holds {obs[place]} at {list(place)}; the policy takes finite numbers")
        return obs


def load_policy(run: str | Path, *, checkpoint: Which | None = None) -> StoredPolicy:
    """Return the policy of a run, a checkpoint, or either in a storage; it acts without torch and without Ray.

    ::

        policy = robonav_ray.load_policy("runs/curriculum-20261122-181500")
        obs = np.zeros(policy.obs_dim, np.float32)
        action = policy.act(obs)                      # int
        values = policy.q_values(obs[None])           # (1, A) float32

    Args:
        run: Directory of a run or of one checkpoint, the URI of either, or a model of the registry
            (``robot_nav@champion``), or an ensemble (``ensemble:runs/a,runs/b``, or its file).
        checkpoint: ``best`` or ``last``, of a run; None takes the best of a run that was judged while it trained, else
            the last whole one.

    Raises:
        UserError: When it is no run, holds no whole checkpoint, is damaged, or its network is one for observations or
            actions of another number than those of its environment; the message says which.
    """
    found = open_acting(str(run), checked_which(checkpoint))
    return StoredPolicy(str(run), found.task.env_id, found.env_steps, found.policy)
