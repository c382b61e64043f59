"""Other learners on our worlds, and ours: each a process that trains on one stage and tells its success over time.

Consumes: a stage, a seed, a target success rate, a limit in seconds.
Produces: ``points.jsonl``, one line per evaluation.
Waits for: nothing; ``program`` runs one process at a time.
"""
