"""The curriculum: which stage the worlds practise, how greedily, and when they may move on.

Consumes: EpisodeResults.
Produces: Assignment, progress.
Waits for: nothing; a gate only looks at an episode once no worker can still be running one that started earlier.
"""
