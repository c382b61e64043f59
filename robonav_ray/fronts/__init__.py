"""Classes for training loops of one's own: no run of ours executes them, they offer what the rooms hold.

Consumes: a model, a function or a config of the user's.
Produces: what each class promises.
Waits for: the user's calls.
"""
