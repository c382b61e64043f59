"""Whether a challenger takes the champion's place: a paired test that may be looked at after every batch of worlds, and
a gate of rows that each pass or fail with their figures.

Consumes: cells of an exam, batch by batch. Produces: a decision, a gate, a page and a record. Waits for: nothing.

::

    suite --worlds.py--> batches of an exam --paired_test.py--> better | not better yet | futile
    decisions, robustness --gate.py--> rows --page.py, record.py--> ab.html, ab.json (its hash is the evidence)
"""
