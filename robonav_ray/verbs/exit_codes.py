"""How a command ends: the user's mistakes and faults become one message and an exit code, never a traceback."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

THREADS_END_S = 10.0
"""How long threads that were left running (an environment's), and wandb's process, which waits for its server as Python
ends, may keep a command that is over."""


def end_with_code(app: Callable[[], object]) -> NoReturn:
    """Run the command line ``app`` and end the process with its exit code: 2 for the user's mistakes, 1 for faults,
    each with one message.

    Output without a reader (``| head -1``, a closed terminal, a full disk) never ends a verb with a traceback: a
    training or a search stops and is saved, the others go on, and end with 1 where what was to be kept could not be
    written.
    """
    from robonav_ray.runtime.streams import guarded_streams
    from robonav_ray.screen import say_error

    with guarded_streams() as streams:
        code = _exit_code(app)
        sys.stdout.flush()
        if code == 0 and streams.loss is not None and not streams.loss.is_gone:
            say_error(streams.loss.why)
            code = streams.loss.exit_code
    may_hang = any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate())
    if may_hang or "wandb" in sys.modules:
        timer = threading.Timer(THREADS_END_S, _leave_threads, (code,))
        timer.daemon = True
        timer.start()
    raise SystemExit(code)


def _leave_threads(code: int) -> None:
    """End a process that has nothing left to do but to wait."""
    if not threading.main_thread().is_alive():  # Python waits for threads, or runs what is registered with atexit
        os._exit(code)


def _exit_code(app: Callable[[], object]) -> int:
    from robonav_ray.errors import (
        EXIT_DONE,
        EXIT_FAILED,
        EXIT_INPUT,
        PartLostError,
        RunFaultError,
        ToldError,
        UserError,
    )
    from robonav_ray.files.plain_files import refusal, sentence
    from robonav_ray.screen import say_error, write_to

    for stream in (sys.stdout, sys.stderr):
        # what its encoding (ASCII, for LC_ALL=C) has no bytes for is shown as escapes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except UserError as error:
        say_error(error)
        return EXIT_INPUT
    except UnicodeEncodeError as error:
        if error.encoding not in (sys.getfilesystemencoding(), "utf-8"):
            raise
        say_error(
            f"{error.object[:80]!a}: is no name in this locale ({error.encoding}); set PYTHONUTF8=1 or LC_ALL=C.UTF-8, "
            "or choose a name of plain letters"
        )
        return EXIT_INPUT
    except OSError as error:
        said = refusal(error)  # a name that is too long, a folder where a file belongs, what one may not open
        say_error(said or sentence(error))  # a disk that is full or broken, a storage that does not answer
        return EXIT_FAILED if said is None else EXIT_INPUT
    except (FloatingPointError, ToldError, RunFaultError, PartLostError) as error:
        for trace in getattr(error, "__notes__", ()):  # no run's error.txt has it
            write_to(sys.stderr, f"{trace}\n")
        say_error(error)
        return EXIT_FAILED
    return EXIT_DONE
