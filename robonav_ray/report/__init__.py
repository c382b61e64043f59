"""A document of titled sections, written as PDF and as one HTML page, its tables as CSV: one drawing style, one writer
of each kind.

Consumes: a Document (plain texts, tables, pictures as bytes). Produces: report.pdf, report.html, tables/*.csv, the same
bytes for the same document. Waits for: nothing.
"""
