"""A run as it lies on disk: its directory, checkpoints, policies and stored copies, and what to resume; no Ray.

Consumes: a run's directory or URI.
Produces: vetted checkpoints and policies.
Waits for: a run's lock.
"""
