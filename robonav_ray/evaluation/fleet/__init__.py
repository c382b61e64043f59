"""An A/B test on a fleet of robots: who drives which episode, what came of it, and the end of a challenger that
collides more.

Consumes: exposures and outcomes, lines of JSON from robots. Produces: an arm for each episode, a standing, a rollback.
Waits for: nothing.

::

    robot, episode --split.py--> arm --exposures.py--> exposures.jsonl --+
    what came of it, from the robot ------------------> outcomes.jsonl --+--> outcomes.py (FleetBook) --> guard.py
"""
