"""Worlds and a policy make transitions.

Consumes: Assignment (with the Opponents of a league), PolicySnapshot.
Produces: Fragment, EpisodeResults.
Waits for: room in the replay (the pacing ledger).
"""
