"""Which spaces are supported, and what helps where one is not."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from robonav_ray.errors import UserError
from robonav_ray.worlds.goal_vector import GOAL_KEYS, flat_goal_space

_HOW = "docs/your_environment.md shows how to register an environment with a wrapper"


def check_spaces(env_id: str, observation: gym.Space[Any], action: gym.Space[Any]) -> None:
    """UserError, naming the wrapper that helps, unless a policy of ours can see the one and choose from the other."""
    if isinstance(observation, spaces.Dict) and set(GOAL_KEYS) == set(observation.keys()):
        flat_goal_space(env_id, observation)
    elif not isinstance(observation, spaces.Box) or len(observation.shape) != 1:
        raise UserError(
            f"env.id={env_id!r} has observation space {_short(observation)}; supported is a flat Box (one axis), or "
            f"the Dict of a goal-env ({', '.join(GOAL_KEYS)}). {_flattened(observation)}; {_HOW}"
        )
    elif not observation.shape[0]:
        raise UserError(
            f"env.id={env_id!r} has observation space {observation}, which holds no number that a policy could go by"
        )
    if not isinstance(action, spaces.Discrete):
        raise UserError(
            f"env.id={env_id!r} has action space {_short(action)}; supported is Discrete(n). {_discretized(action)}; "
            f"{_HOW}"
        )


def seen_space(observation: gym.Space[Any]) -> gym.Space[Any]:
    """Return the space of what a policy is given: a Box of float32 in place of a Box of any other numbers."""
    if not isinstance(observation, spaces.Box) or observation.dtype == np.float32:
        return observation
    return spaces.Box(observation.low.astype(np.float32), observation.high.astype(np.float32), dtype=np.float32)


def _flattened(space: gym.Space[Any]) -> str:
    if isinstance(space, spaces.Dict) and set(GOAL_KEYS) < set(space.keys()):
        return f"gymnasium.wrappers.FilterObservation(env, {list(GOAL_KEYS)}) leaves these three"
    try:
        flat = spaces.flatten_space(space)
    except (NotImplementedError, ValueError, TypeError):
        flat = None
    if not isinstance(flat, spaces.Box):
        return "An ObservationWrapper of your own has to turn what it returns into a fixed number of numbers"
    image = len(space.shape or ()) == 3
    smaller = (
        " (first gymnasium.wrappers.ResizeObservation and GrayscaleObservation make a picture small)" if image else ""
    )
    return f"gymnasium.wrappers.FlattenObservation makes it a flat Box of {flat.shape[0]:,} numbers{smaller}"


def _discretized(space: gym.Space[Any]) -> str:
    if isinstance(space, spaces.Box):
        return (
            f"gymnasium.wrappers.DiscretizeAction(env, bins=5) makes it Discrete({5 ** int(np.prod(space.shape)):,})"
            if len(space.shape) == 1 and space.is_bounded()
            else "gymnasium.wrappers.TransformAction has to map the numbers of a Discrete(n) to it"
        )
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        counts = space.nvec if isinstance(space, spaces.MultiDiscrete) else np.full(space.shape, 2)
        counts = [int(n) for n in counts.ravel()]
        return (
            f"gymnasium.wrappers.TransformAction(env, lambda a: np.array(np.unravel_index(a, {tuple(counts)})), "
            f"Discrete({int(np.prod(counts, dtype=object)):,})) numbers its combinations"
        )
    return "gymnasium.wrappers.TransformAction has to map the numbers of a Discrete(n) to it"


def _short(space: gym.Space[Any]) -> str:
    text = str(space)
    return text if len(text) <= 200 else f"{text[:200]}..."
