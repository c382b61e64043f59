"""What is broken on purpose: one run under a schedule of faults (``program``), stops and kills of its driver, a whole
cluster job.

Consumes: kinds of fault and a seed; the run's own files and the process table while it goes on.
Produces: ``chaos.json`` with what each fault cost and which promises were kept, a picture, sections of
``docs/chaos.md``.
Waits for: the run to learn, to recover from each fault, and to end.
"""
