"""How episodes fail: a row for each that did, clusters by what led to it, pictures, a film, a page that replays them.

::

    ExamTable --failures_of--> Failures --clusters_of--> Clusters, each with a name and a typical case
    (entrant, seat, world) --replay--> Recording --> page.html, failures.gif, a picture of each typical case
"""
