"""What an episode is measured by: small named functions of a table of episodes, and what is measured while they are
played.

Consumes: EpisodeTable; the state of our worlds after each step. Produces: one number per episode and metric, with unit
and direction; extra columns of EpisodeTable. Waits for: nothing.
"""
