"""``robonav_ray.PipelineOrchestrator``: a pipeline as a call, and what the verbs show of one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from robonav_ray.config.load import checked_config, load_section_file
from robonav_ray.config.pipeline import PipelineConfig, StepName
from robonav_ray.fronts.call_config import Overrides, asked_config
from robonav_ray.pipeline.folder import PipelineFolder, is_pipeline, read_config
from robonav_ray.pipeline.lock_file import LockFile
from robonav_ray.pipeline.logs import PlainWatcher, Watcher
from robonav_ray.pipeline.notices import Notifier, open_notifier
from robonav_ray.pipeline.planning import Asked, StepPlan, plan_step
from robonav_ray.pipeline.session import Session
from robonav_ray.pipeline.steps import STEPS
from robonav_ray.runtime.signals import StopRequest, stop_on_interrupt
from robonav_ray.screen import plain_screen

_STOPPING = partial(stop_on_interrupt, in_session=True)


@dataclass(frozen=True)
class PipelineResult:
    """How a call of ``PipelineOrchestrator.run`` ended."""

    status: Literal["finished", "unfinished"]
    """``unfinished``: stopped before the end; the same call goes on."""
    path: Path
    """The pipeline's folder."""
    done: tuple[str, ...]
    """Steps that were done by this call; the others were kept, or are still to be done."""
    facts: Mapping[str, Mapping[str, Any]]
    """Step -> what it has made, of all that are done."""
    why: str = ""
    """Why it was stopped."""


class PipelineOrchestrator:
    """From nothing to a report and a registered model: steps in an order, each done once.

    ::

        pipeline = robonav_ray.PipelineOrchestrator("configs/pipeline/quick.yaml", {"train.seeds": [0, 1, 2]})
        for step in pipeline.plan():                   # touches nothing
            print(step.name, step.state, step.reason)
        result = pipeline.run()
        result.facts["report"]["pdf"]                  # below result.path
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | PipelineConfig | None = None,
        overrides: Overrides | None = None,
    ) -> None:
        """Take the config; nothing is made.

        Args:
            config: A YAML file, the name of a shipped one (``quick``), the folder of a pipeline, a mapping, a
                ``PipelineConfig``, or None for the defaults.
            overrides: Values by dotted key on top.

        Raises:
            UserError: For what is wrong in them, with every problem found.
        """
        here = Path(config) if isinstance(config, str | Path) and is_pipeline(Path(config)) else None
        self.config = _config_of(read_config(here) if here is not None else config, overrides)
        self.folder = PipelineFolder(here or Path(self.config.output_dir) / self.config.name)

    def plan(
        self, *, first: str | None = None, until: str | None = None, force: bool = False, accept_code: bool = False
    ) -> list[StepPlan]:
        """Return what ``run`` would do with each step, and why; nothing is written.

        Raises:
            UserError: For what is wrong in a step's config.
        """
        asked = Asked(first, until, force, accept_code)
        order, lock = self.config.order(), LockFile.load(self.folder.path)
        chosen, pending = asked.range(order), set[str]()
        found = list[StepPlan]()
        others: list[StepName] = [name for name in self.config.steps if name not in order]
        for name in (*order, *others):
            if name not in order:
                found.append(StepPlan(name, "left out", f"{name} is null: nothing says where to"))
                continue
            if name not in chosen:
                found.append(StepPlan(name, "left out", "by --from or --until"))
                continue
            plan = plan_step(STEPS[name], self.config, self.folder, lock, asked, pending)
            if plan.state != "done":
                pending.add(name)
            found.append(plan)
        return found

    def run(
        self,
        *,
        first: str | None = None,
        until: str | None = None,
        force: bool = False,
        accept_code: bool = False,
        time_limit_s: float | None = None,
        quiet: bool = False,
        watcher: Watcher | None = None,
        stopping: Callable[[], AbstractContextManager[StopRequest]] = _STOPPING,
    ) -> PipelineResult:
        """Do each step whose inputs changed, or that is not done yet, in order.

        Ctrl-C ends the step under way, which keeps what it has; the same call goes on.

        Args:
            first: Step before which none is looked at; what those before it have made is taken as it is.
            until: The last step.
            force: Do all of these again, though nothing changed.
            accept_code: What was made by other code still holds.
            time_limit_s: Stop, to go on later, after so many seconds.
            quiet: Say nothing.
            watcher: Shows how far it is, in place of plain lines.
            stopping: Gives the request to stop.

        Raises:
            UserError: For what is wrong, before anything is made where that can be known.
            RunFaultError: When a step fails; the message names it, and what is done stays done.
            TakenError: A UserError, when another process is at work in the folder; it names its pid.
        """
        began = time.monotonic()
        plans = self.plan(first=first, until=until, force=force, accept_code=accept_code)
        asked = Asked(first, until, force, accept_code)
        has_work = any(plan.state in ("to do", "depends") for plan in plans)
        with (
            self.folder.held(self.config),
            _notifier(self.config if has_work else None) as notifier,
            stopping() as stop,
        ):
            lock = LockFile.load(self.folder.path)
            session = Session(
                self.config,
                self.folder,
                lock,
                STEPS,
                asked,
                stop,
                watcher or PlainWatcher(plain_screen(silent=quiet)),
                notifier,
                None if time_limit_s is None else began + time_limit_s,
            )
            try:
                why = session.run()
            except Exception as error:
                if notifier is not None:
                    notifier.failed(str(error), session.newest)
                raise
            if why and notifier is not None:
                notifier.ended(f"stopped ({why}); the same command goes on")
        facts = {name: record.facts for name, record in lock.steps.items() if name in self.config.in_use}
        return PipelineResult("unfinished" if why else "finished", self.folder.path, tuple(session.done), facts, why)


@contextlib.contextmanager
def _notifier(config: PipelineConfig | None) -> Iterator[Notifier | None]:
    """Give what tells people, where that is on; at the end all that waits is sent, and what could not be is logged.

    Raises:
        NoticeError: A UserError, for a channel that cannot be used.
    """
    if config is None or config.notify is None or "notify" not in config.steps:
        yield None
        return
    notifier = open_notifier(config.notify, config.name)
    try:
        yield notifier
    finally:
        notifier.close()


def _config_of(
    given: str | Path | Mapping[str, Any] | PipelineConfig | None, overrides: Overrides | None
) -> PipelineConfig:
    asked, words = asked_config(PipelineConfig, given, overrides)
    if asked is None:
        return checked_config(PipelineConfig, {}, words, "config")
    return load_section_file(PipelineConfig, asked, words, "pipeline") if isinstance(asked, Path) else asked
