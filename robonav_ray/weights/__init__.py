"""The newest weights, by version, for every process that acts.

Consumes: PolicySnapshot from the learner.
Produces: PolicySnapshot for a process that holds an older one.
Waits for: nothing.
"""
