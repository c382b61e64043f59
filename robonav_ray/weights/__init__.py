"""The newest weights, by version, for everyone who acts.

Consumes: PolicySnapshot from the learner. Produces: PolicySnapshot for whoever holds an older one. Waits for: nothing.
"""
