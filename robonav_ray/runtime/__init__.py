"""The only place where rooms meet: the wirings, the controller, checkpoints and the cluster.

Consumes: a RunConfig.
Produces: a run directory.
Waits for: the curriculum, the budget, or a signal.
"""
