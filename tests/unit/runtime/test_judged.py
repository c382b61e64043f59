"""Judgements beside a training: when they are made, what they keep, what ends a run; policies and worlds are fakes."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.commands import Networks
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import EnvironmentFailedError, LearnerCallError
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    CheckpointWriter,
    Counters,
    list_checkpoints,
    newest_good_checkpoint,
    open_checkpoint,
)
from robonav_ray.runs.checkpoint_index import INDEX_FILE, Judgement, read_index
from robonav_ray.runs.policy_alone import holds_policy_alone, refuse_policy_alone
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.judging.beside_training import TrainingJudge, _Pacing
from robonav_ray.runtime.judging.candidate import Candidate, Progress
from robonav_ray.runtime.saving import prune
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped
from robonav_ray.runtime.wiring import RunSession
from tests.e2e.test_local_wiring import SMALL
from tests.unit.runs.test_checkpoint_index import FIRST


class FakeJudge:
    """Gives the next of ``scores``; waits for ``go`` first."""

    def __init__(self, *scores: float) -> None:
        self.scores, self.go = list(scores), threading.Event()
        self.go.set()
        self.fault: Exception | None = None

    def __call__(self, candidate: Candidate, session: RunSession, progress: Progress) -> Judgement:
        while not self.go.wait(0.001):
            progress(EvaluationProgress(0, 10, 1))
        if self.fault is not None:
            raise self.fault
        success = self.scores.pop(0)
        return replace(
            FIRST,
            checkpoint=candidate.name,
            env_steps=candidate.counters.env_steps,
            learner_steps=candidate.counters.learner_steps,
            success_frac=success,
        )


def make_session(path: Path, *overrides: str, checkpoint: Checkpoint | None = None) -> RunSession:
    config = load_run_config(None, [*SMALL, "evaluation.interval_s=10", "checkpoint.keep=1", *overrides])
    run = create_run(config, path / "run")
    return RunSession(config, describe_task(config), run, checkpoint, time.monotonic())


def commit(session: RunSession, env_steps: int, num_episodes: int = 0) -> Checkpoint:
    writer = CheckpointWriter(session.run.checkpoints, Counters(env_steps, learner_steps=env_steps))
    writer.write_json("curriculum.json", {"stage": 0, "totals": [{"num_episodes": num_episodes}, {"num_episodes": 1}]})
    return writer.commit()


def begin(judge: TrainingJudge, newest: Checkpoint | None, step: int = 0, fails: bool = False) -> None:
    """As the controller does, ``step`` env and learner steps into the run."""

    def copy() -> Networks:
        if fails:
            raise LearnerCallError("Copy: the learner restarted before it answered")
        arrays = {f"{name}.hidden.0.weight": np.full((2, 3), step, np.float32) for name in ("online", "target")}
        return Networks({"counters": {"learner_step": step, "policy_version": 1}}, arrays, 0.0)

    judge.begin(newest, copy, Counters(step, step), stage=1)


def settle(judge: TrainingJudge) -> dict[str, float] | None:
    while judge._thread is not None and judge._thread.is_alive():
        judge._thread.join(0.01)
    return judge.take()


def test_a_checkpoint_that_was_just_made_is_judged_when_that_is_due_and_the_best_stays(tmp_path: Path) -> None:
    session, fake, clock = make_session(tmp_path), FakeJudge(0.5, 0.9, 0.7), [0.0]
    judge = TrainingJudge(session, fake, lambda: clock[0])
    names, metrics = list[str](), None
    checkpoint = commit(session, 50)
    for i in range(3):
        checkpoint = commit(session, 100 * (i + 1))
        names.append(checkpoint.path.name)
        begin(judge, checkpoint)
        assert settle(judge) is None, "not before it is due"
        clock[0] += 10.0
        begin(judge, checkpoint)
        metrics = settle(judge)
        assert metrics is not None
        clock[0] += 10.0
        begin(judge, checkpoint)
        assert settle(judge) is None, "none is judged twice, and nothing has been learned since"
        clock[0] -= 10.0
    assert metrics is not None
    assert metrics["evaluation/success_frac"] == 0.7
    assert metrics["evaluation/best_success_frac"] == 0.9
    assert metrics["evaluation/judgements_without_gain"] == 1.0
    prune(session, judge.kept())
    assert [path.name for path in list_checkpoints(session.run.checkpoints)] == names[1:], "the best and the newest"
    assert read_index(session.run.path) == judge.index
    gone_on = TrainingJudge(replace(session, checkpoint=checkpoint), fake)
    assert gone_on.index == judge.index, "a resume knows them all"


def test_between_checkpoints_the_learners_networks_are_judged_and_the_best_are_kept(tmp_path: Path) -> None:
    """No checkpoint has to be made for a judgement, and training goes on from none of these."""
    session, fake, clock = make_session(tmp_path), FakeJudge(0.5, 0.9, 0.7), [0.0]
    judge = TrainingJudge(session, fake, lambda: clock[0])
    old = replace(commit(session, 50), created=0.0)
    begin(judge, old)
    for step in (100, 200, 300):
        clock[0] += 10.0
        begin(judge, old, step)
        assert settle(judge) is not None
        commit(session, step + 1)
        prune(session, judge.kept())
    assert [one.checkpoint for one in judge.index.judgements] == [f"policy-{step:012d}" for step in (100, 200, 300)]
    folder = session.run.checkpoints
    assert sorted(path.name for path in folder.iterdir()) == ["env-000000000301", "policy-000000000200"]
    assert read_index(session.run.path) == judge.index
    best = open_checkpoint(folder / "policy-000000000200")
    assert holds_policy_alone(best)
    assert best.counters == Counters(200, 200)
    assert Candidate.of_checkpoint(best).reached() == 1
    newest = newest_good_checkpoint(folder)[0]
    assert newest is not None
    assert newest.path.name == "env-000000000301"
    with pytest.raises(CheckpointError, match="holds the policy alone, as it was judged"):
        refuse_policy_alone(best)
    assert judge.index.until("env-000000000250").best == judge.index.judgements[1]
    assert judge.index.until("env-000000000150").best == judge.index.judgements[0]


def test_a_learner_that_does_not_answer_puts_a_judgement_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session, clock = make_session(tmp_path, "checkpoint.keep_best=false"), [0.0]
    judge = TrainingJudge(session, FakeJudge(0.5), lambda: clock[0])
    begin(judge, None)
    clock[0] = 10.0
    begin(judge, None, 100, fails=True)
    assert settle(judge) is None
    assert "the learner restarted" in caplog.text
    clock[0] = 15.0
    begin(judge, None, 100)
    assert settle(judge) is None, "not before the next is due"
    clock[0] = 20.0
    begin(judge, None, 100)
    assert settle(judge) is not None
    assert not session.run.checkpoints.is_dir(), "without checkpoint.keep_best none is kept"


def test_what_is_being_judged_is_not_pruned(tmp_path: Path) -> None:
    session, fake, clock = make_session(tmp_path), FakeJudge(0.5), [0.0]
    judge = TrainingJudge(session, fake, lambda: clock[0])
    first = commit(session, 100)
    begin(judge, first)
    clock[0] = 11.0
    fake.go.clear()
    begin(judge, first)
    commit(session, 200)
    prune(session, judge.kept())
    assert first.path.is_dir()
    judge.close()
    assert judge.take() is None
    assert not (session.run.path / INDEX_FILE).exists()


def test_a_run_without_gain_is_spent(tmp_path: Path) -> None:
    session, clock = make_session(tmp_path, "evaluation.patience=2"), [0.0]
    judge = TrainingJudge(session, FakeJudge(0.5, 0.4, 0.5, 0.6), lambda: clock[0])
    spent = []
    begin(judge, None)
    for i in range(4):
        clock[0] += 10.0
        begin(judge, commit(session, 100 * (i + 1)))
        settle(judge)
        spent.append(judge.is_spent)
    assert spent == [False, False, True, False]


def test_a_run_that_has_reached_its_target_says_so(tmp_path: Path) -> None:
    session, clock = make_session(tmp_path, "evaluation.target_success=0.6"), [0.0]
    judge = TrainingJudge(session, FakeJudge(0.5, 0.6, 0.5), lambda: clock[0])
    reached = [judge.has_reached_target]
    begin(judge, None)
    for i in range(3):
        clock[0] += 10.0
        begin(judge, commit(session, 100 * (i + 1)))
        settle(judge)
        reached.append(judge.has_reached_target)
    assert reached == [False, False, True, False]
    in_stage_1 = replace(judge.index.judgements[1], is_last_stage=False)
    judge.index = replace(judge.index, judgements=(in_stage_1,))
    assert not judge.has_reached_target
    without_success = replace(in_stage_1, is_last_stage=True, success_frac=None)
    judge.index = replace(judge.index, judgements=(without_success,))
    assert not judge.has_reached_target


def test_numbered_checkpoints_stay(tmp_path: Path) -> None:
    session = make_session(tmp_path, "evaluation.interval_s=null", "checkpoint.interval_episodes=10")
    judge = TrainingJudge(session)
    assert not judge.wants_checkpoint(9)
    assert judge.wants_checkpoint(10)
    for env_steps, num_episodes in ((100, 8), (200, 12), (300, 15), (400, 40)):
        judge.note_commit(commit(session, env_steps, num_episodes))
        prune(session, judge.kept())
    assert [(n.number, n.num_episodes) for n in judge.index.numbered] == [(1, 13), (4, 41)]
    assert [int(path.name[4:]) for path in list_checkpoints(session.run.checkpoints)] == [200, 400]
    back = list_checkpoints(session.run.checkpoints)[0]
    resumed = TrainingJudge(replace(session, checkpoint=Checkpoint(back, Counters(200, 200), 0.0)))
    assert resumed.index.newest_number == 1, "from the first on again"
    assert read_index(session.run.path) == resumed.index


def test_of_numbered_checkpoints_the_newest_stay_where_a_number_of_them_is_set(tmp_path: Path) -> None:
    session = make_session(
        tmp_path, "evaluation.interval_s=null", "checkpoint.interval_episodes=10", "checkpoint.keep_numbered=2",
        "checkpoint.keep=1",
    )  # fmt: skip
    judge = TrainingJudge(session)
    for env_steps in (100, 200, 300, 400):
        judge.note_commit(commit(session, env_steps, env_steps // 5))
        prune(session, judge.kept())
    assert [n.number for n in judge.index.numbered] == [6, 8]
    assert [int(path.name[4:]) for path in list_checkpoints(session.run.checkpoints)] == [300, 400]
    assert read_index(session.run.path) == judge.index
    with pytest.raises(ConfigError, match=r"checkpoint.keep_numbered \(2\) would be ignored"):
        load_run_config(None, ["checkpoint.keep_numbered=2"])


def test_a_judgement_that_fails_costs_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session, fake, clock = make_session(tmp_path), FakeJudge(0.5), [0.0]
    fake.fault = EnvironmentFailedError("its step() raised ValueError")
    judge = TrainingJudge(session, fake, lambda: clock[0])
    checkpoint = commit(session, 100)
    begin(judge, checkpoint)
    clock[0] = 10.0
    begin(judge, checkpoint)
    assert settle(judge) == {"evaluation/failed_judgements": 1.0}
    assert "its step() raised ValueError" in caplog.text
    assert judge.finish(checkpoint, StopRequest()) == [{"evaluation/failed_judgements": 2.0}], "it is tried once more"
    fake.fault = None
    assert [metrics["evaluation/success_frac"] for metrics in judge.finish(checkpoint, StopRequest())] == [0.5]


def test_at_the_end_what_is_under_way_and_the_last_checkpoint_are_judged(tmp_path: Path) -> None:
    session, fake, clock = make_session(tmp_path), FakeJudge(0.5, 0.6), [0.0]
    judge = TrainingJudge(session, fake, lambda: clock[0])
    begin(judge, None)
    clock[0] = 10.0
    fake.go.clear()
    begin(judge, commit(session, 100))
    last = commit(session, 200)
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    assert judge.finish(last, stop) == []
    fake.go.set()
    assert [metrics["evaluation/env_steps"] for metrics in judge.finish(last, StopRequest())] == [100.0, 200.0]


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    (session.run.path / INDEX_FILE).write_text("{")
    with pytest.raises(CheckpointError, match=INDEX_FILE):
        TrainingJudge(session)


def test_a_judgement_that_is_to_end_ends_at_its_next_step() -> None:
    closing, hurry = threading.Event(), threading.Event()
    pacing = _Pacing(closing, hurry)
    hurry.set()
    pacing(EvaluationProgress(0, 10, 5))
    closing.set()
    with pytest.raises(EvaluationStopped):
        pacing(EvaluationProgress(0, 10, 10))
