"""A trial of a training: exactly its budget, every episode on record, resumed where it stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from proofs.reproduction import training
from proofs.reproduction.entries import chosen_entries
from proofs.reproduction.entry import Measure
from proofs.reproduction.episodes import EpisodeRecorder, Episodes, read_episodes
from proofs.reproduction.report import make_row
from proofs.reproduction.store import trial_of
from robonav_ray.records import EpisodeResults

(ENTRY,) = chosen_entries(["cleanrl_dqn_cartpole"])
SHORT = replace(
    ENTRY,
    task=replace(
        ENTRY.task,
        overrides=(
            "budget.max_env_steps=1500",
            "replay.min_size=500",
            "checkpoint.interval_s=0.01",
            "evaluation.num_episodes=4",
        ),
    ),
)


def episodes_of(task_return: list[float]) -> Episodes:
    steps = np.cumsum(np.full(len(task_return), 10))
    return Episodes(steps, np.full(len(task_return), 10), np.array(task_return))


def test_windows_are_means_of_neighbours():
    returns = np.random.default_rng(0).normal(size=57).tolist()
    found = episodes_of(returns)
    assert found.last_mean(20) == pytest.approx(np.mean(returns[-20:]))
    assert found.best_window(20) == pytest.approx(max(np.mean(returns[i : i + 20]) for i in range(38)))
    assert np.isnan(found.best_window(58))
    assert np.isnan(episodes_of([]).last_mean(5))
    curve = found.curve(np.array([0, 10, 35, 570]), 5)
    assert np.isnan(curve[0])
    assert curve[1:].tolist() == pytest.approx([returns[0], np.mean(returns[:3]), np.mean(returns[-5:])])


def results(*task_return: float) -> EpisodeResults:
    number = len(task_return)
    zero = np.zeros(number, np.float32)
    return EpisodeResults(
        worker=0, stage=zero.astype(np.int32), world=zero.astype(np.int32), started_at=zero.astype(np.int64),
        length=np.full(number, 7, np.int32), outcome=zero.astype(np.int8),
        task_return=np.array(task_return, np.float32), total_return=zero, goals_reached=zero.astype(np.int32),
        path_length_m=zero, shortest_path_length_m=zero, min_clearance_m=zero, on_gate=np.ones(number, bool),
        watermark=0, watermark_stage=0,
    )  # fmt: skip


def test_a_resumed_recorder_drops_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "episodes.csv"
    first = EpisodeRecorder(path, 0)
    for env_steps in (100, 200, 300):
        first.note(results(float(env_steps)), env_steps)
    first.close()
    with path.open("a") as file:
        file.write("400,7,40")  # a line that was cut by the end of the process
    assert read_episodes(path).env_steps.tolist() == [100, 200, 300]
    second = EpisodeRecorder(path, 200)
    assert second.last == [100.0, 200.0]
    second.note(results(1.0, 2.0), 250)
    second.close()
    assert read_episodes(path).task_return.tolist() == [100.0, 200.0, 1.0, 2.0]
    EpisodeRecorder(path, 0).close()
    assert len(read_episodes(path).length) == 0


def test_a_trial_takes_its_budget_and_remembers_every_episode(tmp_path):
    trial = trial_of(SHORT, 1, tmp_path)
    assert trial.result is None
    result = training.run_training(trial)
    assert trial.result == result
    assert result.env_steps == 1500
    found = read_episodes(trial.folder / "episodes.csv")
    assert result.value == pytest.approx(found.last_mean(100))
    assert 1400 < found.length.sum() <= 1500
    assert (np.diff(found.env_steps) >= 0).all()
    assert not (trial.folder / "run" / "checkpoints").exists()
    again = training.run_training(trial_of(SHORT, 1, tmp_path / "other"))
    assert again.value == result.value, "the local wiring is deterministic"
    assert make_row(SHORT, [trial], {}).verdict == "missed"


def test_an_interrupted_trial_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    trial = trial_of(SHORT, 2, tmp_path)
    update = training.ProgressFile.update

    def interrupt(self, status):
        update(self, status)
        if len(list((trial.folder / "run" / "checkpoints").glob("env-*"))) >= 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("robonav_ray.runtime.controller.POLL_S", 0.05)
        patch.setattr(training.ProgressFile, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            training.run_training(trial)
    assert trial.result is None
    (checkpoint,) = (trial.folder / "run" / "checkpoints").glob("env-*")
    stopped_at = int(checkpoint.name.split("-")[1])
    assert 500 <= stopped_at < 1500
    result = training.run_training(trial)
    assert result.env_steps == 1500
    found = read_episodes(trial.folder / "episodes.csv")
    assert found.env_steps[0] < stopped_at < found.env_steps[-1]


def test_greedy_episodes_are_those_of_the_online_network_after_training(tmp_path):
    entry = replace(SHORT, task=replace(SHORT.task, measure=Measure("greedy_return")))
    result = training.run_training(trial_of(entry, 1, tmp_path))
    low, high = result.facts["interval"]
    assert 8.0 <= result.value <= 500.0
    assert low <= result.value <= high


def test_a_success_rate_needs_an_environment_that_knows_one(tmp_path):
    entry = replace(SHORT, task=replace(SHORT.task, measure=Measure("greedy_success")))
    with pytest.raises(ValueError, match="does not say whether an episode was won"):
        training.run_training(trial_of(entry, 1, tmp_path))
