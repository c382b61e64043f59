"""From nothing to a report: steps in an order, each done once, taken up where it stopped.

    prepare -> search -> train -> select -> evaluate -> visualise -> report -> export -> register -> back up -> notify

A step has inputs, outputs and a function of ``fronts`` or ``deploy`` to call; a lock file keeps the hashes of both, so
that a step whose inputs did not change is not done again.

Consumes: a pipeline's config, and what its steps made before.
Produces: a folder with runs, tables, pictures, report, bundle; a lock file, logs, notices.
Waits for: its steps (minutes to days).
"""
