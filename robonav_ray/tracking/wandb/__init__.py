"""Weights & Biases: how it is reached, a run of theirs for a run of ours, artifacts, the registry's mirror, sweeps."""
