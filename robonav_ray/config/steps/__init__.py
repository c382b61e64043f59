"""Steps of a pipeline that a part of its own carries out: its notices and its backup.

Consumes: what a pipeline's YAML says.
Produces: frozen, checked sections.
Waits for: nothing.
"""
