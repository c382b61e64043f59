"""Worlds and a policy make transitions.

Consumes: Assignment, PolicySnapshot.
Produces: Fragment, EpisodeResults.
Waits for: room in the replay (the pacing ledger).
"""
