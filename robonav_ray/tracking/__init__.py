"""Where metrics go: files and dashboards behind the Tracker arrow, and the panel that a person watches.

Consumes: Metrics, RunStatus.
Produces: metrics.jsonl, TensorBoard event files, Ray metrics, a terminal panel.
Waits for: the local disk only (metrics.jsonl); every other backend has a thread of its own, is tried again when it
fails, and given what it missed.
"""
