"""What the rooms share: the checkout, the machine that a figure was measured on, made-up data, Markdown.

Consumes: the repository's files, /proc.
Produces: paths, revisions and sentences for reports.
Waits for: git, for a moment.
"""
