"""What the rooms share: the checkout, the machine that a figure was measured on, made-up data, Markdown.

Consumes: the repository's files, /proc.
Produces: paths, tables and sentences for reports.
Waits for: nothing.
"""
