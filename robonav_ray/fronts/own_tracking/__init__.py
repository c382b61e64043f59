"""Tracking of experiments that are no run of ours: the same trackers, by calls."""
