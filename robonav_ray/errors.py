"""Errors that more than one room must know by name."""


class UserError(ValueError):
    """Something that only the user can put right; shown as one message (what, where, what to do) with exit code 2."""


class LearnerCallError(RuntimeError):
    """A command was not carried out: the learner refused it, restarted, ended, or did not answer in time."""
