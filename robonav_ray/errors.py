"""Errors that more than one room must know by name, and the codes that a command ends with."""

EXIT_DONE, EXIT_FAILED, EXIT_INPUT = 0, 1, 2
EXIT_RESUME = 75
"""Stopped before the end: the same command goes on from what was committed."""
EXIT_DETACHED = 130
"""A second Ctrl-C while a job was followed; the job runs on."""


class UserError(ValueError):
    """Something that only the user can put right; shown as one message (what, where, what to do) with exit code 2."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of the trace, which would hide the message below a page of our code."""
        return [f"{type(self).__name__}: {self}"]


class LearnerCallError(RuntimeError):
    """A command was not carried out: the learner refused it, restarted, ended, or did not answer in time."""


class PartLostError(RuntimeError):
    """A part that cannot be replaced while the others run (curriculum, ledger, mailbox, trainer) is gone or answers no
    more.

    The session ends with it; the run goes on in a new one from its last committed checkpoint.
    """


class RunInterruptedError(RuntimeError):
    """The run cannot go on for now, for a reason that passes (storage away, nodes missing): resume it, exit code 75."""


class ToldError(RuntimeError):
    """A fault whose first line is the sentence that people shall read; what has caused it hangs on it as ``__cause__``.

    Raise a subclass of it where one knows better than a trace does who is to mend something, and where.
    """


class EnvironmentFailedError(ToldError):
    """An environment that is not ours raised, exited, or broke a promise of Gymnasium's interface.

    The message is one sentence with the place in its author's code; a note (``__notes__``, which travels with it) holds
    the whole trace.
    """


class RunFaultError(RuntimeError):
    """A fault has ended the session of a run: its first line says which, the fault itself is the ``__cause__``.

    What learner and replay could still give has been committed, and the trace stands in the run's ``error.txt``.
    """


class FencedError(RuntimeError):
    """The caller was taken for dead and has been replaced; what it still sends is refused."""
