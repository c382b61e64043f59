"""Floor plans that are made: offices, corridors, mazes, a cellular automaton, woods.

Consumes: ``MapConfig`` with a generator, and the number of a map.
Produces: a ``GridMap``; the same numbers give the same map.
Waits for: nothing.
"""
