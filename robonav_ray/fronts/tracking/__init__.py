"""Trackers from code of one's own: a run that has ended is brought to them."""
