"""A run session from its opening to its end, in one of the two wirings; then its policy is evaluated, and it is said
what is next.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Literal

from rich.text import Text

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.errors import EXIT_DONE, PartLostError, RunInterruptedError
from robonav_ray.evaluation.report import EvaluationReport
from robonav_ray.files.locations import as_folder
from robonav_ray.interfaces import Tracker
from robonav_ray.runs.checkpoint import CheckpointError, newest_good_checkpoint
from robonav_ray.runs.checkpoint_index import read_index
from robonav_ray.runs.faults import last_words
from robonav_ray.runs.run_directory import resume_command
from robonav_ray.runs.session_facts import command_line
from robonav_ray.runtime.audience import Audience
from robonav_ray.runtime.auto_sizes import size_to_machine
from robonav_ray.runtime.controller import Ending
from robonav_ray.runtime.endings import Outcome, Verdict, budget_text, tell_ending, verdict_of
from robonav_ray.runtime.judge import finish_run
from robonav_ray.runtime.live import LiveRun, StartWiring, start_local
from robonav_ray.runtime.opening import Opening
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.sizes import check_sizes
from robonav_ray.runtime.wiring import RunSession, Wiring
from robonav_ray.text import command_text, message_text

logger = logging.getLogger(__name__)
RESTARTS_WINDOW_S = 3600.0
Wirings = Literal["ray", "local"]


@dataclass(frozen=True)
class Trained:
    """How a session of a run ended, and its evaluation."""

    session: RunSession
    ending: Ending
    verdict: Verdict
    report: EvaluationReport | None
    """Of the policy; None where training has not finished, or the evaluation was stopped."""


def train(opening: Opening, stop: StopRequest, audience: Audience, *, local: bool) -> Trained:
    """Train to the end (or to the limit, or until ``stop`` is true); what has finished is evaluated and drawn.

    The caller lets go of ``opening.held`` after it.

    Raises:
        UserError: For what is found to be wrong only now (a cluster that is too small).
        RunInterruptedError: When the run cannot go on for now; it can be resumed.
        RunFaultError: After a fault. What learner and replay could still give has been committed.
        KeyboardInterrupt: After a second Ctrl-C; what was committed before is intact.
    """
    screen = audience.screen
    if local:
        _check_own_device(opening.config)
        session, ending = _live(opening, stop, audience, "local", start_local)
    else:
        session, ending = _live_on_ray(opening, stop, audience)
    verdict = verdict_of(session, ending)
    tell_ending(ending, verdict, stop, screen)
    if verdict.outcome is not Outcome.DONE:
        return Trained(session, ending, verdict, None)
    stop.exit_code = EXIT_DONE  # trained and saved: what follows can be had later
    if (limit_s := opening.config.budget.max_time_s) is not None:
        stop.end_within(max(0.0, opening.began + limit_s - time.monotonic()), "training, at the time limit")
    with last_words(
        session.run,
        "it is trained and saved; judge it again with",
        lambda: command_text("robonav", "evaluate", session.run.shown),
    ):
        if best := read_index(session.run.path).why_best():
            screen.print(best)
        report, lost = finish_run(session, ending, screen, stop)
    return Trained(session, ending, verdict if not lost else Verdict(Outcome.FAILED, lost), report)


def _live_on_ray(opening: Opening, stop: StopRequest, audience: Audience) -> tuple[RunSession, Ending]:
    from robonav_ray.nodes.connection import connected

    config = opening.config
    with connected(config.runtime) as cluster:
        from robonav_ray.nodes.connection import ClusterError, look_at_cluster
        from robonav_ray.nodes.resources import plan_when_free
        from robonav_ray.runtime.over_ray.ray_wiring import RayWiring
        from robonav_ray.tracking.remote import PrometheusTracker

        if cluster.num_nodes > 1:
            _check_shared(opening)
        sized = ""
        if opening.resumed is None:
            config, sized = size_to_machine(config, opening.task.spec, cluster.num_cpus)
            opening = replace(opening, config=config)
        plan = plan_when_free(config, cluster)
        _check_device(config, "cuda" if plan.gpus_per_rank else "cpu")
        if not cluster.started_here:
            check_sizes(config, opening.task.spec, cluster.memory_bytes)
        spread = plan.placement.spread_text(cluster.nodes) if plan.placement is not None else ""
        audience.screen.print("\n".join(filter(None, (cluster.describe(), plan.describe(), spread, sized))))
        if not cluster.started_here:
            from robonav_ray.runtime.over_ray.warm_nodes import warm_nodes

            warm_nodes(config, opening.task, cluster.nodes, audience.screen.print)

        def start(session: RunSession) -> tuple[Wiring, list[Tracker]]:
            extra: list[Tracker] = [PrometheusTracker(session.run.path.name)] if config.tracking.prometheus else []
            if session.lost_at is None:
                return RayWiring(session, plan, cluster.nodes), extra
            now = look_at_cluster(started_here=False)  # nodes may have gone with the parts that were lost
            try:
                again = plan_when_free(config, now, at_most=True, wait_s=config.runtime.start_timeout_s)
            except ClusterError as error:
                raise RunInterruptedError(f"too few nodes are left to go on: {error}") from error
            return RayWiring(session, again, now.nodes), extra

        return _live(opening, stop, audience, "ray", start)


def _check_shared(opening: Opening) -> None:
    """Refuse a folder, of the run or of its checkpoints, that is another one on every node; a bucket is one for all."""
    from robonav_ray.nodes.shared_storage import check_shared

    storage = opening.config.checkpoint.storage
    if storage is None:
        check_shared(*opening.folder)
    elif (folder := as_folder(storage)) is not None:
        check_shared(folder, "checkpoint.storage")


def _check_own_device(config: RunConfig) -> None:
    """As ``_check_device``, for a learner in this very process, whose device can be asked."""
    from robonav_ray.learner.devices import check_features, pick_device

    check_features(config.learner, pick_device(config.learner.device))


def _check_device(config: RunConfig, kind: str) -> None:
    """Refuse what the learner's device, of a kind that is known by now, cannot do."""
    try:
        config.learner.check_device(kind)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _live(
    opening: Opening, stop: StopRequest, audience: Audience, wiring: Wirings, start: StartWiring
) -> tuple[RunSession, Ending]:
    """The run to its end: one session, or several where a part was lost that cannot be replaced while the others
    run.
    """
    session, console = opening.begin(), audience.screen
    console.print(Text.assemble((session.run.shown, "bold"), f"  {session.task.describe()}"))
    if told := budget_text(session):
        console.print(told, style="dim")
    lost_at: list[float] = []
    with last_words(session.run, "go on with", lambda: resume_command(session.run)):
        while True:
            try:
                with LiveRun(
                    session, start, wiring_name=wiring, stop=stop, command=command_line(), is_held=True,
                    make_view=audience.make_view, logger=audience.logger,
                ) as live:  # fmt: skip
                    return session, live.finish()
            except PartLostError as error:
                lost_at.append(time.monotonic())
                session = _session_after(session, error, lost_at)
                console.print(f"{message_text(error)}; going on from {session.counters.env_steps:,} env steps")


def _session_after(session: RunSession, error: PartLostError, lost_at: list[float]) -> RunSession:
    """Return the session that goes on from the newest whole checkpoint after ``error``; raises ``error`` when that has
    been tried enough.

    Enough is ``runtime.max_session_restarts`` within an hour, or twice in a row without a checkpoint in between.

    Raises:
        RunInterruptedError: When the storage does not answer, so that nothing is known of its checkpoints.
        CheckpointError: When there are checkpoints and all are damaged.
    """
    recent = [moment for moment in lost_at if lost_at[-1] - moment < RESTARTS_WINDOW_S]
    try:
        checkpoint, damaged = newest_good_checkpoint(session.run.checkpoints, with_rows=True)
    except OSError as away:
        raise RunInterruptedError(f"{error}; and the storage of its checkpoints does not answer ({away})") from error
    for message in damaged:
        logger.warning("%s", message)
    if checkpoint is None and damaged:  # never from the beginning where something had been committed
        raise CheckpointError(f"{error}; and no checkpoint is whole ({damaged[0]})") from error
    stuck = session.lost_at is not None and (checkpoint.path if checkpoint else None) == (
        session.checkpoint.path if session.checkpoint else None
    )
    if len(recent) > session.config.runtime.max_session_restarts or stuck:
        raise error
    return replace(session, checkpoint=checkpoint, goes_on=True, lost_at=lost_at[-1], stored_seen=None)
