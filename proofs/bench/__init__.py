"""One part of robonav_ray each, its speed measured as a rate or as a ratio of two that ran turn about in one process.

Consumes: options of the command line.
Produces: one JSON object as the last line of standard output.
Waits for: what it measures; each runs alone on the machine.
"""
