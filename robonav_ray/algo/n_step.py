"""Folding single steps of many lanes into n-step transitions, across episode ends, truncation and fragment boundaries.

A lane is one stream of (obs, action, reward): a world, or one robot of it. Rows are written straight into the arrays
that travel.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.compiled import njit
from robonav_ray.ranges import MAX_FLOAT32, MAX_VERSION, check_numbers, like


@njit()
def _emit(
    row: int,
    lane: int,
    first: int,
    length: int,
    next_obs: np.ndarray,
    next_q: float,
    terminated: bool,
    gamma: float,
    ring_obs: np.ndarray,
    ring_action: np.ndarray,
    ring_reward: np.ndarray,
    ring_q: np.ndarray,
    ring_version: np.ndarray,
    out_obs: np.ndarray,
    out_action: np.ndarray,
    out_reward: np.ndarray,
    out_next_obs: np.ndarray,
    out_discount: np.ndarray,
    out_version: np.ndarray,
    out_priority: np.ndarray,
) -> None:
    """Write the window of ``length`` steps that starts at ring slot ``first`` as row ``row``."""
    n_step = ring_reward.shape[1]
    total, factor, slot = 0.0, 1.0, first
    for _ in range(length):
        total += factor * ring_reward[lane, slot]
        factor *= gamma
        slot = slot + 1 if slot + 1 < n_step else 0
    discount = 0.0 if terminated else factor
    bootstrap = 0.0 if terminated else factor * next_q
    for d in range(next_obs.shape[0]):
        out_obs[row, d] = ring_obs[lane, first, d]
        out_next_obs[row, d] = next_obs[d]
    out_action[row] = ring_action[lane, first]
    out_reward[row] = total
    out_discount[row] = discount
    out_version[row] = ring_version[lane, first]
    out_priority[row] = abs(total + bootstrap - ring_q[lane, first])


@njit()
def _push(
    obs: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    q_taken: np.ndarray,
    q_max: np.ndarray,
    final_obs: np.ndarray,
    final_q_max: np.ndarray,
    active: np.ndarray,
    policy_version: int,
    gamma: float,
    start: np.ndarray,
    count: np.ndarray,
    ring_obs: np.ndarray,
    ring_action: np.ndarray,
    ring_reward: np.ndarray,
    ring_q: np.ndarray,
    ring_version: np.ndarray,
    out_obs: np.ndarray,
    out_action: np.ndarray,
    out_reward: np.ndarray,
    out_next_obs: np.ndarray,
    out_discount: np.ndarray,
    out_version: np.ndarray,
    out_priority: np.ndarray,
    row: int,
) -> int:
    """Fold one vector step; return the next free row. See ``NStepFolder.push``."""
    n_step = ring_reward.shape[1]
    for lane in range(obs.shape[0]):
        if not active[lane]:
            continue
        if count[lane] == n_step:
            _emit(
                row, lane, start[lane], n_step, obs[lane], q_max[lane], False, gamma,
                ring_obs, ring_action, ring_reward, ring_q, ring_version,
                out_obs, out_action, out_reward, out_next_obs, out_discount, out_version, out_priority,
            )  # fmt: skip
            row += 1
            start[lane] = start[lane] + 1 if start[lane] + 1 < n_step else 0
            count[lane] -= 1
        slot = (start[lane] + count[lane]) % n_step
        for d in range(obs.shape[1]):
            ring_obs[lane, slot, d] = obs[lane, d]
        ring_action[lane, slot] = action[lane]
        ring_reward[lane, slot] = reward[lane]
        ring_q[lane, slot] = q_taken[lane]
        ring_version[lane, slot] = policy_version
        count[lane] += 1
        if terminated[lane] or truncated[lane]:
            while count[lane] > 0:
                _emit(
                    row, lane, start[lane], count[lane], final_obs[lane], final_q_max[lane], terminated[lane], gamma,
                    ring_obs, ring_action, ring_reward, ring_q, ring_version,
                    out_obs, out_action, out_reward, out_next_obs, out_discount, out_version, out_priority,
                )  # fmt: skip
                row += 1
                start[lane] = start[lane] + 1 if start[lane] + 1 < n_step else 0
                count[lane] -= 1
            start[lane] = 0
    return row


class NStepFolder:
    """n-step windows of ``num_lanes`` lanes, kept from one vector step to the next (and from one fragment to the next).

    A window is written when its last reward *and* the Q values of the observation after it are known: one vector step
    later, or at once where an episode ends. So every env step becomes exactly one row, windows at an episode's end are
    shorter, and the initial priority |R + discount * max_a Q(s') - Q(s, a)| costs no forward pass beyond that of the
    final observations of truncated episodes.
    """

    def __init__(self, num_lanes: int, obs_dim: int, n_step: int, gamma: float, num_actions: int = MAX_VERSION) -> None:
        """Start with no steps; ``num_actions`` is what a saved state is held against."""
        if num_lanes < 1 or obs_dim < 1 or n_step < 1:
            raise ValueError(f"num_lanes ({num_lanes}), obs_dim ({obs_dim}) and n_step ({n_step}) must be at least 1")
        self.num_lanes, self.obs_dim, self.n_step, self.gamma = num_lanes, obs_dim, n_step, gamma
        self._start = np.zeros(num_lanes, np.int64)
        self._count = np.zeros(num_lanes, np.int64)
        self._obs = np.zeros((num_lanes, n_step, obs_dim), np.float32)
        self._action = np.zeros((num_lanes, n_step), np.int32)
        self._reward = np.zeros((num_lanes, n_step), np.float32)
        self._q_taken = np.zeros((num_lanes, n_step), np.float32)
        self._version = np.zeros((num_lanes, n_step), np.int32)
        self._all_active = np.ones(num_lanes, np.bool_)
        self._num_actions = num_actions

    @property
    def num_waiting(self) -> int:
        """Steps that were pushed and are not yet the start of a written row."""
        return int(self._count.sum())

    def max_rows(self, num_steps: int) -> int:
        """Return how many rows ``num_steps`` pushes can write at most; allocate at least this much."""
        return self.num_lanes * (num_steps + self.n_step)

    def push(
        self,
        obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        q_taken: np.ndarray,
        q_max: np.ndarray,
        final_obs: np.ndarray,
        final_q_max: np.ndarray,
        policy_version: int,
        columns: tuple[np.ndarray, ...],
        priority: np.ndarray,
        row: int,
        active: np.ndarray | None = None,
    ) -> int:
        """Fold one vector step of a SAME_STEP vector environment and return the next free row.

        Args:
            obs: (L, D) float32: what the actions were chosen on.
            action: (L,) int32.
            reward: (L,) float32.
            terminated: (L,) bool; wins over ``truncated``.
            truncated: (L,) bool.
            q_taken: (L,) float32: Q(obs, action).
            q_max: (L,) float32: max_a Q(obs, a).
            final_obs: (L, D) float32: last observation of the episodes that end in this step; other rows are not read.
            final_q_max: (L,) float32: max_a Q(final_obs, a) where truncated and not terminated; other entries are not
                used.
            policy_version: Version of the weights that chose the actions.
            columns: Those of ``TransitionSpec.for_discrete``, in its order; written from ``row`` on.
            priority: (rows,) float32, written likewise.
            row: First free row; ``max_rows`` says how much room is needed.
            active: (L,) bool; lanes that are False did not step (their other entries are not read). None means all.

        Raises:
            ValueError: When the rows left could be too few; nothing is changed then.
        """
        room = len(priority) - row
        if room < self.max_rows(1) and room < self.num_waiting + self.num_lanes:
            raise ValueError(
                f"{room} rows are left, {self.num_waiting + self.num_lanes} may be written; allocate "
                "max_rows(num_steps)"
            )
        out_obs, out_action, out_reward, out_next_obs, out_discount, out_version = columns
        return _push(
            obs, action, reward, terminated, truncated, q_taken, q_max, final_obs, final_q_max,
            self._all_active if active is None else active, policy_version, self.gamma,
            self._start, self._count, self._obs, self._action, self._reward, self._q_taken, self._version,
            out_obs, out_action, out_reward, out_next_obs, out_discount, out_version, priority, row,
        )  # fmt: skip

    def clear(self, lanes: np.ndarray) -> None:
        """Forget the open windows of ``lanes`` (L,) bool: their episodes were cut off from outside."""
        self._count[lanes] = 0
        self._start[lanes] = 0

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of everything that is kept between steps."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore what ``state_dict`` returned; ValueError, and nothing changed, when names, shapes or dtypes differ or
        a range is left.
        """
        arrays = self._arrays()
        ranges = {
            "start": (0, self.n_step - 1),
            "count": (0, self.n_step),
            "action": (0, self._num_actions - 1),
            "policy_version": (0, MAX_VERSION),
        }
        finite = (-MAX_FLOAT32, MAX_FLOAT32)
        check_numbers(
            "n-step windows", state, {name: like(array, *ranges.get(name, finite)) for name, array in arrays.items()}
        )
        for name, array in arrays.items():
            array[...] = state[name]

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "start": self._start,
            "count": self._count,
            "obs": self._obs,
            "action": self._action,
            "reward": self._reward,
            "q_taken": self._q_taken,
            "policy_version": self._version,
        }
