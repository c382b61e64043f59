"""Environments that are not ours: how they are found, which are supported, and the one place where they are called.

Consumes: ``env.id`` and ``env.kwargs``.
Produces: vector environments that keep Gymnasium's promises, or an EnvironmentFailedError that names the line at fault.
Waits for: the environment, as long as it takes.
"""
