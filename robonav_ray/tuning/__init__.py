"""Searches over whole curriculum runs.

Consumes: a TuningConfig.
Produces: an experiment directory (records, one run directory a trial, the best config, plots and a report).
Waits for: Tune's trials, each a whole curriculum run, which report at every evaluation.
"""
