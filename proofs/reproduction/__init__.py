"""The published results that the learner is held against: what they are, how they are run again, and our results.

Consumes: ``configs/reproduce/*.yaml`` and the suites under ``tests/``.
Produces: ``OUTPUT/results.json``, ``results.md`` and curves; with ``--write-docs`` also ``docs/results.md``.
Waits for: its trials, which run side by side on Ray, and the commands that must run alone.
"""
