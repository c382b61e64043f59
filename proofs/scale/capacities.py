"""What a call at each arrow costs: CPU seconds of the process that serves it and of the one that asks, per call and per
row.

Measured at two sizes, hence a line; CPU seconds and not wall time, so that the figure does not change with the other
work of the machine. One core's worth of a process is then 1 / cost calls per second; ``calls_per_s`` is what really
went through here, client and server on the two cores of this machine. ``undisturbed_s`` is the wall time of a call in
the fastest block of 20, where waiting is what counts.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psutil

from proofs.common.made_up import make_fragment, make_samples, make_snapshot
from proofs.scale.model import Costs, Line
from proofs.scale.system import ray_nodes
from robonav_ray.config.load import load_run_config
from robonav_ray.records import EpisodeResults, Fragment, PolicySnapshot, ReplaySample, TransitionSpec
from robonav_ray.screen import say

IN_FLIGHT, BLOCK = 16, 20
SMALL_ROWS, LARGE_ROWS = 256, 8192
OBS_DIM, NUM_ACTIONS = 120, 15


class Meter:
    """CPU seconds of a serving process and of this one, and wall time, per call."""

    def __init__(self, actor: Any | None, seconds: float) -> None:
        import ray

        self._seconds = seconds
        self._server = (
            None if actor is None else psutil.Process(ray.get(actor.__ray_call__.remote(lambda _: os.getpid())))
        )

    def per_call(self, call: Callable[[], Any], *, waits: bool = True) -> dict[str, float]:
        """Call for a while, with IN_FLIGHT answers outstanding where ``call`` returns a reference; return seconds per
        call.
        """
        import ray

        pending: list[Any] = []
        for _ in range(IN_FLIGHT):  # the first calls pay for connections and code
            call()
        begun, server, client, calls = time.perf_counter(), self._server_s(), time.process_time(), 0
        undisturbed, block = math.inf, begun
        while time.perf_counter() - begun < self._seconds:
            ref = call()
            calls += 1
            if calls % BLOCK == 0:
                now = time.perf_counter()
                undisturbed, block = min(undisturbed, (now - block) / BLOCK), now
            if waits and ref is not None:
                pending.append(ref)
            if len(pending) >= IN_FLIGHT:
                _, pending = ray.wait(pending, num_returns=IN_FLIGHT // 2)
        if pending:
            ray.get(pending)
        wall = time.perf_counter() - begun
        return {
            "served_s": (self._server_s() - server) / calls,
            "asked_s": (time.process_time() - client) / calls,
            "calls_per_s": calls / wall,
            "undisturbed_s": undisturbed,
        }

    def _server_s(self) -> float:
        if self._server is None:
            return 0.0
        times = self._server.cpu_times()
        return times.user + times.system


def line_of(small: float, large: float, small_rows: int = SMALL_ROWS, large_rows: int = LARGE_ROWS) -> Line:
    """Return the line through two measurements, never falling and never below 0."""
    row_s = max(large - small, 0.0) / (large_rows - small_rows)
    return Line(max(small - row_s * small_rows, 0.0), row_s)


def network_snapshot() -> PolicySnapshot:
    """Return the network of the default config."""
    return make_snapshot(OBS_DIM, NUM_ACTIONS, load_run_config().algo)


def measure_services(seconds: float) -> dict[str, dict[str, float]]:
    """Return seconds per call of every actor that serves others, by arrow (``insert:256`` is an insert of 256 rows)."""
    from robonav_ray.config.replay import ReplayConfig
    from robonav_ray.curriculum.remote import start_curriculum
    from robonav_ray.replay.ledger_service import Writer
    from robonav_ray.replay.remote import start_replay
    from robonav_ray.runtime.over_ray.mailbox import MailboxHandle
    from robonav_ray.weights.remote import start_weight_store

    spec = TransitionSpec.for_discrete((OBS_DIM,))
    config = ReplayConfig(capacity=100_000, num_shards=2, min_size=1, samples_per_insert=1.0, error_buffer=1e15)
    replay = start_replay(config, spec, 0, max_insert_rows=LARGE_ROWS, max_sample_rows=LARGE_ROWS, cpus_per_shard=0.2)
    replay.wait_ready(60.0)
    shard, ledger, sequence, rng = replay.shards[0], replay.ledger, iter(range(1 << 30)), np.random.default_rng(0)
    found: dict[str, dict[str, float]] = {}
    at_shard = Meter(shard, seconds)
    for rows in (LARGE_ROWS, SMALL_ROWS):
        fragment = make_fragment(spec, rows, NUM_ACTIONS, rng)
        found[f"insert:{rows}"] = at_shard.per_call(
            lambda f=fragment: shard.insert.remote(replace(f, sequence=next(sequence)))
        )
    for rows in (SMALL_ROWS, LARGE_ROWS):
        found[f"sample:{rows}"] = at_shard.per_call(lambda n=rows: shard.sample.remote(n))
    import ray

    drawn: Any = ray.get(shard.sample.remote(LARGE_ROWS))
    ids = drawn.item_id.copy()
    for rows in (SMALL_ROWS, LARGE_ROWS):
        mine, priority = ids[:rows], rng.random(rows, np.float32)
        found[f"priorities:{rows}"] = at_shard.per_call(lambda i=mine, p=priority: shard.update_priorities.remote(i, p))

    answer: Any = ray.get(ledger.reserve.remote("insert", 64, 0.5, Writer(0, 0)))
    at_ledger = Meter(ledger, seconds)
    found["reserve"] = at_ledger.per_call(lambda: ledger.reserve.remote("insert", 64, 0.5, Writer(0, 0)))
    found["settle"] = at_ledger.per_call(lambda: ledger.settle.remote(answer.reservation))

    curriculum = start_curriculum(load_run_config().curriculum)
    ray.get(curriculum.actor.join.remote(0))
    results = _episodes(4)
    found["assignment"] = Meter(curriculum.actor, seconds).per_call(lambda: curriculum.actor.exchange.remote(results))

    store, weights = start_weight_store()
    snapshot, versions = network_snapshot(), iter(range(1, 1 << 30))
    at_store = Meter(store, seconds)
    found["publish"] = at_store.per_call(lambda: store.publish.remote(replace(snapshot, version=next(versions))))
    found["weights"] = at_store.per_call(lambda: store.newer_than.remote(1 << 30))
    found["pull"] = Meter(None, seconds).per_call(lambda: weights.wait_newer_than(0), waits=False)

    mailbox = MailboxHandle()
    life = ray.get(mailbox.actor.attach.remote())
    metrics = {f"learner/figure_{i}": float(i) for i in range(15)}
    found["mailbox"] = Meter(mailbox.actor, seconds).per_call(lambda: mailbox.actor.exchange.remote(life, metrics))
    found["slice"] = Meter(mailbox.actor, seconds).per_call(lambda: mailbox.actor.latest.remote())
    found |= measure_clients(replay, curriculum, weights, spec, seconds)
    replay.shutdown()
    curriculum.stop()
    return found


def measure_clients(
    replay: Any, curriculum: Any, weights: Any, spec: TransitionSpec, seconds: float
) -> dict[str, dict[str, float]]:
    """Return what a rollout worker pays per fragment shipped, and a rank per call of rows drawn."""
    found, sequence = {}, iter(range(1 << 30))
    meter = Meter(None, seconds)
    assignments, sink = curriculum.source(), replay.transition_sink(2)
    nothing, rng = _episodes(0), np.random.default_rng(0)
    for rows in (SMALL_ROWS, LARGE_ROWS):
        fragment = make_fragment(spec, rows, NUM_ACTIONS, rng, worker=1)

        def ship(fragment: Fragment = fragment) -> None:
            assignments.next_assignment(0)
            weights.newer_than(1 << 30)
            sink.insert(replace(fragment, sequence=next(sequence)))
            assignments.report(nothing)

        found[f"ship:{rows}"] = meter.per_call(ship, waits=False)
        sink.flush()
    for rows in (SMALL_ROWS, LARGE_ROWS):
        source, priorities = replay.batch_source(rows, 2), replay.priority_sink()

        def draw(source: Any = source, priorities: Any = priorities, rows: int = rows) -> None:
            for sample in source.sample(rows, 1) or ():
                priorities.update_priorities(sample.item_id, rng.random(rows, np.float32))

        found[f"draw:{rows}"] = meter.per_call(draw, waits=False)
        source.close()
    return found


def _episodes(num: int) -> EpisodeResults:
    ints, floats = np.zeros(num, np.int32), np.zeros(num, np.float32)
    return EpisodeResults(
        worker=0, stage=ints, world=ints, started_at=ints.astype(np.int64), length=ints + 1,
        outcome=ints.astype(np.int8), task_return=floats, total_return=floats, goals_reached=ints, path_length_m=floats,
        shortest_path_length_m=floats, min_clearance_m=floats, on_gate=ints.astype(np.bool_), watermark=0,
        watermark_stage=0,
    )  # fmt: skip


class _Alone:
    """What a plain worker or learner needs of its neighbours, at no cost."""

    def __init__(self, snapshot: PolicySnapshot, samples: list[ReplaySample], stage: int) -> None:
        self._snapshot, self._samples, self._stage = snapshot, samples, stage

    def next_assignment(self, worker: int) -> Any:
        from robonav_ray.records import Assignment

        return Assignment(stage=self._stage, epsilon=0.1, clock=0, serial=0)

    def newer_than(self, version: int) -> PolicySnapshot | None:
        return self._snapshot if self._snapshot.version > version else None

    def sample(self, batch_size: int, num_batches: int) -> list[ReplaySample]:
        return self._samples[:num_batches]

    def update_priorities(self, item_id: np.ndarray, priority: np.ndarray) -> int:
        return 0

    def exchange(self, metrics: Any) -> Any:
        from robonav_ray.commands import CommandBatch

        return CommandBatch()

    def _ignore(self, *_: Any) -> None:
        return None

    importance_exponent = 0.0
    wait_newer_than = newer_than
    report = insert = publish = reply = set_learner_step = _ignore


def measure_steps(seconds: float, worlds: tuple[int, int] = (16, 256), steps: int = 16) -> dict[str, dict[str, float]]:
    """Return CPU seconds per vector step of a rollout worker in our worlds, stage 4, acting included (``step:16`` has
    16 worlds).
    """
    from robonav_ray.algo.policy import Policy
    from robonav_ray.rollout.worker import RolloutWorker
    from robonav_ray.worlds.make import make_vector_env

    found = {}
    for num in worlds:
        config = load_run_config(None, [f"rollout.num_worlds={num}", f"rollout.steps_per_fragment={steps}"])
        levels = tuple(stage.level for stage in config.curriculum.stages)
        env = make_vector_env(config.env, levels, num_envs=num, first_world=0, seed=0, gamma=config.algo.gamma)
        shape = env.single_observation_space.shape
        assert shape == (OBS_DIM,)
        alone: Any = _Alone(network_snapshot(), [], len(levels) - 1)
        worker = RolloutWorker(
            worker=0, life=0, env=env, policy=Policy(OBS_DIM, NUM_ACTIONS, config.algo), algo=config.algo,
            rollout=config.rollout, seed=0, first_world=0, num_lanes_total=num, gate_ladder_frac=0.5, assignments=alone,
            sink=alone, weights=alone,
        )  # fmt: skip
        each = Meter(None, seconds).per_call(worker.collect, waits=False)
        found[f"step:{num}"] = {
            name: value * (steps if name == "calls_per_s" else 1 / steps) for name, value in each.items()
        }
    return found


def measure_updates(seconds: float, batches: tuple[int, int] = (128, 1024)) -> dict[str, dict[str, float]]:
    """Return CPU seconds per update of the learner's loop on one thread (``update:128`` has a batch of 128)."""
    from robonav_ray.config.algo import AlgoConfig
    from robonav_ray.config.learner import LearnerConfig
    from robonav_ray.learner.devices import set_threads
    from robonav_ray.learner.loop import LearnerLoop
    from robonav_ray.learner.state import LearnerState

    set_threads(1)
    spec, found = TransitionSpec.for_discrete((OBS_DIM,)), {}
    for size in batches:
        algo, config = AlgoConfig(), LearnerConfig(batch_size=size)
        alone: Any = _Alone(network_snapshot(), make_samples(spec, size, NUM_ACTIONS, 1) * config.batches_per_call, 0)
        loop = LearnerLoop(
            LearnerState(OBS_DIM, NUM_ACTIONS, algo, config, seed=0), algo, config, spec,
            source=alone, priorities=alone, weights=alone, commands=alone,
        )  # fmt: skip
        each = Meter(None, seconds).per_call(lambda loop=loop: loop.advance(8) and None, waits=False)
        found[f"update:{size}"] = {
            name: value * 8 if name == "calls_per_s" else value / 8 for name, value in each.items()
        }
    return found


def measure_all_reduce(seconds: float, floats: tuple[int, int] = (20_000, 500_000)) -> dict[str, dict[str, float]]:
    """Return seconds per all-reduce over two processes with gloo (``all_reduce:20000`` averages 20,000 float32)."""
    import ray

    class Member:
        def __init__(self, rank: int, path: str) -> None:
            import torch.distributed as dist

            dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)

        def run(self, num: int, seconds: float) -> tuple[float, float, float]:
            import torch
            import torch.distributed as dist

            gradient, go = torch.ones(num), torch.ones(1)
            calls, fastest, began, cpu = 0, math.inf, time.perf_counter(), time.process_time()
            while go.item():
                block = time.perf_counter()
                for _ in range(BLOCK):
                    dist.all_reduce(gradient)
                calls, fastest = calls + BLOCK, min(fastest, (time.perf_counter() - block) / BLOCK)
                go[0] = float(time.perf_counter() - began < seconds)
                dist.broadcast(go, 0)
            return (time.process_time() - cpu) / calls, calls / (time.perf_counter() - began), fastest

    import tempfile

    actor_class: Any = ray.remote(num_cpus=0)(Member)
    found = {}
    with tempfile.TemporaryDirectory(prefix="robonav-gloo-") as directory:
        members = [actor_class.remote(rank, f"{directory}/store") for rank in range(2)]
        for num in floats:
            cpu_s, calls_per_s, fastest_s = ray.get([member.run.remote(num, seconds) for member in members])[0]
            found[f"all_reduce:{num}"] = {
                "served_s": 0.0,
                "asked_s": cpu_s,
                "calls_per_s": calls_per_s,
                "undisturbed_s": fastest_s,
            }
    for member in members:
        ray.kill(member)
    return found


def costs_from(found: dict[str, dict[str, float]]) -> Costs:
    """Return the model's costs from what was measured."""

    def line(name: str, what: str) -> Line:
        (small, small_s), (large, large_s) = sorted(
            (int(key.partition(":")[2]), each[what]) for key, each in found.items() if key.startswith(f"{name}:")
        )
        return line_of(small_s, large_s, small, large)

    return Costs(
        reserve_s=found["reserve"]["served_s"], settle_s=found["settle"]["served_s"],
        assignment_s=found["assignment"]["served_s"], weights_s=found["weights"]["served_s"],
        publish_s=found["publish"]["served_s"], mailbox_s=found["mailbox"]["served_s"],
        slice_s=found["slice"]["asked_s"], pull_s=found["pull"]["asked_s"], insert=line("insert", "served_s"),
        sample=line("sample", "served_s"), priorities=line("priorities", "served_s"), ship=line("ship", "asked_s"),
        draw=line("draw", "asked_s"), step=line("step", "asked_s"), update=line("update", "asked_s"),
        all_reduce=line("all_reduce", "undisturbed_s"), ship_latency_s=found[f"ship:{SMALL_ROWS}"]["undisturbed_s"],
        snapshot_floats=sum(array.size for array in network_snapshot().arrays),
    )  # fmt: skip


def bench_capacities(seconds: float = 2.0) -> dict[str, Any]:
    """Return what was measured, and the costs for the model."""
    found = measure_steps(seconds)
    with ray_nodes():
        found |= measure_services(seconds)
        found |= measure_all_reduce(seconds)
    found |= measure_updates(seconds)
    for name, each in found.items():
        served, asked = each["served_s"] * 1e6, each["asked_s"] * 1e6
        say(f"{name:20s} {each['calls_per_s']:10,.0f} /s   served {served:9,.0f} us   asked {asked:9,.0f} us")
    return {
        "measured": found,
        "costs": costs_from(found).as_dict(),
        "row_bytes": TransitionSpec.for_discrete((OBS_DIM,)).row_bytes,
    }
