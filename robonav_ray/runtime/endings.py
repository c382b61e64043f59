"""What is said when a training has ended: how, what is kept, and what is to be typed next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rich.text import Text

from robonav_ray.runs.run_directory import resume_command
from robonav_ray.runtime.budget import Budget, StopReason
from robonav_ray.runtime.controller import Ending, Kept
from robonav_ray.runtime.signals import STOP_AT, StopRequest
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.screen import Screen, say_error


def budget_text(session: RunSession) -> str:
    """Return when a run is given up, for its start; empty for one that never is, or has nothing to reach."""
    config = session.config
    give_up_s = config.budget.gives_up_after_s
    if give_up_s is None or not any(
        stage.is_gated for stage in config.curriculum.stages_for(session.task.has_outcomes)
    ):
        return ""
    return (
        f"stops, to be resumed, when no gate has opened for {give_up_s / 60:.3g} minutes of training (budget.give_up_s)"
    )


class Outcome(Enum):
    """How a session ended, for a command's exit code or a call's result."""

    DONE = "finished and saved"
    TO_RESUME = "stopped before the end"
    FAILED = "what was to be kept is not"


@dataclass(frozen=True)
class Verdict:
    """How a session ended, in words."""

    outcome: Outcome
    words: str = ""
    """What is to be said of what is kept; may be empty."""
    command: str = ""
    """With which the run goes on; may be empty."""


def tell_ending(ending: Ending, verdict: Verdict, stop: StopRequest, screen: Screen) -> None:
    """Say how training ended."""
    facts = ending.facts
    screen.print(
        f"stopped because {_why(ending, stop)}: {facts.env_steps:,} env steps, {facts.learner_steps:,} learner steps, "
        f"{ending.train_s:.0f} s of training\n{facts.progress.summary_text()}"
    )
    words, command = verdict.words, verdict.command
    if words or command:
        screen.print(
            Text.assemble(
                words,
                ("" if not words or not command else "\n") + ("go on with: " if command else ""),
                (command, "bold"),
            )
        )
    if stop.loss is not None:  # the other stream may still have a reader, and log.txt too
        say_error(
            "\n".join(filter(None, (f"stopped because {stop.loss.why}", words, command and f"go on with: {command}")))
        )


def _why(ending: Ending, stop: StopRequest) -> str:
    if ending.reason is StopReason.GIVEN_UP:
        progress = ending.facts.progress
        return progress.problem or f"{progress.gate_text()} has not opened"
    if ending.reason is StopReason.SIGNAL and (stop.loss is not None or stop.signal_name == STOP_AT):
        return stop.why
    return ending.reason.value


def verdict_of(session: RunSession, ending: Ending) -> Verdict:
    """Return how the session ended; DONE when training has finished and is saved, so that what follows training may
    follow.
    """
    resume = resume_command(session.run)
    if ending.kept is Kept.FAILED:
        if ending.newest is None:
            return Verdict(Outcome.FAILED, "no checkpoint could be written (see above), so what was learned is lost")
        steps = f"{ending.newest.counters.env_steps:,} env steps"
        return Verdict(
            Outcome.FAILED,
            f"the last checkpoint could not be written (see above); the one before, of {steps}, is intact",
            resume,
        )
    if ending.kept is Kept.NOTHING_LEARNED:
        if not ending.reason.finished:
            return Verdict(
                Outcome.TO_RESUME, "nothing has been learned yet, so there is nothing to resume: start again"
            )
        rows = f"learning begins with replay.min_size ({session.config.replay.min_size:,}) rows"
        return Verdict(
            Outcome.FAILED, f"nothing was learned: {rows}, and the run ended before; raise its budget in env steps"
        )
    if not ending.reason.finished:
        if ending.reason is StopReason.GIVEN_UP:
            return Verdict(Outcome.TO_RESUME, "make the gate easier, or wait longer with budget.give_up_s", resume)
        return Verdict(Outcome.TO_RESUME, "", resume)
    return Verdict(Outcome.DONE)


def train_longer_command(session: RunSession, ending: Ending) -> str:
    """Return what to type so that a run that has finished trains about as long again."""
    facts = ending.facts
    more = Budget(session.config.budget).longer(
        env_steps=facts.env_steps, train_s=ending.train_s, passed=facts.progress.passed
    )
    patience = session.config.evaluation.patience
    if patience is not None and ending.reason is StopReason.NO_GAIN:
        more.append(f"evaluation.patience={2 * patience}")
    if ending.reason is StopReason.TARGET:
        more.append("evaluation.target_success=null")
    return " ".join((resume_command(session.run), *more))
