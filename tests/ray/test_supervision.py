"""What is frozen or gone is given up, fenced and replaced; what cannot be replaced ends the session, and the next one
goes on."""

import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from robonav_ray.config.load import load_run_config
from robonav_ray.curriculum.remote import CurriculumHandle, start_curriculum
from robonav_ray.errors import LearnerCallError, PartLostError
from robonav_ray.nodes.resources import make_plan, split_worlds
from robonav_ray.part_names import Part
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.over_ray.events import read_events
from robonav_ray.runtime.over_ray.ray_wiring import RayWiring
from robonav_ray.runtime.part_titles import title_starts
from robonav_ray.runtime.wiring import RunSession, WiringFacts
from robonav_ray.verbs.train import train_command
from tests.e2e.test_local_wiring import SMALL
from tests.ray.test_ray_wiring import EIGHT_CPUS, poll_until

pytestmark = pytest.mark.ray
CONFIG = load_run_config(
    None,
    [
        *SMALL,
        "rollout.num_workers=2",
        "replay.samples_per_insert=4",
        "runtime.heartbeat_timeout_s=6",
        "checkpoint.replay=false",
    ],
)


def pid_of(actor: object) -> int:
    return int(ray.get(actor.__ray_call__.remote(lambda self: os.getpid())))  # type: ignore[attr-defined]


def events(run: Path) -> list[tuple[str, str]]:
    return [(event["event"], event["part"]) for event in read_events(run)]


@pytest.mark.timeout(240)
def test_frozen_parts_are_fenced_and_replaced_and_what_thaws_is_kept_out(ray_session: None, tmp_path: Path) -> None:
    run = create_run(CONFIG, tmp_path / "run")
    wiring = RayWiring(
        RunSession(CONFIG, describe_task(CONFIG), run, None, time.monotonic()), make_plan(CONFIG, EIGHT_CPUS)
    )
    frozen: list[int] = []

    def until_back(part: str) -> WiringFacts:
        return poll_until(wiring, lambda f: ("back", part) in events(run.path))

    try:
        poll_until(wiring, lambda f: f.learner_steps >= 50 and f.metrics["rollout/workers_running"] == 2)
        worker = pid_of(wiring.parts.fleet._lives[1].process.actor)
        os.kill(worker, signal.SIGSTOP)
        frozen.append(worker)
        steps = until_back("rollout/1").learner_steps
        assert ("fenced", "rollout/1") in events(run.path)

        shard = pid_of(wiring.parts.replay.shards[0])
        os.kill(shard, signal.SIGSTOP)
        frozen.append(shard)
        facts = until_back("replay/0")
        assert ("fenced", "replay/0") in events(run.path)
        assert facts.num_replaced >= 2
        poll_until(wiring, lambda f: f.learner_steps > max(steps, facts.learner_steps) + 50)
        assert facts.metrics["replay/samples_per_insert"] == pytest.approx(4.0, rel=0.1)

        for pid in frozen:  # what thaws finds that it has been replaced, and ends
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        facts = poll_until(wiring, lambda f: not any(is_alive(pid) for pid in frozen))
        facts = poll_until(wiring, lambda f: f.env_steps > facts.env_steps + 1000)
        assert facts.metrics["replay/duplicate_fragments"] == 0

        for part in ("rollout/1", "replay/0"):
            back, *_ = (e for e in read_events(run.path) if (e["event"], e["part"]) == ("back", part))
            assert back["after_s"] > 0
    finally:
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):  # Ray had ended it, as it should
                os.kill(pid, signal.SIGKILL)
        wiring.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_rank_that_freezes_as_a_checkpoint_is_cut_costs_the_checkpoint_and_holds_nobody(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robonav_ray.runtime.over_ray.learner_watch.PATIENCE_S", 1.0)
    run = create_run(CONFIG, tmp_path / "run")
    wiring = RayWiring(
        RunSession(CONFIG, describe_task(CONFIG), run, None, time.monotonic()), make_plan(CONFIG, EIGHT_CPUS)
    )
    frozen = 0
    try:
        facts = poll_until(wiring, lambda f: f.learner_steps >= 50)
        (rank,) = (p for p in psutil.process_iter() if is_titled(p, *title_starts(Part.RANK)))
        frozen = rank.pid
        os.kill(frozen, signal.SIGSTOP)
        writer = CheckpointWriter(run.checkpoints, Counters(facts.env_steps, facts.learner_steps, 1.0, 1))
        with pytest.raises(LearnerCallError, match=r"no answer to 'pause' within [1-7](\.\d+)? s"):
            wiring.begin_save(writer)
        os.kill(frozen, signal.SIGCONT)
        steps = facts.learner_steps
        facts = poll_until(wiring, lambda f: f.learner_steps > steps + 200)  # it was told to go on
        wiring.save(CheckpointWriter(run.checkpoints, Counters(facts.env_steps, facts.learner_steps, 1.0, 1)))
    finally:
        if frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(frozen, signal.SIGCONT)
        wiring.close()


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


@pytest.mark.timeout(240)
def test_the_process_of_the_central_parts_ends_the_session_within_seconds(ray_session: None, tmp_path: Path) -> None:
    run = create_run(CONFIG, tmp_path / "run")
    free: Callable[[], float] = lambda: ray.available_resources().get("CPU", 0.0)  # noqa: E731
    before, others = free(), {process.pid for process in psutil.process_iter() if is_of_a_session(process)}
    wiring = RayWiring(
        RunSession(CONFIG, describe_task(CONFIG), run, None, time.monotonic()), make_plan(CONFIG, EIGHT_CPUS)
    )
    try:
        poll_until(wiring, lambda f: f.learner_steps >= 20)
        os.kill(pid_of(wiring.parts.hosts[0].actor), signal.SIGKILL)
        with pytest.raises(PartLostError):
            poll_until(wiring, lambda f: False, timeout_s=30.0)
        actors = [
            process for process in psutil.process_iter() if is_of_a_session(process) and process.pid not in others
        ]
        assert len(actors) >= 3
    finally:
        wiring.close()
    until = time.monotonic() + 60.0
    # `wiring` still holds a handle to each
    while free() < before or any(is_of_a_session(process) for process in actors):
        assert time.monotonic() < until, "what the session had must be free again, and all its actors gone"
        time.sleep(0.2)
    assert events(run.path)[-1] == ("failed", "session")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_goes_on_in_a_new_session_by_itself(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command as a user types it, in this process; its curriculum actor is killed once a checkpoint is there."""
    address = ray.get_runtime_context().gcs_address
    victims: list[int] = []
    started: list[CurriculumHandle] = []

    def start_and_note(*arguments: Any, **options: Any) -> CurriculumHandle:
        started.append(start_curriculum(*arguments, **options))
        return started[-1]

    def kill_curriculum() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until and not victims:
            if list((tmp_path / "run" / "checkpoints").glob("env-*")):
                victims.append(pid_of(started[0].actor.host))
                os.kill(victims[0], signal.SIGKILL)
            time.sleep(0.1)

    monkeypatch.setattr("robonav_ray.runtime.topology.start_curriculum", start_and_note)
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)  # this process is connected already
    monkeypatch.setattr(ray, "shutdown", lambda *_, **__: None)
    killer = threading.Thread(target=kill_curriculum)
    killer.start()
    try:
        code = train_command(
            None,
            [*SMALL, "rollout.num_workers=1", "checkpoint.interval_s=1", "budget.max_env_steps=40000",
             "tracking.panel=off", "tracking.interval_s=0.2", "evaluation.num_episodes=4", "evaluation.num_worlds=4"],
            resume=None, directory=tmp_path / "run", local=False,
        )  # fmt: skip
    finally:
        killer.join()
    assert len(victims) == 1
    assert code == 0
    assert ("failed", "session") in events(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time"}]
    assert len(points) == len(set(points))
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]) == 2


@pytest.mark.timeout(240)
@pytest.mark.parametrize("troubled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_worlds_are_shared_out_anew_one_worker_after_the_other(
    troubled: bool, ray_session: None, tmp_path: Path
) -> None:
    """With trouble: after deaths, and with nodes that come faster than workers move."""
    first, fewer, more = (3, 2, 4) if troubled else (2, 1, 2)
    config = load_run_config(
        None, [*SMALL, f"rollout.num_workers={first}", "runtime.cpus_per_rollout_worker=0.5", "checkpoint.replay=false"]
    )
    run = create_run(config, tmp_path / "run")
    plan = make_plan(config, EIGHT_CPUS)
    wiring = RayWiring(RunSession(config, describe_task(config), run, None, time.monotonic()), plan)
    fleet = wiring.parts.fleet

    def ranges() -> list[tuple[int, int]]:
        return [(w.first_world, w.num_worlds) for w in fleet._orders]

    def all_moved(facts: WiringFacts) -> bool:
        return not fleet._target and fleet.num_running == fleet.num_workers

    def shares(num_workers: int) -> list[tuple[int, int]]:
        return [(i * 8 // num_workers, 8 // num_workers) for i in range(num_workers)]

    def share_out(num_workers: int) -> None:
        wiring.share_out(dataclasses.replace(plan, num_workers=num_workers, worlds=split_worlds(8, num_workers)))

    try:
        poll_until(wiring, lambda f: fleet.num_running == first)
        # the last one is in a later life than the others when it is no longer needed
        for number in (1, 2) if troubled else ():
            os.kill(pid_of(fleet._lives[2].process.actor), signal.SIGKILL)
            poll_until(wiring, lambda f, n=number: f.num_replaced == n and fleet.num_running == 3)
        lives = [w.life for w in fleet._orders]
        share_out(fewer)
        assert fleet.num_workers == fewer
        poll_until(wiring, all_moved)
        assert ranges() == shares(fewer)
        assert all(w.life > before for w, before in zip(fleet._orders, lives, strict=False))
        share_out(more)
        assert ranges()[:fewer] == shares(fewer), "who acts goes on with its worlds until the new ones act"
        poll_until(wiring, all_moved)
        assert ranges() == shares(more)
        for num_workers in (1, 4, 8) if troubled else ():  # who still has all the worlds ships large fragments
            share_out(num_workers)
            if num_workers == 1:
                poll_until(wiring, all_moved)
        poll_until(wiring, all_moved)
        facts = wiring.poll(0.2)
        assert facts.num_replaced == 2 * troubled
        poll_until(wiring, lambda f: f.env_steps > facts.env_steps + 2000)
        assert facts.metrics["replay/duplicate_fragments"] == 0
    finally:
        wiring.close()
