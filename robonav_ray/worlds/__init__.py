"""The simulator: many worlds as arrays over (world, robot), stepped by serial Numba kernels.

Consumes: actions (lanes,), a level per world.
Produces: observations, rewards, endings, episode sums.
Waits for: nothing.

Importing this package registers ``robonav_ray/Nav-v0``, ``robonav_ray/NavGoal-v0`` and ``robonav_ray/BitFlip-v0`` with
Gymnasium and does nothing else; the parts are in ``batched.py`` (the plain class), ``vector_env.py``, ``gym_env.py``,
``goal_env.py``, ``goal_vector.py``, ``parallel_env.py`` (faces) and ``make.py`` (from the config).
"""

import gymnasium as _gym

ENV_ID = "robonav_ray/Nav-v0"
GOAL_ENV_ID = "robonav_ray/NavGoal-v0"
BIT_FLIP_ID = "robonav_ray/BitFlip-v0"

if ENV_ID not in _gym.registry:
    _gym.register(
        ENV_ID,
        entry_point="robonav_ray.worlds.gym_env:NavEnv",
        vector_entry_point="robonav_ray.worlds.vector_env:NavVectorEnv",
        order_enforce=False,
    )

if GOAL_ENV_ID not in _gym.registry:
    _gym.register(GOAL_ENV_ID, entry_point="robonav_ray.worlds.goal_env:NavGoalEnv", order_enforce=False)

if BIT_FLIP_ID not in _gym.registry:
    _gym.register(
        BIT_FLIP_ID,
        entry_point="robonav_ray.worlds.bit_flip:BitFlipEnv",
        vector_entry_point="robonav_ray.worlds.bit_flip:BitFlipVectorEnv",
        order_enforce=False,
        disable_env_checker=True,
    )
