"""What went wrong in an environment that is not ours: one sentence with the line that a person has to look at, and the
whole trace.
"""

from __future__ import annotations

import signal
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import gymnasium as gym

from robonav_ray.errors import EnvironmentFailedError
from robonav_ray.text import source_place

_OURS = Path(__file__).parents[2]
_GYMNASIUM = Path(gym.__file__).parent
_STDLIB = Path(sysconfig.get_paths()["stdlib"])
_INSTALLED = {"site-packages", "dist-packages"}
_MOST_CHARACTERS = 300
_MOST_TRACE = 40_000


@contextmanager
def calling(env_id: str, call: str, package: str = "") -> Iterator[None]:
    """Turn every exception that leaves the block, which calls an environment, into an EnvironmentFailedError; see
    ``failure``.
    """
    try:
        yield
    except EnvironmentFailedError:
        raise
    except BaseException as error:  # noqa: BLE001  also what it exits with
        raise failure(error, env_id, call, package) from None


def failure(
    error: BaseException, env_id: str, call: str, package: str = "", code: CodeType | None = None
) -> EnvironmentFailedError:
    """Return what ``error``, raised by an environment, is told as; raises it again where it is the person's Ctrl-C.

    Args:
        error: What was raised.
        env_id: As in the config.
        call: Completes "in CALL of env.id='...'".
        package: Top name of the environment's module, whose frames are the author's wherever they are installed.
        code: What was called; its place is told where the trace shows none of the author's.
    """
    if isinstance(error, KeyboardInterrupt) and _is_from_a_person(error):
        raise error
    error = _first_cause(error)
    place = _place(error, package) or (_first_line(code) if code else "")
    told = EnvironmentFailedError(
        f"your environment failed: {_shown(error)}{place and f' at {place}'}, in {call} of "
        f"env.id={env_id!r}{_hint(error)}"
    )
    told.add_note(_trace(error))
    return told


def broken_promise(what: str, env_id: str, code: CodeType | None) -> EnvironmentFailedError:
    """Return the failure of an environment that raised nothing: ``what`` it did, and the function that did it."""
    place = f" at {_first_line(code)}" if code is not None else ""
    return EnvironmentFailedError(f"your environment failed: {what}{place}, env.id={env_id!r}")


def _first_line(code: CodeType) -> str:
    return f"{source_place(code.co_filename)}:{code.co_firstlineno}"


def _first_cause(error: BaseException) -> BaseException:
    """``gymnasium.make`` raises a TypeError of its own in place of that of the constructor, whose trace says more."""
    made_anew = isinstance(error, TypeError) and "was raised from the environment creator" in str(error)
    return error.__context__ if made_anew and error.__context__ is not None else error


def is_refused_call(error: BaseException) -> bool:
    """Whether ``error`` is a TypeError of the call itself: nothing of what was called has run."""
    error = _first_cause(error)
    if not isinstance(error, TypeError):
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    last = Path(frames[-1][0].f_code.co_filename) if frames else Path()
    return last.is_relative_to(_GYMNASIUM) or last.is_relative_to(_OURS)


def _is_from_a_person(error: BaseException) -> bool:
    """Python's own handler leaves no trace of itself; ours, which raises at the second Ctrl-C, is where the trace
    ends.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and Path(frames[-1][0].f_code.co_filename).is_relative_to(_OURS / "runtime")


def _place(error: BaseException, package: str) -> str:
    """Return "file:line" of the innermost frame that its author wrote: no library's, where there is such a frame."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{source_place(error.filename)}:{error.lineno}"
    best, found = 3, ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        distance = _distance(frame.f_code.co_filename, frame.f_globals.get("__name__", ""), package)
        if distance <= best:
            best, found = distance, f"{source_place(frame.f_code.co_filename)}:{line}"
    return found


def _distance(filename: str, module: str, package: str) -> int:
    """Return how far a frame is from what the environment's author wrote: 0 it is that, 3 it is Gymnasium's, Python's
    or ours.
    """
    path = Path(filename)
    if filename.startswith("<frozen") or path.is_relative_to(_GYMNASIUM) or path.is_relative_to(_OURS):
        return 4
    if package and module.partition(".")[0] == package:
        return 0
    if _INSTALLED & set(path.parts):
        return 2
    return 3 if path.is_relative_to(_STDLIB) else 0


def _shown(error: BaseException) -> str:
    try:
        text = " ".join(repr(error).split())
        if isinstance(error, OSError) and error.filename is not None:  # which its repr leaves out
            text = f"{text} for {error.filename!r}"
    except Exception:  # noqa: BLE001  its author's __repr__ fails too
        text = type(error).__name__
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def _hint(error: BaseException) -> str:
    """Return what to do about a call that did not fit, which shows in Gymnasium's code and not in the author's."""
    if not is_refused_call(error):
        return ""
    if "unexpected keyword argument 'seed'" in str(error) or "unexpected keyword argument 'options'" in str(error):
        return ": Gymnasium calls reset(seed=..., options=...), so it has to take both by name"
    return ""


def _trace(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    if len(text) > _MOST_TRACE:
        text = f"{text[: _MOST_TRACE // 2]}\n...\n{text[-_MOST_TRACE // 2 :]}"
    return text
