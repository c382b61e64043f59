"""The wiring over Ray, on one screen: which actors there are, and who holds a handle to whom.

::

    curriculum <--assignments, episodes-- rollout workers --fragments--> shards --batches--> learner ranks (Ray Train)
        ^                                     |     ^                     ^                     |   |        ^
        | progress                reservations|     |weights              +---- priorities -----+   |        | commands
        |                                     v     |                                               |        |
     driver ---- polls ---------------->   ledger   +-------------- weight store <-----publish------+     mailbox
                                                                                                             ^
                                                                                                             |
                                                                                                           driver

What polls them is in ``ray_wiring.py``, what saves them in ``ray_cut.py``, what shares the worlds out anew in
``sharing.py``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from robonav_ray.counter_rng import ROLE_NETWORK, seed_for
from robonav_ray.curriculum.remote import CurriculumHandle, start_curriculum
from robonav_ray.errors import PartLostError
from robonav_ray.files.storage import join
from robonav_ray.hosted_remote import Host
from robonav_ray.learner.remote import LearnerHandle, LearnerOrder, start_learner
from robonav_ray.nodes.resources import Plan
from robonav_ray.nodes.strategies import here, near
from robonav_ray.ranges import within
from robonav_ray.replay.remote import ReplayHandles, start_replay
from robonav_ray.rollout.fleet import RolloutFleet
from robonav_ray.rollout.make_worker import WorkerOrder
from robonav_ray.rollout.remote import RayWorkerProcesses
from robonav_ray.runs.checkpoint import Checkpoint
from robonav_ray.runs.policies import read_policy
from robonav_ray.runs.stored_runs import ray_train_notes
from robonav_ray.runs.taking_up import taking_up
from robonav_ray.runtime.over_ray.events import EventLog
from robonav_ray.runtime.over_ray.league_part import LeagueHandle, start_curriculum_with_league
from robonav_ray.runtime.over_ray.mailbox import MailboxHandle
from robonav_ray.runtime.self_play.match_process import SHARE
from robonav_ray.runtime.self_play.start_league import LEAGUE_FILE, has_league, league_parts
from robonav_ray.runtime.sizes import max_fragment_rows, max_sample_rows
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.weights.remote import RemoteWeights, start_weight_store

CALL_TIMEOUT_S = 20.0
"""Longest wait of the driver for the answer of a part; the learner looks every quarter of a second."""
LIVES_PER_SESSION = 1 << 16
"""Identities of workers rise by this much from session to session; so many deaths of one worker keep them apart."""
WORKERS_PER_HOST = 8
"""So many workers leave the process that mailbox, curriculum and ledger share idle for three quarters of the time."""


@dataclass(frozen=True)
class Parts:
    """All actors of a session, in the hands of the driver."""

    events: EventLog
    """Is told what happens to them."""
    hosts: tuple[Host, ...]
    """One that holds the mailbox, the curriculum and the ledger, or one of each."""
    mailbox: MailboxHandle
    store: Any
    """The weight store's actor."""
    weights: RemoteWeights
    """Its client."""
    curriculum: CurriculumHandle
    replay: ReplayHandles
    """The ledger and the shards."""
    learner: LearnerHandle
    fleet: RolloutFleet
    """The rollout workers."""


def start_parts(session: RunSession, plan: Plan) -> Parts:
    """Start everything at once and return without waiting for it to be up; only what ``session.checkpoint`` holds is
    waited for.

    The mailbox, the curriculum and the ledger share one actor without a CPU of its own, on the driver's node: losing it
    ends the session. The weight store, without which the session goes on, is an actor of its own there. For many
    workers each of the three has its own.
    """
    config, task = session.config, session.task
    events = EventLog(session.run.path)
    hosts = [Host(scheduling_strategy=here()) for _ in range(1 if plan.num_workers <= WORKERS_PER_HOST else 3)]
    mailbox = MailboxHandle(host=hosts[0])
    store, weights = start_weight_store(scheduling_strategy=here())
    league, host = league_parts(session, match_share=SHARE), hosts[len(hosts) // 2]
    if league is None:
        curriculum = start_curriculum(config.curriculum, task.has_outcomes, host)
    else:
        curriculum = start_curriculum_with_league(config.curriculum, task.has_outcomes, host, league)
    replay = start_replay(
        config.replay, task.spec, config.seed,
        max_insert_rows=max_fragment_rows(config, max(n for _, n in plan.worlds)),
        max_sample_rows=max_sample_rows(config), cpus_per_shard=plan.cpus_per_shard,
        strategies=[near(node) for node in plan.placement.shards] if plan.placement else (), host=hosts[-1],
    )  # fmt: skip
    if session.checkpoint is not None:
        _take_up(session.checkpoint, curriculum, replay, weights, config.runtime.start_timeout_s)
    learner = _start_learner(session, plan, replay, weights, mailbox)
    mailbox.watch(learner.ended_because)
    fleet = RolloutFleet(
        worker_orders(session, plan, curriculum, replay, weights),
        RayWorkerProcesses(plan.cpus_per_worker, near),
        max_restarts=config.rollout.max_restarts,
        on_lost=lambda worker, life: _forget_worker(worker, life, curriculum, replay),
        note=events.note,
        nodes=worker_nodes(plan),
    )
    return Parts(events, tuple(hosts), mailbox, store, weights, curriculum, replay, learner, fleet)


def worker_orders(
    session: RunSession, plan: Plan, curriculum: CurriculumHandle, replay: ReplayHandles, weights: RemoteWeights
) -> list[WorkerOrder]:
    """Return what each rollout worker of ``plan`` is made from: it holds the curriculum, the ledger (which names the
    shards), the store.
    """
    config = session.config
    return [
        WorkerOrder(
            config=config, levels=session.task.levels, worker=worker,
            life=session.counters.incarnation * LIVES_PER_SESSION, first_world=first, num_worlds=num_worlds,
            assignments=curriculum.source(), sink=replay.transition_sink(config.rollout.max_in_flight), weights=weights,
            pool=curriculum.pool() if isinstance(curriculum, LeagueHandle) else None,
        )
        for worker, (first, num_worlds) in enumerate(plan.worlds)
    ]  # fmt: skip


def worker_nodes(plan: Plan) -> tuple[str, ...]:
    """Return the node of each worker; none where the plan leaves that to Ray."""
    return plan.placement.workers if plan.placement else ()


def _start_learner(
    session: RunSession, plan: Plan, replay: ReplayHandles, weights: RemoteWeights, mailbox: MailboxHandle
) -> LearnerHandle:
    """The ranks hold the ledger, which names the shards, the weight store and the mailbox."""
    config, task, checkpoint = session.config, session.task, session.checkpoint
    return start_learner(
        LearnerOrder(
            algo=config.algo,
            learner=config.learner,
            spec=task.spec,
            obs_dim=task.obs_dim,
            num_actions=task.num_actions,
            structure=task.structure,
            seed=seed_for(config.seed, ROLE_NETWORK),
            sources=tuple(replay.batch_source(rank, config.learner.prefetch_calls) for rank in range(plan.num_ranks)),
            priorities=replay.priority_sink(config.learner.batches_per_call),
            weights=weights,
            commands=mailbox.channel(),
            device="cuda" if plan.gpus_per_rank else "cpu",
            resume_from=join(checkpoint.location, "learner") if checkpoint else None,
            dump_directory=str(session.run.path.absolute()),
        ),
        run_name=f"session-{session.counters.incarnation}-{time.time_ns()}",
        storage_path=ray_train_notes(config.checkpoint.storage, session.run),
        notes=ray_train_notes(None, session.run),
        num_ranks=plan.num_ranks,
        cpus_per_rank=plan.cpus_per_rank,
        gpus_per_rank=plan.gpus_per_rank,
        max_restarts=config.learner.max_restarts,
        start_timeout_s=config.runtime.start_timeout_s / 2,
    )


def _take_up(
    checkpoint: Checkpoint,
    curriculum: CurriculumHandle,
    replay: ReplayHandles,
    weights: RemoteWeights,
    timeout_s: float,
) -> None:
    """Load curriculum and replay, each of which may take ``timeout_s`` to start, and publish the policy, so that no
    worker acts without one while the learner comes up.
    """
    with taking_up(checkpoint):
        with within("curriculum.json: "):
            curriculum.load(checkpoint.read_json("curriculum.json"), timeout_s)
        load_league(checkpoint, curriculum, timeout_s)
        if checkpoint.rows is not None:
            replay.load(checkpoint.rows, timeout_s)
    weights.publish(read_policy(checkpoint, "online"))


def load_league(checkpoint: Checkpoint, curriculum: CurriculumHandle, timeout_s: float | None = None) -> None:
    """Have the league, where there is one here and there, go on from ``checkpoint``."""
    if isinstance(curriculum, LeagueHandle) and has_league(checkpoint):
        with within(f"{LEAGUE_FILE}: "):
            curriculum.load_league(checkpoint.read_json(LEAGUE_FILE), timeout_s)


def _forget_worker(worker: int, life: int, curriculum: CurriculumHandle, replay: ReplayHandles) -> int:
    """Forget a worker's life everywhere, so that nothing waits for it and nothing that it may still send is taken;
    return rows lost.
    """
    try:
        [rows] = ray.get([replay.ledger.fence.remote(worker, life)], timeout=CALL_TIMEOUT_S)
        curriculum.worker_lost(worker)
    except RayError as error:
        raise PartLostError(f"a part did not answer while rollout worker {worker} was replaced: {error}") from error
    return int(rows)
