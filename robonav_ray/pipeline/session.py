"""One session of a pipeline: step by step, each judged, done where it must be, and written down."""

from __future__ import annotations

import contextlib
import errno
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robonav_ray.config.pipeline import PipelineConfig, StepName
from robonav_ray.errors import RunFaultError, RunInterruptedError, UserError
from robonav_ray.files.plain_files import refusal, sentence
from robonav_ray.pipeline.folder import PipelineFolder
from robonav_ray.pipeline.hashes import file_sha256, plain
from robonav_ray.pipeline.lock_file import LockFile, StepRecord
from robonav_ray.pipeline.logs import How, JsonLines, Watcher, heard
from robonav_ray.pipeline.notices import Notifier
from robonav_ray.pipeline.planning import GOES_ON, Asked, StepPlan, plan_step
from robonav_ray.pipeline.step import Job, Made, Step, UnfinishedError
from robonav_ray.pipeline.stopping import StepStop
from robonav_ray.runtime.signals import StopRequest, stop_shared
from robonav_ray.runtime.watching import stopped_at_once
from robonav_ray.text import path_word


class StepRefusedError(UserError):
    """What a step was told cannot be; the message begins with its name."""


class StepFailedError(RunFaultError):
    """A step has failed; the message names it, and what to do. What was done before stays done."""


@dataclass
class Session:
    """The steps of ``config`` in ``folder``, which is held."""

    config: PipelineConfig
    folder: PipelineFolder
    lock: LockFile
    steps: Mapping[StepName, Step]
    asked: Asked
    stop: StopRequest
    watcher: Watcher
    notifier: Notifier | None = None
    """Tells of the start, the end and a failure; None where notices are off."""
    ends_at: float | None = None
    """When the session's time limit is, by ``time.monotonic``."""
    _has_begun: bool = False
    done: list[str] = field(default_factory=list[str])
    """Steps that were done in this session."""
    newest: list[str] = field(default_factory=list[str])
    """The last lines that the last step has said."""

    def run(self) -> str:
        """Do what is to be done; return why it was stopped before the end, empty when all is done.

        Raises:
            StepRefusedError: For the user's mistakes.
            StepFailedError: When a step fails.
        """
        log = JsonLines(self.folder.log)
        log.add("session", asked=vars(self.asked), steps=self.config.steps)
        for name in self.asked.range(self.config.order()):
            step = self.steps[name]
            plan = plan_step(step, self.config, self.folder, self.lock, self.asked)
            self._refuse_without_results(step)
            if plan.state == "done":
                self._keep(plan, log)
                continue
            if StepStop(self.stop, limit=self.ends_at):
                return self._stopped(name, log, "")
            if self.notifier is not None and not self._has_begun:
                self._has_begun = True
                self.notifier.started(f"{name} begins: {plan.reason}")
            if why := self._do(step, plan, log):
                return self._stopped(name, log, why)
        log.add("finished", done=self.done)
        return ""

    def _refuse_without_results(self, step: Step) -> None:
        missing = [name for name in step.reads(self.config) if name not in self.lock.steps]
        if missing:
            raise StepRefusedError(
                f"{step.name}: takes the result of {missing[0]}, which is not done: leave --from out, or name an "
                "earlier step with it"
            )

    def _keep(self, plan: StepPlan, log: JsonLines) -> None:
        record = self.lock.steps[plan.name]
        if record.code != plan.code:
            self.lock.steps[plan.name] = record.model_copy(update={"code": plan.code})
            self.lock.save()
        log.add("step_kept", step=plan.name, reason=plan.reason)
        self.watcher.ended(plan.name, "kept", plan.reason, 0.0)

    def _stopped(self, name: str, log: JsonLines, why: str) -> str:
        why = why or self.stop.why or "the time limit"
        log.add("stopped", step=name, reason=why)
        return why

    def _do(self, step: Step, plan: StepPlan, log: JsonLines) -> str:
        """Do one step and write it down; return why it was stopped, empty when it is done."""
        began, own = time.monotonic(), JsonLines(self.folder.step_log(step.name))
        spent = self.lock.spent
        if plan.reason != GOES_ON:
            spent.time_s.pop(step.name, None)
            spent.env_steps.pop(step.name, None)
        left_s = None if self.config.budget.time_s is None else self.config.budget.time_s - spent.trained_s
        budget = began + left_s if left_s is not None and step.trains else None
        stop = StepStop(self.stop, limit=self.ends_at, budget=budget)

        def say(line: str) -> None:
            own.say(line)
            self.watcher.said(step.name, line)

        def ended(how: How, text: str, made: Made | None = None) -> None:
            self.newest = own.newest
            spent.time_s[step.name] = spent.time_s.get(step.name, 0.0) + time.monotonic() - began
            if made is not None:
                self._write_down(plan, made)
            elif how == "stopped":
                self.lock.save()
            log.add(f"step_{how}", step=step.name, text=text, seconds=time.monotonic() - began)
            self.watcher.ended(step.name, how, text, time.monotonic() - began)

        with _told(step, self.folder, ended):
            log.add("step_began", step=step.name, reason=plan.reason, key=plan.key)
            self.watcher.began(step.name, plan.reason)
            folder = self.folder.begin(
                step.name, plan.key, afresh=plan.afresh, takes_up=step.takes_up, changed=plan.changed
            )
            self.lock.steps.pop(step.name, None)  # only now: what was changed by hand is put aside
            self.lock.save()
            try:
                with heard(say), stop_shared(stop):
                    made = _worked(step, self._job(step, folder, stop, say))
            except (UnfinishedError, RunInterruptedError) as error:
                ended("stopped", str(error))
                return str(error)
            except KeyboardInterrupt:
                if not stop or stop.at_once:
                    raise
                ended("stopped", stop.why)
                return stop.why
            ended("done", made.told, made)
        if own.lost is not None:
            self.watcher.said(
                step.name, f"{path_word(self.folder.step_log(step.name))} is cut short: {sentence(own.lost)}"
            )
        return ""

    def _job(self, step: Step, folder: Path, stop: StepStop, say: Callable[[str], None]) -> Job:
        return Job(
            self.config,
            self.folder.path,
            folder,
            {name: self.lock.steps[name].facts for name in step.reads(self.config)},
            stop,
            say,
            tell_end=(lambda text, picture: None) if self.notifier is None else self.notifier.ended,
            told=[f"{name}: {record.told}" for name, record in self.lock.steps.items() if record.told],
            env_steps_left=self._env_steps_left(step),
            out_of_budget=lambda: stop.is_out_of_budget,
        )

    def _env_steps_left(self, step: Step) -> int | None:
        if self.config.budget.env_steps is None:
            return None
        used = sum(steps for name, steps in self.lock.spent.env_steps.items() if name != step.name)
        return self.config.budget.env_steps - used

    def _write_down(self, plan: StepPlan, made: Made) -> None:
        root = self.folder.path
        if made.env_steps:
            self.lock.spent.env_steps[plan.name] = made.env_steps
        self.lock.steps[plan.name] = StepRecord(
            inputs=plan.inputs,
            reads={name: self.lock.steps[name].facts_digest for name in plan.reads},
            code=plan.code,
            facts=plain(made.facts),
            files={path.relative_to(root).as_posix(): file_sha256(path) for path in sorted(set(made.files))},
            told=made.told,
            ended_s=time.time(),
            took_s=self.lock.spent.time_s.get(plan.name, 0.0),
        )
        self.lock.save()
        self.done.append(plan.name)


def _worked(step: Step, job: Job) -> Made:
    if not step.ends_at_once:
        return step.work(job)
    with stopped_at_once(job.stop):
        return step.work(job)


@contextlib.contextmanager
def _told(step: Step, folder: PipelineFolder, ended: Callable[..., None]) -> Iterator[None]:
    """Make one message of what a step fails with: which step, what is wrong, what to do; its log has the trace."""
    log = path_word(folder.step_log(step.name))
    again = "what is done stays done, and the same command goes on with it"

    def failed(what: str, trace: BaseException) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full
            JsonLines(folder.step_log(step.name)).add("failed", text=what, trace=traceback.format_exception(trace))
            ended("failed", what)

    try:
        yield
    except OSError as error:
        said = refusal(error)
        what = f"{step.name}: {said or sentence(error)}"
        failed(what, error)
        if said is not None:
            raise StepRefusedError(what) from error
        room = "make room there; " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise StepFailedError(f"{what}; {room}{again}") from error
    except UserError as error:
        failed(str(error), error)
        raise StepRefusedError(f"{step.name}: {error}") from error
    except Exception as error:
        failed(str(error) or type(error).__name__, error)
        told = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
        raise StepFailedError(f"{step.name}: {told}; the trace is in {log}; {again}") from error
