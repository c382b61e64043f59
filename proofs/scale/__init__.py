"""How a run scales: what is measured, the model of the bottleneck, tables and plots.

Consumes: the product's own wiring, worlds and shards that sleep, an idle machine.
Produces: one JSON file for each part below ``--output``, tables and pictures of ``docs/scaling.md``, recommended
settings.
Waits for: each part in turn to be at speed.
"""
