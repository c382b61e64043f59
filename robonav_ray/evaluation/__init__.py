"""How good a policy is: greedy episodes on worlds that training never saw, and what they amount to.

Consumes: an acting function (obs -> action), a maker of vector environments, metrics.jsonl.
Produces: EpisodeTable, its summary, evaluation.json and .md, curves.png.
Waits for: nothing.
"""
