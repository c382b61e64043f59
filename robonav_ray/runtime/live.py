"""One session of a run while it is alive: lock, status, log, wiring, trackers and controller, entered and left
together.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BufferedWriter, TextIOWrapper
from logging.handlers import MemoryHandler
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from robonav_ray.errors import EXIT_FAILED, PartLostError, RunFaultError, RunInterruptedError, UserError
from robonav_ray.files.locations import without_secrets
from robonav_ray.files.plain_files import open_appending
from robonav_ray.interfaces import Tracker
from robonav_ray.nodes.job import current_job
from robonav_ray.runs.checkpoint import CheckpointError, newest_good_checkpoint
from robonav_ray.runs.commit_watch import CommitWatch
from robonav_ray.runs.faults import record_fault, sentence_of
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.stored_runs import set_newer_aside_stored
from robonav_ray.runs.superseded import set_newer_aside, steps_of
from robonav_ray.runs.task import keep_table
from robonav_ray.runtime.controller import Controller, Ending
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.wiring import RunSession, Wiring
from robonav_ray.tracking.backend import RunEnding
from robonav_ray.tracking.fanout import FanoutTracker, open_trackers
from robonav_ray.tracking.jsonl import figures_of
from robonav_ray.tracking.panel import MakeView, no_view
from robonav_ray.tracking.tracked_run import run_facts

logger = logging.getLogger(__name__)
_GOES_ON = (PartLostError, RunInterruptedError)
"""Endings of a session that another one goes on after."""
StartWiring = Callable[[RunSession], tuple[Wiring, list[Tracker]]]
"""Starts the parts for a session; also returns the trackers that only this wiring has."""


def start_local(session: RunSession) -> tuple[Wiring, list[Tracker]]:
    """Start the one-process wiring."""
    from robonav_ray.runtime.local import LocalWiring

    return LocalWiring(session), []


class LiveRun:
    """Holds a run for one session: entering starts all parts, leaving ends them and writes down how the run ended.

    The caller that holds it calls ``finish`` (to the end), or ``advance`` and ``save`` as often as it likes.
    """

    def __init__(
        self,
        session: RunSession,
        start: StartWiring,
        *,
        wiring_name: Literal["ray", "local"],
        stop: StopRequest,
        command: Sequence[str],
        is_held: bool = False,
        make_view: MakeView = no_view,
        logger: logging.Logger = logging.root,
    ) -> None:
        """Nothing is started yet; ``command`` is written down as what began the session.

        ``make_view`` makes what shows where the run stands; the records of ``logger`` are kept in the run's
        ``log.txt``.

        With ``is_held`` the caller holds the run's lock, and has since it chose where the session begins; else it is
        taken for the session.
        """
        self.session = session
        self._start, self._wiring_name, self._stop, self._command = start, wiring_name, stop, command
        self._exits = contextlib.ExitStack()
        self._is_held = is_held
        self._make_view, self._logger = make_view, logger
        self._notes = session.notes
        self.ending: Ending | None = None
        """How the session ended; None while it goes on, and where it was broken off."""
        self._begun = False

    def __enter__(self) -> Self:
        session, run = self.session, self.session.run
        with contextlib.ExitStack() as exits, contextlib.ExitStack() as parts:
            if not self._is_held:
                exits.enter_context(run.locked())
            if session.checkpoint is None:
                self._note_begin(exits, ())
                self.wiring, extra = self._start(session)
                parts.callback(self.wiring.close)
            else:  # not before it is taken up: one that is refused leaves the run as it is
                exits.push(self._leave_status)
                with _remembered(self._logger) as early:
                    self.wiring, extra = self._start(session)
                    parts.callback(self.wiring.close)
                self._note_begin(exits, early)
            exits.push(parts.pop_all())
            resume_step = session.counters.env_steps if session.checkpoint is not None or session.goes_on else None
            facts = run_facts(run, session.config, resume_step)
            trackers = open_trackers(session.config.tracking, run.path, resume_step, extra, facts)
            exits.push(partial(self._end_trackers, trackers))
            panel = exits.enter_context(self._make_view(session.config.tracking.panel))
            self.controller = Controller(session, self.wiring, trackers, panel, self._stop, self._wiring_name)
            exits.callback(self.controller.close)
            self._exits = exits.pop_all()
        return self

    def _note_begin(self, exits: contextlib.ExitStack, early: Sequence[logging.LogRecord]) -> None:
        """Set aside what the checkpoint to go on from leaves behind, and write down that a session has begun and what
        it logged.
        """
        session, run = self.session, self.session.run
        aside = list[str]()
        if session.checkpoint is not None:
            if self._notes is not None:
                CommitWatch(self._notes.location, session.stored_seen).check()
                set_newer_aside_stored(self._notes.location, session.checkpoint.path.name)
            aside = [path.name for path in set_newer_aside(run.checkpoints, session.checkpoint.path)]
        if session.checkpoint is not None or session.goes_on:
            run.keep_config(session.config)
        exits.enter_context(_log_in(run, self._logger, early))
        for name in aside:
            logger.warning(
                "a newer checkpoint, of %s env steps, is set aside as %s: the session begins before it",
                f"{steps_of(name):,}",
                name,
            )
        job = current_job()
        run.add_session(list(self._command), self._wiring_name, None if job is None else job.submission_id)
        keep_table(run, session.task)
        run.write_status("running")
        if session.checkpoint is None:
            exits.push(self._leave_status)
        if self._notes is not None:
            exits.enter_context(self._notes.kept_up())
        self._begun = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, traceback)

    def finish(self) -> Ending:
        """Go on until there is a reason to stop; raises as ``advance`` does."""
        while True:
            ending = self.advance()
            if ending is not None:
                return ending

    def advance(self, until_env_steps: int | None = None) -> Ending | None:
        """Go on until ``until_env_steps`` (None: no such limit); return how the run ended when it did before.

        Raises:
            RunFaultError: After a fault, when what learner and replay could still give has been committed.
            PartLostError, RunInterruptedError, UserError: As they are.
        """
        try:
            self.ending = self.controller.advance(until_env_steps)
        except (PartLostError, RunInterruptedError):
            raise
        except KeyboardInterrupt:
            if self._stop.at_once:
                raise
            # raised by a library or an environment: as if Ctrl-C had been pressed
            self._stop.signal_name = "KeyboardInterrupt"
            self.ending = self.controller.end_after_fault("KeyboardInterrupt")
            if self.ending is None:
                raise RunInterruptedError("it was interrupted before it had begun") from None
        except BaseException as fault:  # also SystemExit, of an environment: it ends no run without a word
            self._stop.exit_code = EXIT_FAILED
            self.controller.end_after_fault(f"a fault ({sentence_of(fault)})")
            if isinstance(fault, UserError):
                raise
            raise RunFaultError(sentence_of(fault)) from fault
        return self.ending

    def _end_trackers(
        self, trackers: FanoutTracker, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        """Tell trackers how the session ended, and close them."""
        ending = self.ending
        if ending is not None and error is None:
            status = "finished" if ending.reason.finished and ending.saved else "unfinished"
            message = ending.reason.name.lower()
        else:
            is_broken_off = error is None or not isinstance(error, Exception) or isinstance(error, _GOES_ON)
            status = "unfinished" if is_broken_off else "failed"
            message = "" if error is None else sentence_of(error)
        summary = figures_of(self.session.run.read_json("summary.json"))
        trackers.ends_as(RunEnding(status, without_secrets(message), summary))
        trackers.close()

    def _leave_status(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run, ending = self.session.run, self.ending
        if not self._begun and isinstance(error, CheckpointError):
            return
        try:
            if ending is not None:
                done = ending.reason.finished and ending.saved
                run.write_status("finished" if done else "unfinished", reason=ending.reason.name)
            else:
                reason = {} if error is None else {"reason": sentence_of(error)}
                if isinstance(error, Exception) and not isinstance(error, UserError | RunInterruptedError):
                    record_fault(run, error)
                has_checkpoint = newest_good_checkpoint(run.checkpoints)[0] is not None
                run.write_status("unfinished" if has_checkpoint or kind is None else "failed", **reason)
            if self._notes is not None:
                self._notes.update()
        except OSError as full:
            # a disk or a storage; the checkpoints are what counts, and the exit code tells of those
            logger.warning("the run's last notes could not be written (%s)", full)


class _RunLog(logging.FileHandler):
    """A log file whose disk may be full: lines that cannot be written are left out, they are on the terminal too."""

    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(BufferedWriter(open_appending(Path(self.baseFilename))), "utf-8", "backslashreplace")  # type: ignore[arg-type]

    def format(self, record: logging.LogRecord) -> str:
        """As before, without what is secret in an address: other libraries log those of their servers."""
        return without_secrets(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing where ``logging`` would print a traceback."""

    def close(self) -> None:
        """As before; what could not be written by then never will be."""
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def _remembered(heard: logging.Logger) -> Iterator[Sequence[logging.LogRecord]]:
    """Give the list of what ``heard`` logs while the block runs; it grows."""
    handler = MemoryHandler(sys.maxsize, flushLevel=sys.maxsize)
    heard.addHandler(handler)
    try:
        yield handler.buffer
    finally:
        heard.removeHandler(handler)


@contextlib.contextmanager
def _log_in(run: RunDirectory, heard: logging.Logger, early: Sequence[logging.LogRecord]) -> Iterator[None]:
    """Write what ``heard`` logs into the run's ``log.txt`` too, after what was logged ``early``."""
    handler = _RunLog(run.path / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for record in early:
        handler.handle(record)
    heard.addHandler(handler)
    try:
        yield
    finally:
        heard.removeHandler(handler)
        handler.close()
