"""The parts of a run over Ray once they are started: what polls, saves, shares out anew and brings back. Who they are:
``topology``.
"""
