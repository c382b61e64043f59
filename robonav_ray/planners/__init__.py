"""Classical navigation behind the same ``act(obs)`` as a policy.

Consumes: observations, or the true state of the worlds (each planner says which).
Produces: actions.
Waits for: nothing.
"""
