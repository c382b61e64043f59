"""The learner fed by replay actors against a bare torch loop, turn about in one process on one thread.

``updates_per_s`` is the whole loop of a rank: prioritised batches drawn from Ray actors, copied to tensors, the update,
new priorities sent back, weights published to the store, the mailbox. ``bare_updates_per_s`` makes the same update on
one batch that stays in memory. ``ratio`` is the median over rounds of the one to the other. Two more say what it would
be on a machine that does nothing else: ``undisturbed_ratio`` leaves out the time in which the learner's thread could
have run but had no core (``stolen_frac`` of it, also when it was the replay's own processes that had it), ``cpu_ratio``
also the time in which it waited for batches or for the interpreter. ``wait_frac`` is the part of the time in which the
learner waited for a batch.

``--preset navigation`` takes a preset's algorithm, batch and precision, our worlds' rows, and the sizes of a run over
Ray on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import numpy as np
import torch
from torch import nn

from proofs.common.made_up import fill, make_fragment
from robonav_ray.algo.losses import polyak_update
from robonav_ray.algo.objective import Batch, make_objective
from robonav_ray.commands import Answer, CommandBatch
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.config.replay import ReplayConfig
from robonav_ray.learner.devices import set_threads, share_interpreter
from robonav_ray.learner.loop import LearnerLoop
from robonav_ray.learner.state import LearnerState
from robonav_ray.nodes.own_ray import own_ray
from robonav_ray.records import Metrics, TransitionSpec
from robonav_ray.replay.remote import start_replay
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.auto_sizes import size_to_machine
from robonav_ray.screen import say
from robonav_ray.weights.remote import start_weight_store

FRAGMENT_ROWS = 2048


class QuietMailbox:
    """A CommandChannel that never asks for anything."""

    def __init__(self) -> None:
        self.metrics: Metrics = {}

    def exchange(self, metrics: Metrics) -> CommandBatch:
        """Keep the metrics; there is never a command."""
        self.metrics = metrics
        return CommandBatch()

    def reply(self, command_id: int, answer: Answer) -> None:
        """Not called, as there are no commands."""
        raise AssertionError("no command was given")


def make_bare_loop(obs_dim: int, num_actions: int, algo: AlgoConfig, config: LearnerConfig):
    """Return a function that makes one update with nothing around it: torch.optim, one resident batch."""
    state = LearnerState(obs_dim, num_actions, algo, config, seed=0)
    online, target, objective, precision = state.online, state.target, make_objective(algo), state.precision
    parameters, targets = list(online.parameters()), list(target.parameters())
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, eps=config.adam_eps, fused=True)
    size = config.batch_size
    batch = Batch(
        obs=torch.randn(size, obs_dim),
        action=torch.randint(0, num_actions, (size,)),
        reward=torch.randn(size),
        next_obs=torch.randn(size, obs_dim),
        discount=torch.full((size,), algo.gamma**algo.n_step),
        importance_weight=torch.rand(size),
    )

    def update() -> None:
        draws = objective.draw(online, 0, 0, size, state.device)
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            rows = objective.rows(online, online, target, batch, draws)
        (batch.importance_weight * rows.loss).mean().backward()
        nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        optimizer.step()
        polyak_update(targets, parameters, config.target_tau)

    return update


class Pace(NamedTuple):
    """Seconds per update."""

    wall: float
    cpu: float
    """Of the learner's thread."""
    stolen: float
    """In which the thread could have run, but had no core."""


def thread_delay() -> float:
    """Return the seconds in which this thread waited for a core so far (Linux; 0 elsewhere)."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    return int(path.read_text().split()[1]) / 1e9 if path.is_file() else 0.0


def timed_updates(make_updates: Callable[[int], None], num_updates: int) -> Pace:
    """Return what ``num_updates`` took."""
    start = (time.perf_counter(), time.thread_time(), thread_delay())
    make_updates(num_updates)
    end = (time.perf_counter(), time.thread_time(), thread_delay())
    return Pace(*((b - a) / num_updates for a, b in zip(start, end, strict=True)))


def _chosen(args: argparse.Namespace) -> tuple[AlgoConfig, LearnerConfig]:
    """Return what is measured; with a preset, set the sizes of ``args`` to those of a run of it on this machine, where
    not given.
    """
    if args.preset is None:
        algo, config, shards = AlgoConfig(), LearnerConfig(), 2
    else:
        run = load_run_config(None, [f"preset={args.preset}"])
        task = describe_task(run)
        run = size_to_machine(run, task.spec, float(os.cpu_count() or 1)).config
        algo, config, shards = run.algo, run.learner, run.replay.num_shards
        args.obs_dim, args.num_actions = task.obs_dim, task.num_actions
    args.shards = args.shards or shards
    given = {"batch_size": args.batch, "batches_per_call": args.batches_per_call}
    return algo, config.model_copy(update={key: value for key, value in given.items() if value is not None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument(
        "--preset", help="take a preset's algorithm, batch and precision, and a run's sizes on this machine"
    )
    parser.add_argument("--batch", type=int, help="rows per update (default: the config's)")
    parser.add_argument("--batches-per-call", type=int)
    parser.add_argument("--obs-dim", type=int, default=122)
    parser.add_argument("--num-actions", type=int, default=15)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--shards", type=int)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--updates", type=int, default=160, help="updates per round and side")
    args = parser.parse_args(arguments)
    set_threads(1)
    share_interpreter()
    algo, config = _chosen(args)
    spec = TransitionSpec.for_discrete((args.obs_dim,))
    with own_ray(num_cpus=2, include_dashboard=False, object_store_memory=250_000_000, log_to_driver=False):
        replay_config = ReplayConfig(
            capacity=args.items,
            num_shards=args.shards,
            min_size=args.items // 2,
            samples_per_insert=1.0,
            error_buffer=1e15,
        )
        rows_per_call = config.batch_size * config.batches_per_call
        replay = start_replay(
            replay_config, spec, 0, max_insert_rows=FRAGMENT_ROWS, max_sample_rows=rows_per_call, cpus_per_shard=0.2
        )
        replay.wait_ready(60.0)
        fragment = make_fragment(spec, FRAGMENT_ROWS, args.num_actions, np.random.default_rng(0))
        fill(replay.transition_sink(max_in_flight=4), fragment, args.items // FRAGMENT_ROWS)
        _store, weights = start_weight_store()
        source = replay.batch_source(rank=0, prefetch_calls=config.prefetch_calls)
        state = LearnerState(args.obs_dim, args.num_actions, algo, config, seed=0)
        mailbox = QuietMailbox()
        loop = LearnerLoop(
            state,
            algo,
            config,
            spec,
            source=source,
            priorities=replay.priority_sink(config.batches_per_call),
            weights=weights,
            commands=mailbox,
        )
        loop.publish()
        bare_update = make_bare_loop(args.obs_dim, args.num_actions, algo, config)

        def learner(num_updates: int) -> None:
            made = 0
            while made < num_updates:
                made += loop.advance(num_updates - made)
            loop.look()

        def bare(num_updates: int) -> None:
            for _ in range(num_updates):
                bare_update()

        paces: dict[str, list[Pace]] = {"learner": [], "bare": []}
        waits: list[float] = []
        for _ in range(args.rounds):
            learner(4 * config.batches_per_call)  # what was prefetched while the other side ran does not count
            paces["learner"].append(timed_updates(learner, args.updates))
            waits.append(mailbox.metrics["learner/wait_frac"])
            bare(8)
            paces["bare"].append(timed_updates(bare, args.updates))
        source.close()
        replay.shutdown()
    pairs = list(zip(paces["learner"], paces["bare"], strict=True))
    result = {
        "updates_per_s": round(1 / statistics.median(p.wall for p in paces["learner"]), 1),
        "bare_updates_per_s": round(1 / statistics.median(p.wall for p in paces["bare"]), 1),
        "ratio": round(statistics.median(bare.wall / p.wall for p, bare in pairs), 3),
        "undisturbed_ratio": round(
            statistics.median((bare.wall - bare.stolen) / (p.wall - p.stolen) for p, bare in pairs), 3
        ),
        "cpu_ratio": round(statistics.median(bare.cpu / p.cpu for p, bare in pairs), 3),
        "stolen_frac": round(statistics.median(p.stolen / p.wall for p, _ in pairs), 3),
        "wait_frac": round(statistics.median(waits), 3),
        "batch": config.batch_size,
        "batches_per_call": config.batches_per_call,
        "shards": args.shards,
        "rounds": args.rounds,
    }
    for name, value in result.items():
        say(f"{name:20} {value}")
    if args.json:
        say(json.dumps(result))
