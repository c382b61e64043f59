"""The learner under Ray Train: in this process, and as a real worker that is killed and comes back."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from ray.exceptions import GetTimeoutError

from robonav_ray.commands import Command, Committed, Cut, Done, PollCut, Resume, Save
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.errors import UserError
from robonav_ray.learner.remote import LearnerOrder, committed_pointer, make_trainer, raise_what_ended, start_learner
from robonav_ray.learner.state import LearnerState
from tests.fakes import FakeReplay, FakeWeights, MarkedReplay, ScriptedCommands

OBS_DIM, NUM_ACTIONS = 6, 3
ALGO = AlgoConfig(hidden_dims=(16,))
CONFIG = LearnerConfig(batch_size=32, batches_per_call=4, publish_interval=5, report_interval=20)


def make_wiring(replay, weights, commands, resume_from=None, num_ranks=1) -> LearnerOrder:
    return LearnerOrder(
        algo=ALGO,
        learner=CONFIG,
        spec=replay.spec,
        obs_dim=OBS_DIM,
        num_actions=NUM_ACTIONS,
        seed=7,
        sources=(replay,) * num_ranks,
        priorities=replay,
        weights=weights,
        commands=commands,
        resume_from=resume_from,
    )


def wait_for(condition: Callable[[], object], timeout_s: float = 200.0) -> object:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (value := condition()) is not None and value is not False:
            return value
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def run_here(wiring: LearnerOrder, directory: Path) -> None:
    make_trainer(
        wiring,
        num_ranks=0,
        cpus_per_rank=1.0,
        gpus_per_rank=0.0,
        run_name="here",
        storage_path=str(directory),
        max_restarts=0,
    ).fit()


def test_one_rank_in_this_process(tmp_path):
    replay, weights = FakeReplay(OBS_DIM, NUM_ACTIONS), FakeWeights(version=30)
    saved = [Command(1, Save(str(tmp_path / "learner"))), Command(2, Committed(str(tmp_path)))]
    commands = ScriptedCommands([], saved, until=lambda m: m["learner/learner_step"] >= 40)
    run_here(make_wiring(replay, weights, commands), tmp_path)
    assert commands.answers[2] == Done()
    assert weights.snapshots[0].version == 31
    assert replay.closed
    assert commands.answers[1].files
    state = LearnerState(OBS_DIM, NUM_ACTIONS, ALGO, CONFIG, 0)
    state.load(tmp_path / "learner")
    step = state.learner_step
    assert step > 0

    again = FakeWeights(version=500)
    commands = ScriptedCommands()
    run_here(make_wiring(replay, again, commands, resume_from=str(tmp_path / "learner")), tmp_path)
    assert again.snapshots[0].version == 501
    assert again.snapshots[0].learner_step == step


def test_what_cannot_work_is_refused_before_anything_starts(tmp_path):
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS)
    wiring = make_wiring(replay, FakeWeights(), ScriptedCommands())
    with pytest.raises(ValueError, match="one for each"):
        start_learner(wiring, run_name="a", storage_path=str(tmp_path), num_ranks=2)
    (tmp_path / "used").mkdir()
    with pytest.raises(ValueError, match="never used"):
        start_learner(wiring, run_name="used", storage_path=str(tmp_path))


@pytest.mark.ray
def test_a_killed_rank_comes_back_from_the_last_committed_checkpoint_and_bad_batches_end_the_run(ray_session, tmp_path):
    """The end is not tried again by Train, which has restarts left and would wrap the reason in errors of its own."""
    from robonav_ray.runtime.over_ray.mailbox import MailboxHandle
    from robonav_ray.weights.remote import start_weight_store

    mailbox = MailboxHandle()
    store, weights = start_weight_store()
    replay = MarkedReplay(OBS_DIM, NUM_ACTIONS, str(tmp_path / "pid"))
    handle = start_learner(
        dataclasses.replace(make_wiring(replay, weights, mailbox.channel()), dump_directory=str(tmp_path / "run")),
        run_name=f"run-{time.time_ns()}",
        storage_path=str(tmp_path / "train"),
        cpus_per_rank=0.5,
        max_restarts=3,
    )
    mailbox.watch(handle.ended_because)

    def step() -> float:
        assert handle.error is None
        try:
            post = mailbox.latest()
        except GetTimeoutError:  # a busy machine has not started its process yet
            return -1.0
        return -1.0 if post is None else post.metrics["learner/learner_step"]

    wait_for(lambda: step() > 40)
    saved = mailbox.call(Cut(str(tmp_path / "checkpoint" / "learner")))
    wait_for(lambda: mailbox.call(PollCut()))
    assert mailbox.call(Committed(str(tmp_path / "checkpoint"))) == Done()
    assert mailbox.call(Resume()) == saved
    wait_for(lambda: step() > saved.learner_step)
    rank = psutil.Process(int((tmp_path / "pid").read_text()))
    rank.kill()
    wait_for(lambda: not rank.is_running())
    version, told = weights.version(), step()  # the last of its life, of which nothing comes any more
    assert version > saved.policy_version

    wait_for(lambda: int((tmp_path / "pid").read_text()) != rank.pid)
    first = wait_for(lambda: weights.wait_newer_than(version))
    assert first.version > version
    assert saved.learner_step <= first.learner_step
    wait_for(lambda: step() > max(told, first.learner_step))
    state = LearnerState(OBS_DIM, NUM_ACTIONS, ALGO, CONFIG, 0)
    state.load(tmp_path / "checkpoint" / "learner")
    assert state.learner_step == saved.learner_step

    replay.spoil()
    assert handle.join(300.0)
    assert not handle.is_alive
    assert type(handle.error) is FloatingPointError
    kept = tmp_path / "run" / "bad_batch_rank0.npz"
    assert kept.is_file()
    assert re.search(rf"reward \(1 NaN, 0 infinite, first in row 0\)\. The last batch is in {kept}", str(handle.error))
    assert "not finite" in (handle.ended_because() or "")
    assert len(handle.failures()) == 1, "the rank that was killed"
    mailbox.kill()
    del store


def test_what_the_device_cannot_do_is_the_users_to_change(tmp_path):
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS)
    wiring = make_wiring(replay, FakeWeights(), ScriptedCommands())
    run_here(dataclasses.replace(wiring, learner=CONFIG.model_copy(update={"compile": "reduce-overhead"})), tmp_path)
    with pytest.raises(UserError, match=r"learner\.compile=reduce-overhead captures CUDA graphs"):
        raise_what_ended(committed_pointer(str(tmp_path), "here"))
    raise_what_ended(committed_pointer(str(tmp_path), "another"))
