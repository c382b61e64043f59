"""A run with a league: where the weights of its members lie, whom its workers are told to meet, and what is done with
what came of it. No Ray; over Ray the same objects stand in one small actor.
"""
