"""What the run that ``test_ray_wiring.py`` shares has no place for: a rank frozen in a cut, a new session, moves."""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from robonav_ray.config.load import load_run_config
from robonav_ray.curriculum.remote import CurriculumHandle, start_curriculum
from robonav_ray.errors import LearnerCallError
from robonav_ray.part_names import Part
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runtime.part_titles import title_starts
from robonav_ray.verbs.train import train_command
from tests.e2e.test_local_wiring import SMALL
from tests.ray.test_ray_wiring import all_moved, events, is_titled, pid_of, poll_until, ranges, share_out, shares, start

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]
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


def test_a_rank_that_freezes_as_a_checkpoint_is_cut_costs_the_checkpoint_and_holds_nobody(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robonav_ray.runtime.over_ray.learner_watch.PATIENCE_S", 1.0)
    run = create_run(CONFIG, tmp_path / "run")
    wiring = start(CONFIG, run)
    frozen = 0
    try:
        facts = poll_until(wiring, lambda f: f.learner_steps >= 50)
        (rank,) = (p for p in psutil.process_iter() if is_titled(p, *title_starts(Part.RANK)))
        frozen = rank.pid
        os.kill(frozen, signal.SIGSTOP)
        writer = CheckpointWriter(run.checkpoints, Counters(facts.env_steps, facts.learner_steps, 1.0, 1))
        with pytest.raises(LearnerCallError, match=r"Cut: no answer within [1-7](\.\d+)? s"):
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
    points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time", "items"}]
    assert len(points) == len(set(points))
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]) == 2


def test_worlds_are_shared_out_anew_after_deaths_and_as_nodes_come_faster_than_workers_move(
    ray_session: None, tmp_path: Path
) -> None:
    config = load_run_config(
        None, [*SMALL, "rollout.num_workers=3", "runtime.cpus_per_rollout_worker=0.5", "checkpoint.replay=false"]
    )
    wiring = start(config, create_run(config, tmp_path / "run"))
    fleet = wiring.parts.fleet
    try:
        poll_until(wiring, lambda f: fleet.num_running == 3)
        for number in (1, 2):  # the last one is in a later life than the others when it is no longer needed
            os.kill(pid_of(fleet._lives[2].process.actor), signal.SIGKILL)
            poll_until(wiring, lambda f, n=number: f.num_replaced == n and fleet.num_running == 3)
        lives = [w.life for w in fleet._orders]
        share_out(wiring, config, 2)
        poll_until(wiring, all_moved(wiring))
        assert ranges(wiring) == shares(2)
        assert all(w.life > before for w, before in zip(fleet._orders, lives, strict=False))
        for num_workers in (4, 1):
            share_out(wiring, config, num_workers)
            poll_until(wiring, all_moved(wiring))
            assert ranges(wiring) == shares(num_workers)
        for num_workers in (4, 8):  # who still has all the worlds ships large fragments
            share_out(wiring, config, num_workers)
        poll_until(wiring, all_moved(wiring))
        facts = wiring.poll(0.2)
        assert facts.num_replaced == 2
        poll_until(wiring, lambda f: f.env_steps > facts.env_steps + 2000)
        assert facts.metrics["replay/duplicate_fragments"] == 0
    finally:
        wiring.close()
