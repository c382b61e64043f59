"""Where metrics go: files and dashboards behind the Tracker arrow, and the panel that a person watches.

Consumes: Metrics, RunStatus. Produces: metrics.jsonl, TensorBoard event files, Ray metrics, a terminal panel. Waits for: the
local disk only; a backend that fails is switched off, never the run.
"""
