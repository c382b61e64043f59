"""Calls where many whole runs answer one question; thin, as all fronts."""
