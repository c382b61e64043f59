"""The league: a population of earlier selves, scripted robots and policies of other runs to learn among.

Consumes: results of games between members (who, beside or against whom, how well), snapshots of the learning policy.
Produces: shares and probabilities of opponents, a payoff matrix, the best member, ratings.
Waits for: nothing; who plays a game, who trains, and where weights travel is the business of others.

docs/league.md has the words, docs/decisions/0034 the shape.
"""
