"""Transitions in, batches out: a sharded prioritised replay that samples as if it were one buffer.

Consumes: Fragments from rollout, priorities from the learner.
Produces: ReplaySamples with exact probabilities and importance weights.
Waits for: the ledger (``pacing.py``), which keeps samples per insert; shards themselves never wait.
"""
