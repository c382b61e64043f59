"""Studies: what decides a result, and yardsticks for it. Each prints a table, and a JSON object as its last line.

Consumes: presets and worlds, seeds.
Produces: success rates and learning curves below ``--output``.
Waits for: trainings in one process each, and planners.
"""
