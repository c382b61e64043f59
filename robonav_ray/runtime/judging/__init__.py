"""Policies on held-out worlds: what an evaluation plays, and the judgements beside a training."""
