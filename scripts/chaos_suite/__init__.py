"""The chaos suite: what can be broken, when, how it is watched, and what is measured afterwards (see ``scripts/chaos.py``)."""
