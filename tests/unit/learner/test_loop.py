"""The loop: what it publishes, obeys, survives and learns."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest
import torch

from robonav_ray.algo.policy import Policy
from robonav_ray.commands import (
    Command,
    Committed,
    Cut,
    Done,
    PollCut,
    Refused,
    Request,
    Resume,
    Save,
    Standing,
    TakeOver,
    Written,
)
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.learner.loop import LearnerLoop
from robonav_ray.learner.precision import has_bf16
from robonav_ray.learner.state import LearnerState
from robonav_ray.records import TransitionSpec
from robonav_ray.runs.hyperparameters import CHANGEABLE
from tests.fakes import FakeReplay, FakeWeights, ScriptedCommands
from tests.unit.learner.conftest import CONFIG, NUM_ACTIONS, OBS_DIM, make_bench, make_state


def test_publishes_at_the_start_and_every_interval():
    bench = make_bench(until=lambda metrics: metrics["learner/learner_step"] >= 40)
    bench.loop.run()
    versions = [s.version for s in bench.weights.snapshots]
    assert versions == list(range(1, len(versions) + 1))
    steps = [s.learner_step for s in bench.weights.snapshots]
    assert steps == list(range(0, bench.state.learner_step + 1, CONFIG.publish_interval))
    assert bench.state.samples == bench.state.learner_step * CONFIG.batch_size


def test_priorities_reach_the_items_they_were_computed_for(bench):
    bench.loop.advance(1)
    seen = np.flatnonzero(~np.isnan(bench.replay.priority))
    fresh = make_state()
    obs, action, reward, next_obs, discount, _ = (torch.from_numpy(c[seen].copy()) for c in bench.replay.columns)
    with torch.inference_mode():
        best = fresh.online(next_obs).argmax(1, keepdim=True)
        goal = reward + discount * fresh.target(next_obs).gather(1, best).squeeze(1)
        error = goal - fresh.online(obs).gather(1, action.long().unsqueeze(1)).squeeze(1)
    np.testing.assert_allclose(bench.replay.priority[seen], error.abs().numpy(), rtol=1e-4, atol=1e-4)


def test_one_priority_call_per_chunk_and_exact_advance(bench):
    assert bench.loop.advance(6) == 6
    assert bench.replay.calls == [(32, 4), (32, 2)]
    assert bench.replay.updates == [128, 64]
    bench.replay.dry_for = 1
    assert bench.loop.advance(3) == 0
    assert bench.loop.advance(3) == 3


def test_metrics():
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS, policy_version=-2)
    bench = make_bench(until=lambda metrics: metrics["learner/learner_step"] >= 16, replay=replay)
    bench.loop.run()
    metrics = next(m for m in bench.commands.metrics if "learner/loss" in m)
    for name in (
        "loss",
        "td_error_mean",
        "q_mean",
        "grad_norm",
        "steps_per_s",
        "samples",
        "wait_frac",
        "stale_priorities",
    ):
        assert np.isfinite(metrics[f"learner/{name}"]), name
    assert 0.0 <= metrics["learner/wait_frac"] <= 1.0
    assert metrics["learner/policy_lag_max"] >= metrics["learner/policy_lag_mean"] >= 3.0


def test_saves_stands_and_resumes_on_command(tmp_path):
    script = (
        [Command(1, Cut(str(tmp_path / "cut")))],
        [Command(2, Save(str(tmp_path / "a")))],
        [],
        [Command(3, Resume())],
    )
    bench = make_bench(*script)
    bench.loop.run()
    cut, saved, resumed = (bench.commands.answers[i] for i in (1, 2, 3))
    assert cut == resumed
    assert cut.learner_step > 0
    assert all((tmp_path / "a" / name).stat().st_size == num_bytes for name, num_bytes, _ in saved.files)
    other = make_state(seed=9)
    other.load(tmp_path / "a")
    assert Standing(other.learner_step, other.policy_version) == cut


def test_the_source_hears_the_step_before_every_draw_also_after_a_take_over(tmp_path, monkeypatch):
    donor = make_bench(seed=4)
    donor.loop.advance(2)
    donor.state.save(tmp_path)
    script = [], [Command(1, TakeOver(str(tmp_path)))], [Command(2, Resume())]
    bench = make_bench(*script, until=lambda metrics: 8 <= metrics["learner/learner_step"] < 900)
    bench.state.learner_step = 1000
    draws, sample = [], bench.replay.sample

    def heard(batch_size, num_batches):
        draws.append((bench.replay.learner_step, bench.state.learner_step))
        return sample(batch_size, num_batches)

    monkeypatch.setattr(bench.replay, "sample", heard)
    bench.loop.run()
    assert all(told == step for told, step in draws)
    assert {1000, 2} <= {told for told, _ in draws}


@pytest.mark.parametrize("late", [0, 3])
def test_a_cut_that_came_late_and_a_resume_leave_the_loop_running(late, tmp_path):
    """The driver may have given up waiting for the cut and sent Resume: both are carried out, in that order, together
    or apart."""
    cut, resume = Command(1, Cut(str(tmp_path / "cut"))), Command(2, Resume())
    script = [[cut, resume]] if not late else [[cut], *([[]] * late), [resume]]
    bench = make_bench(*script, until=lambda metrics: metrics["learner/learner_step"] >= 40)
    bench.loop.run()
    assert bench.commands.answers[1] == bench.commands.answers[2]
    assert bench.state.learner_step >= 40 > bench.commands.answers[2].learner_step


def test_stop_ends_a_loop_that_stands(tmp_path):
    bench = make_bench([Command(1, Cut(str(tmp_path / "cut")))], [], [])
    bench.loop.run()
    assert bench.loop.stopping
    assert bench.state.learner_step == bench.commands.answers[1].learner_step


def test_a_take_over_takes_the_weights_but_no_version_back(tmp_path):
    donor = make_bench(seed=4)
    donor.loop.advance(2)
    donor.state.save(tmp_path / "donor")
    bench = make_bench([Command(1, TakeOver(str(tmp_path / "donor")))])
    bench.state.policy_version = 41
    bench.loop.run()
    answer = bench.commands.answers[1]
    assert answer.learner_step == bench.state.learner_step == 2, "it stands until it is told to go on"
    assert bench.weights.snapshots[-1].version == answer.policy_version + 1 > 42
    assert np.array_equal(bench.weights.snapshots[-1].arrays[0], donor.state.snapshot().arrays[0])


def test_settings_are_checked_taken_over_and_remembered(tmp_path):
    donor = make_bench(seed=4)
    donor.loop.advance(2)
    donor.state.save(tmp_path / "donor")
    changes = {"learning_rate": 7e-5, "publish_interval": 3}
    given = [changes, {"learning_rat": 1}, {"learning_rate": -1, "target_tau": 0.5}]
    script = [Command(i, TakeOver(str(tmp_path / "donor"), values)) for i, values in enumerate(given, start=1)]
    bench = make_bench([*script, Command(4, Save(str(tmp_path / "own")))])
    bench.loop.run()
    answers = bench.commands.answers
    assert answers[1].learner_step == 2
    assert answers[2] == Refused(
        "hyperparameter 'learning_rat' cannot be changed while running; these can: " + ", ".join(CHANGEABLE)
    )
    assert answers[3].reason.startswith("learning_rate")
    assert bench.state.optimizer.learning_rate == 7e-5
    assert json.loads((tmp_path / "own" / "learner.json").read_text())["overrides"] == changes


def test_a_command_that_fails_is_answered_and_the_loop_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    script = [
        Command(1, Request()),
        Command(2, TakeOver(str(tmp_path / "nowhere"))),
        Command(3, Save(str(tmp_path / "file" / "below"))),
    ]
    bench = make_bench(script, until=lambda metrics: metrics["learner/learner_step"] >= 24)
    bench.loop.run()
    assert bench.state.learner_step >= 24
    assert all(isinstance(bench.commands.answers[i], Refused) for i in (1, 2, 3))
    assert bench.commands.answers[1].reason == "a learner knows no Request"


def test_a_cut_holds_what_was_there_when_it_was_made(tmp_path):
    bench = make_bench()

    def ask(request):
        return bench.loop._handler.answer(Command(1, request))

    assert ask(PollCut()) == Refused("no cut was made since the learner started")
    bench.loop.advance(8)
    expected = bench.state.state_dict()
    begun = ask(Cut(str(tmp_path / "a")))
    assert bench.loop.advance(8) == 0, "it stands"
    ask(Resume())
    bench.loop.advance(8)
    while (written := ask(PollCut())) is None:
        time.sleep(0.001)
    assert isinstance(written, Written)
    assert begun.learner_step == expected["counters"]["learner_step"] == 8 < bench.state.learner_step
    for name, num_bytes, sha256 in written.files:
        data = (tmp_path / "a" / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (num_bytes, sha256)
    other = make_state(seed=9)
    other.load(tmp_path / "a")
    assert other.counters() == expected["counters"]
    assert all(torch.equal(tensor, expected["tensors"][name]) for name, tensor in other.tensors().items())
    (tmp_path / "file").write_text("")
    ask(Cut(str(tmp_path / "file" / "below")))
    while (answer := ask(PollCut())) is None:
        time.sleep(0.001)
    assert isinstance(answer, Refused)


def test_committed_reaches_the_hook():
    heard = []
    bench = make_bench([Command(1, Committed("/some/where"))], on_committed=heard.append)
    bench.loop.run()
    assert heard == ["/some/where"]
    assert bench.commands.answers[1] == Done()


def test_a_starved_learner_still_answers(monkeypatch):
    monkeypatch.setattr("robonav_ray.learner.loop.LOOK_S", 0.0)
    bench = make_bench([], [Command(1, Resume())])
    bench.replay.dry_for = 10**9
    bench.loop.run()
    assert bench.commands.answers[1].learner_step == 0
    assert "learner/loss" not in bench.commands.metrics[0]


def test_poison_is_dropped_and_counted():
    bench = make_bench(until=lambda metrics: metrics["learner/learner_step"] >= 16)
    bench.replay.poison_for = 2
    bench.loop.run()
    assert bench.commands.metrics[-1]["learner/bad_updates"] == 2
    assert all(np.isfinite(a).all() for a in bench.weights.snapshots[-1].arrays)
    bench = make_bench()
    bench.replay.poison_for = 10**6
    with pytest.raises(FloatingPointError):
        bench.loop.run()


@pytest.mark.parametrize(
    ("double", "dueling", "features", "tolerance"),
    [
        (True, True, {}, 0.03),
        (False, False, {}, 0.03),
        pytest.param(
            True,
            True,
            {"precision": "bf16", "accumulation_steps": 2, "lr_schedule": "cosine", "lr_schedule_steps": 1500},
            0.05,
            marks=pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this CPU has no bf16"),
        ),
    ],
)
def test_learns_a_chain(double, dueling, features, tolerance):
    """Known answer: five cells, right at the end pays 1; Q*(s, right) = gamma ** (cells still to go)."""
    length, gamma = 5, 0.9
    algo = AlgoConfig(gamma=gamma, hidden_dims=(32,), double=double, dueling=dueling)
    config = LearnerConfig(batch_size=64, learning_rate=3e-3, target_tau=0.05, **features)
    cell, action = (a.ravel() for a in np.meshgrid(np.arange(length), np.arange(2), indexing="ij"))
    to = np.clip(cell + np.where(action == 1, 1, -1), 0, length)
    columns = TransitionSpec.for_discrete((length + 1,)).allocate(2 * length)
    columns[0][:], columns[3][:] = np.eye(length + 1)[cell], np.eye(length + 1)[to]
    columns[1][:], columns[2][:] = action, to == length
    columns[4][:] = np.where(to == length, 0.0, gamma)
    replay = FakeReplay(length + 1, 2, columns=columns, seed=5)
    learner = LearnerState(length + 1, 2, algo, config, seed=0)
    weights, commands = FakeWeights(), ScriptedCommands()
    loop = LearnerLoop(
        learner, algo, config, replay.spec, source=replay, priorities=replay, weights=weights, commands=commands
    )
    loop.advance(1500)
    policy = Policy(length + 1, 2, algo)
    policy.load(learner.snapshot())
    q = policy.q_values(np.eye(length + 1, dtype=np.float32)[:length])
    right = gamma ** np.arange(length - 1, -1, -1)
    left = gamma * np.concatenate([right[:1], right[:-1]])
    np.testing.assert_allclose(q[:, 1], right, atol=tolerance)
    np.testing.assert_allclose(q[:, 0], left, atol=tolerance)
