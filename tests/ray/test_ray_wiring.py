"""The wiring over Ray, end to end: it learns, keeps its pacing, survives kills, saves, and another life takes it up."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from robonav_ray.config.load import load_run_config
from robonav_ray.nodes.connection import ClusterFacts
from robonav_ray.nodes.resources import make_plan
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters, open_checkpoint
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.over_ray.events import read_events
from robonav_ray.runtime.over_ray.ray_wiring import RayWiring
from robonav_ray.runtime.wiring import RunSession, WiringFacts
from tests.e2e.test_hindsight_learns import BITFLIP
from tests.e2e.test_local_wiring import SMALL

pytestmark = pytest.mark.ray
CONFIG = load_run_config(
    None, [*SMALL, "rollout.num_workers=2", "replay.samples_per_insert=4", "learner.publish_interval=5"]
)
EIGHT_CPUS = ClusterFacts("local", True, 1, 8.0, 0.0, 8.0, 2**33)


def start(run: RunDirectory, checkpoint: Checkpoint | None = None) -> RayWiring:
    session = RunSession(CONFIG, describe_task(CONFIG), run, checkpoint, time.monotonic())
    return RayWiring(session, make_plan(CONFIG, EIGHT_CPUS))


def poll_until(wiring: RayWiring, true: Callable[[WiringFacts], bool], timeout_s: float = 90.0) -> WiringFacts:
    until = time.monotonic() + timeout_s
    while True:
        facts = wiring.poll(0.2)
        if true(facts):
            return facts
        assert time.monotonic() < until, facts


def kill_process_of(actor: object) -> None:
    pid = ray.get(actor.__ray_call__.remote(lambda self: os.getpid()))  # type: ignore[attr-defined]
    os.kill(pid, signal.SIGKILL)


def save(wiring: RayWiring, run: RunDirectory, facts: WiringFacts) -> Checkpoint:
    writer = CheckpointWriter(run.checkpoints, Counters(facts.env_steps, facts.learner_steps, 1.0, 1))
    wiring.save(writer)
    checkpoint = open_checkpoint(writer.commit().path)
    wiring.committed(checkpoint)
    return checkpoint


@pytest.mark.timeout(300)
def test_a_life_of_a_run_and_the_next_one(ray_session: None, tmp_path: Path) -> None:
    run = create_run(CONFIG, tmp_path / "run")
    wiring = start(run)
    try:
        facts = poll_until(wiring, lambda f: f.learner_steps >= 100)
        assert facts.num_workers == 2
        checkpoint = save(wiring, run, facts)

        poll_until(wiring, lambda f: f.metrics["rollout/spares_ready"] == 1)
        (spare,) = wiring.parts.fleet._spares._spares.values()
        kill_process_of(wiring.parts.fleet._lives[0].process.actor)
        facts = poll_until(wiring, lambda f: f.num_replaced == 1)
        assert wiring.parts.fleet._lives[0].process.actor == spare.process.actor, (
            "the next life begins in the process that waited for it"
        )
        steps = facts.env_steps
        poll_until(wiring, lambda f: f.env_steps > steps + 1000)
        poll_until(wiring, lambda f: f.metrics["rollout/spares_ready"] == 1)

        kill_process_of(wiring.parts.replay.shards[1])
        facts = poll_until(wiring, lambda f: "shard 1 came back" in f.message)
        assert facts.num_replaced == 2
        steps = facts.learner_steps
        facts = poll_until(wiring, lambda f: f.learner_steps > steps + 200)
        ratio = facts.metrics["replay/samples_per_insert"]
        assert ratio == pytest.approx(4.0, rel=0.05)
        happened = {(e["event"], e["part"]) for e in read_events(run.path)}
        assert happened >= {("lost", "rollout/0"), ("back", "rollout/0"), ("lost", "replay/1"), ("back", "replay/1")}
        assert facts.metrics["rollout/policy_version"] > 10
        last = save(wiring, run, facts)
        versions = last.read_json("learner/learner.json")["counters"]["policy_version"]
        assert versions > checkpoint.read_json("learner/learner.json")["counters"]["policy_version"]
    finally:
        wiring.close()

    again = start(run, last)
    try:
        first = again.poll(0.0)
        assert first.env_steps >= last.counters.env_steps
        assert first.progress.num_episodes >= last.read_json("curriculum.json")["totals"][0]["num_episodes"]
        facts = poll_until(again, lambda f: f.learner_steps > last.counters.learner_steps + 50)
        assert facts.metrics["learner/policy_version"] > versions
        assert facts.metrics["replay/size"] >= CONFIG.replay.min_size
    finally:
        again.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hindsight_over_shards_and_workers_solves_what_plain_replay_does_not(ray_session: None, tmp_path: Path) -> None:
    """Bit flipping pays -1 a step until the goal: with 12 bits nearly no episode finds it, so what is learned comes
    from relabelling."""
    config = load_run_config(
        BITFLIP,
        ["env.kwargs.num_bits=12", "algo.hidden_dims=[64]", "learner.batch_size=128", "replay.num_shards=2",
         "replay.capacity=100_000", "replay.min_size=2_000", "rollout.num_workers=2", "checkpoint.replay=false"],
    )  # fmt: skip
    run = create_run(config, tmp_path / "run")
    wiring = RayWiring(
        RunSession(config, describe_task(config), run, None, time.monotonic()), make_plan(config, EIGHT_CPUS)
    )
    try:
        facts = poll_until(
            wiring, lambda f: f.progress.window.success_frac > 0.8 and f.progress.window.num_episodes >= 50, 150.0
        )
        # a step is stored once as it was and num_goals times with another goal, less at the ends of episodes
        assert facts.metrics["replay/rows_inserted"] > (1 + config.hindsight.num_goals / 2) * facts.env_steps
        assert len(wiring.parts.replay.shards) == 2
    finally:
        wiring.close()
