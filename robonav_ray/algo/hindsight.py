"""Hindsight experience replay (Andrychowicz et al. 2017): which goals stand in, and n-step returns under them.

An episode of T steps has T + 1 observations and achieved goals, numbered 0..T; step t leads from observation t to t +
1. Everything here is a function of the episode and of (key, world, step), so that who relabels, and when, changes
nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robonav_ray.compiled import njit
from robonav_ray.counter_rng import derive_key, uniform01
from robonav_ray.interfaces import GoalFunctions

FINAL, FUTURE, EPISODE = 0, 1, 2
STRATEGIES = {"final": FINAL, "future": FUTURE, "episode": EPISODE}


class Steps(NamedTuple):
    """Finished episodes laid end to end: S steps, and one more entry per episode for what came last."""

    obs: np.ndarray
    """(S + E, D) float32."""
    achieved_goal: np.ndarray
    """(S + E, G) float32: achieved when the observation was made."""
    action: np.ndarray
    """(S + E,) int32; the last entry of an episode is not used, here and below."""
    policy_version: np.ndarray
    """(S + E,) int32."""
    info: dict[str, np.ndarray]
    """Name -> (S + E,): what the environment told about the step, see ``interfaces.StepInfo``."""


class Rows(NamedTuple):
    """R transitions that shall be relabelled, one per goal; all (R,) int64."""

    at: np.ndarray
    """Entry in ``Steps`` at which the window begins."""
    last: np.ndarray
    """Entry of the episode's last observation; ``at < last``."""
    goal: np.ndarray
    """Entry whose achieved goal becomes the desired one."""


class Relabelled(NamedTuple):
    """R transitions under their new goals, (R, ...) each."""

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_obs: np.ndarray
    discount: np.ndarray
    policy_version: np.ndarray


@njit()
def choose_goals(
    strategy: int, key: np.uint64, world: int, world_step: int, first: int, last: int, at: np.ndarray, num_goals: int
) -> np.ndarray:
    """Return the (len(at) * num_goals,) int64 entries whose achieved goals stand in for the desired one (section 4.5).

    ``future``: uniform among what was achieved after step ``at``; ``episode``: uniform among all that was achieved
    after a step; ``final``: what was achieved last. Goal j of a step is draw ``s * num_goals + j`` of the stream (key,
    world), where s counts the steps that the world has made in the run.

    Args:
        strategy: ``FINAL``, ``FUTURE`` or ``EPISODE``.
        key: Of all goals of the run.
        world: Global index of the world.
        world_step: Step of the world at which the episode's entry ``first`` was made.
        first: Entry of the first observation.
        last: Entry of the last one.
        at: (N,) int64 entries, ``first <= at < last``.
        num_goals: k.
    """
    out = np.empty(len(at) * num_goals, np.int64)
    stream = derive_key(key, world)
    for i in range(len(at)):
        begin = first if strategy == EPISODE else at[i]
        draw = (world_step + at[i] - first) * num_goals
        for j in range(num_goals):
            if strategy == FINAL:
                out[i * num_goals + j] = last
            else:
                out[i * num_goals + j] = (
                    begin + 1 + min(int(uniform01(stream, draw + j) * (last - begin)), last - begin - 1)
                )
    return out


@njit()
def fold_windows(
    reward: np.ndarray, terminated: np.ndarray, room: np.ndarray, gamma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return n-step return (R,) float32, discount (R,) float32 and length (R,) int64 of windows (R, n).

    A window ends after n steps, where the episode does (``room`` (R,) steps are left), or with the first step that
    terminates under its goal, whichever is first: later rewards do not count, and the discount is then 0.
    """
    num_rows, n_step = reward.shape
    total, discount, length = (
        np.empty(num_rows, np.float32),
        np.empty(num_rows, np.float32),
        np.empty(num_rows, np.int64),
    )
    for r in range(num_rows):
        paid, factor, steps, ended = 0.0, 1.0, 0, False
        while steps < n_step and steps < room[r] and not ended:
            paid += factor * reward[r, steps]
            factor *= gamma
            ended = terminated[r, steps]
            steps += 1
        total[r], discount[r], length[r] = paid, 0.0 if ended else factor, steps
    return total, discount, length


def relabel(
    steps: Steps, rows: Rows, goals: GoalFunctions, n_step: int, gamma: float, reward_scale: float
) -> Relabelled:
    """Return the n-step transitions that begin at ``rows.at``, as they are when ``rows.goal`` was desired all along."""
    desired = steps.achieved_goal[rows.goal]
    after = np.minimum(rows.at[:, None] + np.arange(1, n_step + 1), rows.last[:, None])  # (R, n)
    flat = after.ravel()
    achieved, wanted = steps.achieved_goal[flat], np.repeat(desired, n_step, axis=0)
    info = {name: array[flat - 1] for name, array in steps.info.items()}
    reward = (goals.reward(achieved, wanted, info) * reward_scale).astype(np.float32).reshape(after.shape)
    terminated = goals.terminated(achieved, wanted, info).reshape(after.shape)
    total, discount, length = fold_windows(reward, terminated, rows.last - rows.at, gamma)
    end = rows.at + length
    return Relabelled(
        obs=_with_goal(steps, rows.at, desired, goals),
        action=steps.action[rows.at],
        reward=total,
        next_obs=_with_goal(steps, end, desired, goals),
        discount=discount,
        policy_version=steps.policy_version[rows.at],
    )


def _with_goal(steps: Steps, at: np.ndarray, desired: np.ndarray, goals: GoalFunctions) -> np.ndarray:
    """Return the observations (R, D) of entries ``at`` with the features of the goals ``desired`` (R, G)."""
    obs = steps.obs[at]
    obs[:, goals.columns] = goals.goal_features(steps.achieved_goal[at], desired)
    return obs
