"""The learner: gradient steps on replayed batches, one DDP rank per process.

Consumes: ReplaySample from a BatchSource, commands from a CommandChannel.
Produces: PolicySnapshot to a WeightSink, priorities to a PrioritySink, metrics ``learner/...``.
Waits for: a batch (bounded; looks at its commands meanwhile) and, with several ranks, for the slowest rank at each
agreement.
"""
