"""The simulator: many worlds as arrays over (world, robot), stepped by serial Numba kernels.

Consumes: actions (lanes,), a level per world. Produces: observations, rewards, endings, episode sums. Waits for: nothing.
"""
