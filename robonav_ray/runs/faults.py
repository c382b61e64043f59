"""The last words of a run that ends without being asked to: one sentence for people, the whole trace for the person who
mends it.

::

    fault --> what can still be saved is committed --> RUN/error.txt (trace), RUN/status.json (sentence), exit code 1

``error.txt`` holds the newest fault, with the command and the time.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator

from robonav_ray import text
from robonav_ray.errors import PartLostError, RunFaultError, RunInterruptedError, ToldError, UserError
from robonav_ray.files import plain_files
from robonav_ray.files.locations import without_secrets
from robonav_ray.runs.checkpoint import list_checkpoints
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.session_facts import command_line

logger = logging.getLogger(__name__)
ERROR_FILE = "error.txt"
_TOLD = (ToldError, PartLostError, FloatingPointError, RunFaultError)
_MOST_CHARACTERS = 500


def sentence_of(error: BaseException) -> str:
    """Return what happened in one line: the message of an error that is meant for people, else its kind, message and
    place.
    """
    lines = without_secrets(str(error)).strip().splitlines() or [""]
    if isinstance(error, _TOLD):
        return lines[0][:_MOST_CHARACTERS]
    what = f"{type(error).__name__}: {lines[0]}" if lines[0] else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {text.source_place(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{what[:_MOST_CHARACTERS]}{place}"


def record_fault(run: RunDirectory, error: BaseException) -> None:
    """Write the whole trace of ``error``, with those of its causes, into the run's ``error.txt``; a full disk is only
    logged.
    """
    head = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {' '.join(command_line())}\n{sentence_of(error)}\n\n"
    try:
        told = without_secrets(head + "".join(traceback.format_exception(error)))
        plain_files.replace(run.notes / ERROR_FILE, told)
    except OSError as full:
        logger.warning("the trace of what ended the run could not be written (%s)", full)


@contextlib.contextmanager
def last_words(run: RunDirectory, advice: str, command: Callable[[], str]) -> Iterator[None]:
    """Make a RunFaultError of any error that is neither a mistake of the user nor an interruption.

    Its lines are the sentence, where the trace is, and, where ``run`` has a checkpoint, ``advice`` with ``command``.
    """
    try:
        yield
    except (UserError, RunInterruptedError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # also SystemExit, of an environment: it must not pass for an end of ours
        if not isinstance(error, RunFaultError | PartLostError):  # those of a session have been written down at its end
            record_fault(run, error)
        lines = [sentence_of(error), f"the whole trace: {text.path_word(run.path / ERROR_FILE)}"]
        if list_checkpoints(run.checkpoints):
            lines.append(f"{advice}: {command()}")
        raise RunFaultError("\n".join(lines)) from error


@contextlib.contextmanager
def told_beside(run: RunDirectory) -> Iterator[None]:
    """As ``last_words``, for a verb that only looks at ``run``: a ToldError, as that of its environment, has its trace
    in ``error.txt``.
    """
    try:
        yield
    except ToldError as error:
        record_fault(run, error)
        raise RunFaultError(
            f"{sentence_of(error)}\nthe whole trace: {text.path_word(run.notes / ERROR_FILE)}"
        ) from error
