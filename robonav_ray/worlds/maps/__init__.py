"""Floor plans: read or made, turned into what kernels look up, and kept by content.

Consumes: map files as map_server writes them, or a generator's parameters.
Produces: an ``Atlas`` per batch of worlds: where walls are, how far, and the way from everywhere to every goal.
Waits for: nothing.
"""
