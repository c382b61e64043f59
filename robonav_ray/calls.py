"""Calls to parts that are under way, as the policies see them that replace or give up a part: no Ray, so a test
answers them by hand.
"""

from __future__ import annotations

from typing import Any, Protocol


class PartGoneError(RuntimeError):
    """The process that had to answer is dead, or what it answered is lost with it."""


class PartAwayError(PartGoneError):
    """It does not answer now: it is being started again, or its death is about to be known."""


class CallFailedError(RuntimeError):
    """The part lives, and its method raised ``cause``."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class MetGoneError(CallFailedError):
    """As before; ``cause`` tells of another part that the method found dead."""


class Call(Protocol):
    """One call under way."""

    def is_done(self, timeout_s: float = 0.0) -> bool:
        """Wait up to ``timeout_s`` seconds; return whether it is answered or has failed."""
        ...

    def result(self) -> Any:
        """Return the answer; waits for it.

        Raises:
            PartGoneError, PartAwayError, CallFailedError: When the call was not answered.
        """
        ...
