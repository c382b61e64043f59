"""Whether one entrant is better than another, by how much, and how sure that is: functions of arrays, one file per kind
of question.

Consumes: arrays (worlds,) or (seeds, worlds) of one metric, the same worlds in the same order for every entrant.
Produces: intervals, p values, effect sizes, power, and a verdict in words. Waits for: nothing.

docs/evaluation_statistics.md says which function answers which question, and how often each interval covers.
"""
