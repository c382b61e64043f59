"""RL mathematics: networks, losses, returns, exploration, batched acting. No I/O, no processes.

Consumes: arrays and tensors handed in by rollout, learner and evaluation.
Produces: Q values, targets, n-step rows, actions.
Waits for: nothing.

``networks``, ``objective`` and the equations that it is made of (``losses``, ``categorical``, ``quantile``,
``munchausen``, ``draws``) need torch and belong to the learner; the others need only NumPy and Numba, so that processes
which act start without torch.
"""
