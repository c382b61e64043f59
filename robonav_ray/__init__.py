"""robonav_ray: Ray-native distributed reinforcement learning for mobile-robot navigation.

What runs around what::

              Assignment (which level to practise, how greedy)
   curriculum ------------------------------+
       ^                                    v
       | EpisodeResults       worlds ---> rollout ---> replay ---> learner
       +------------------------------------+  ^          ^          |  |
                                               |          +----------+  |
                                               |         priorities     |
                                               +------- weights <-------+
                                                           |
                                                           +---> evaluation

Each word is a folder beside this file; each arrow is a Protocol in ``interfaces.py``; ``runtime/`` joins them, once over
Ray (``topology.py``) and once in a single process (``local.py``). ``cli.py`` is the door.
"""

__version__ = "0.1.0"
