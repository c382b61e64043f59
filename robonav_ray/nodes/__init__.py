"""The Ray cluster as it is found or started: probed, authenticated, planned, watched over and cleaned up.

Consumes: an address, resources of nodes.
Produces: a connection, placements.
Waits for: an answer of the cluster (bounded).
"""
