"""The wiring over Ray, end to end: what dies or freezes comes back, worlds are shared out anew, its end leaves nothing.

The tests share a run that goes on from one to the next (each starts one of its own where there is none), because its
ten processes are dear.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import ray

from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.errors import PartLostError
from robonav_ray.histograms import Histogram
from robonav_ray.nodes.connection import ClusterFacts
from robonav_ray.nodes.part_placement import NodeFacts
from robonav_ray.nodes.resources import make_plan, split_worlds
from robonav_ray.part_names import Part
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters, open_checkpoint
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.over_ray.events import read_events
from robonav_ray.runtime.over_ray.ray_wiring import RayWiring
from robonav_ray.runtime.over_ray.warm_nodes import warm_nodes
from robonav_ray.runtime.part_titles import title_starts
from robonav_ray.runtime.wiring import RunSession, WiringFacts
from robonav_ray.tracking.metric_table import unknown_metrics
from tests.e2e.test_hindsight_learns import BITFLIP

pytestmark = pytest.mark.ray
EIGHT_CPUS = ClusterFacts("local", True, 1, 8.0, 0.0, 8.0, 2**33)
WORLDS_THAT_WAIT = ["env.id=proofs.scale.worlds:robonav_ray/Latency-v0", "env.kwargs.step_s=0.005"]
"""Some 1,600 env steps/s of eight worlds: enough for every test, and what it waits for has the cores."""
CONFIG = load_run_config(
    None,
    [*WORLDS_THAT_WAIT, "algo.hidden_dims=[32, 32]", "rollout.num_worlds=8", "rollout.steps_per_fragment=16",
     "rollout.num_workers=2", "replay.num_shards=2", "replay.capacity=3000", "replay.min_size=300",
     "replay.samples_per_insert=4", "learner.batch_size=32", "learner.batches_per_call=4", "learner.publish_interval=5",
     "runtime.cpus_per_rollout_worker=0.5", "runtime.heartbeat_timeout_s=12",
     "runtime.start_timeout_s=400"],
)  # fmt: skip


def start(config: RunConfig, run: RunDirectory) -> RayWiring:
    session = RunSession(config, describe_task(config), run, None, time.monotonic())
    return RayWiring(session, make_plan(config, EIGHT_CPUS))


def poll_until(wiring: RayWiring, true: Callable[[WiringFacts], bool], timeout_s: float = 300.0) -> WiringFacts:
    until = time.monotonic() + timeout_s
    while True:
        facts = wiring.poll(0.2)
        if true(facts):
            return facts
        assert time.monotonic() < until, facts


def pid_of(actor: object) -> int:
    return int(ray.get(actor.__ray_call__.remote(lambda self: os.getpid())))  # type: ignore[attr-defined]


def events(run: Path) -> list[tuple[str, str]]:
    return [(event["event"], event["part"]) for event in read_events(run)]


def is_titled(process: psutil.Process, *titles: str) -> bool:
    """Whether its title begins with one of ``titles``, and it lives."""
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE and " ".join(process.cmdline()).startswith(titles)
    return False


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def is_of_a_session(process: psutil.Process) -> bool:
    """Whether it is an actor that a session starts for itself, alive."""
    ranks = (Part.RANK, Part.CONTROLLER)  # Ray Train ends its own
    return is_titled(process, *title_starts(*(part for part in Part if part not in ranks)))


def free_cpus() -> float:
    return ray.available_resources().get("CPU", 0.0)


def share_out(wiring: RayWiring, config: RunConfig, num_workers: int) -> None:
    plan = make_plan(config, EIGHT_CPUS)
    wiring.share_out(replace(plan, num_workers=num_workers, worlds=split_worlds(8, num_workers)))


def all_moved(wiring: RayWiring) -> Callable[[WiringFacts], bool]:
    fleet = wiring.parts.fleet
    return lambda facts: not fleet._target and fleet.num_running == fleet.num_workers


def ranges(wiring: RayWiring) -> list[tuple[int, int]]:
    """Return the first world of each worker, and how many it has."""
    return [(order.first_world, order.num_worlds) for order in wiring.parts.fleet._orders]


def shares(num_workers: int) -> list[tuple[int, int]]:
    return [(i * 8 // num_workers, 8 // num_workers) for i in range(num_workers)]


@dataclass(frozen=True)
class Living:
    """A run at work, and what there was before it."""

    run: RunDirectory
    wiring: RayWiring
    free_cpus: float
    others: set[int]
    """Processes of other sessions."""

    def save(self, facts: WiringFacts) -> Checkpoint:
        writer = CheckpointWriter(self.run.checkpoints, Counters(facts.env_steps, facts.learner_steps, 1.0, 1))
        self.wiring.save(writer)
        checkpoint = open_checkpoint(writer.commit().path)
        self.wiring.committed(checkpoint)
        return checkpoint


@pytest.fixture(scope="module")
def kept() -> Iterator[list[Living]]:
    """The run that the tests share, if there is one."""
    kept: list[Living] = []
    yield kept
    for living in kept:
        living.wiring.close()


@pytest.fixture
def living(
    ray_session: None, kept: list[Living], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Living]:
    """A run with two workers and two shards, at work; another one after a test that has failed or has ended it."""
    if not kept:
        node = NodeFacts(ray.get_runtime_context().get_node_id(), "127.0.0.1", 1.0)
        warm_nodes(CONFIG, describe_task(CONFIG), (node,), print, timeout_s=500.0)  # as a command does
        others = {process.pid for process in psutil.process_iter() if is_of_a_session(process)}
        free, run = free_cpus(), create_run(CONFIG, tmp_path_factory.mktemp("living") / "run")
        kept.append(Living(run, start(CONFIG, run), free, others))
    failures, at_work = request.session.testsfailed, False
    try:
        poll_until(kept[0].wiring, lambda f: f.learner_steps >= 50 and f.metrics["rollout/workers_running"] == 2)
        at_work = True
        yield kept[0]
    finally:
        if not at_work or request.session.testsfailed > failures or kept[0].wiring._closed:
            kept.pop().wiring.close()


def test_what_is_killed_comes_back_and_the_pacing_is_kept(living: Living) -> None:
    wiring, fleet = living.wiring, living.wiring.parts.fleet
    facts = poll_until(wiring, lambda f: f.learner_steps >= 100 and f.metrics["rollout/spares_ready"] == 1)
    assert facts.num_workers == 2
    first = living.save(facts)
    assert unknown_metrics(facts.metrics) == []
    told = list[tuple[Histogram, ...]]()
    poll_until(wiring, lambda _: bool(told.extend(filter(None, [wiring.histograms()])) or told))
    names = {histogram.name for histogram in told[0]}
    assert names >= {"learner/weights/head.weight", "learner/td_error", "replay/priority", "rollout/episode_length"}
    assert {h.name: h.counts.sum() for h in told[0]}["replay/priority"] > 300, "of both shards"

    copied = wiring.networks()
    assert copied.learner_step >= facts.learner_steps, "the learner goes on meanwhile"
    assert {name.partition(".")[0] for name in copied.arrays} == {"online", "target"}

    (spare,) = fleet._spares._spares.values()
    os.kill(pid_of(fleet._lives[0].process.actor), signal.SIGKILL)
    facts = poll_until(wiring, lambda f: ("back", "rollout/0") in events(living.run.path))
    assert fleet._lives[0].process.actor == spare.process.actor, (
        "the next life begins in the process that waited for it"
    )
    steps = facts.env_steps
    poll_until(wiring, lambda f: f.env_steps > steps + 1000)

    os.kill(pid_of(wiring.parts.replay.shards[1]), signal.SIGKILL)
    facts = poll_until(wiring, lambda f: "shard 1 came back" in f.message)
    assert facts.num_replaced >= 2
    assert {("lost", "rollout/0"), ("lost", "replay/1"), ("back", "replay/1")} <= {*events(living.run.path)}
    steps = facts.learner_steps
    facts = poll_until(wiring, lambda f: f.learner_steps > max(steps + 200, 700))
    assert facts.metrics["replay/samples_per_insert"] == pytest.approx(4.0, rel=0.05)
    assert facts.metrics["rollout/policy_version"] > 10
    versions = [c.read_json("learner/learner.json")["counters"]["policy_version"] for c in (first, living.save(facts))]
    assert versions == sorted({*versions})


def test_frozen_parts_are_fenced_and_replaced_and_what_thaws_is_kept_out(living: Living) -> None:
    wiring, run = living.wiring, living.run.path
    parts = {"rollout/1": wiring.parts.fleet._lives[1].process.actor, "replay/0": wiring.parts.replay.shards[0]}
    frozen: list[int] = []
    try:
        for part, actor in parts.items():
            frozen.append(pid_of(actor))
            os.kill(frozen[-1], signal.SIGSTOP)
            facts = poll_until(wiring, lambda f, part=part: ("back", part) in events(run))
            assert ("fenced", part) in events(run)
            assert next(e for e in read_events(run) if (e["event"], e["part"]) == ("back", part))["after_s"] > 0
        steps = facts.learner_steps
        facts = poll_until(wiring, lambda f: f.learner_steps > steps + 50)
        assert facts.metrics["replay/samples_per_insert"] == pytest.approx(4.0, rel=0.1)

        for pid in frozen:  # what thaws finds that it has been replaced, and ends
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        facts = poll_until(wiring, lambda f: not any(is_alive(pid) for pid in frozen))
        steps = facts.env_steps
        facts = poll_until(wiring, lambda f: f.env_steps > steps + 1000)
        assert facts.metrics["replay/duplicate_fragments"] == 0
    finally:
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):  # Ray had ended it, as it should
                os.kill(pid, signal.SIGKILL)


def test_worlds_are_shared_out_anew_one_worker_after_the_other(living: Living) -> None:
    wiring, fleet = living.wiring, living.wiring.parts.fleet
    poll_until(wiring, all_moved(wiring))
    lives = [order.life for order in fleet._orders]
    share_out(wiring, CONFIG, 1)
    assert fleet.num_workers == 1
    poll_until(wiring, all_moved(wiring))
    assert ranges(wiring) == shares(1)
    assert fleet._orders[0].life > lives[0]
    share_out(wiring, CONFIG, 2)
    assert ranges(wiring)[:1] == shares(1), "who acts goes on with its worlds until the new ones act"
    facts = poll_until(wiring, all_moved(wiring))
    assert ranges(wiring) == shares(2)
    steps = facts.env_steps
    facts = poll_until(wiring, lambda f: f.env_steps > steps + 2000)
    assert facts.metrics["replay/duplicate_fragments"] == 0


def test_the_process_of_the_central_parts_ends_the_session_within_seconds(living: Living) -> None:
    wiring = living.wiring
    os.kill(pid_of(wiring.parts.hosts[0].actor), signal.SIGKILL)
    with pytest.raises(PartLostError):
        poll_until(wiring, lambda f: False, timeout_s=60.0)
    actors = [
        process for process in psutil.process_iter() if is_of_a_session(process) and process.pid not in living.others
    ]
    assert len(actors) >= 3
    wiring.close()
    until = time.monotonic() + 120.0
    while free_cpus() < living.free_cpus or any(
        is_of_a_session(process) for process in actors
    ):  # `wiring` still holds a handle to each
        assert time.monotonic() < until, "what the session had must be free again, and all its actors gone"
        time.sleep(0.2)
    assert events(living.run.path)[-1] == ("failed", "session")


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
    wiring = start(config, create_run(config, tmp_path / "run"))
    try:
        facts = poll_until(
            wiring, lambda f: f.progress.window.success_frac > 0.8 and f.progress.window.num_episodes >= 50, 150.0
        )
        # a step is stored once as it was and num_goals times with another goal, less at the ends of episodes
        assert facts.metrics["replay/rows_inserted"] > (1 + config.hindsight.num_goals / 2) * facts.env_steps
        assert len(wiring.parts.replay.shards) == 2
    finally:
        wiring.close()
