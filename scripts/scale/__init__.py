"""The parts of ``bench_scale.py``: what is measured, the model of the bottleneck, tables and plots."""
