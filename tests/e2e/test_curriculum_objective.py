"""Our curriculum as a function of a few values: it reports, is pruned, fails with a reason, and leaves its run where it
is asked to."""

from pathlib import Path

import optuna
import pytest

from robonav_ray.config.load import ConfigError
from robonav_ray.fronts.curriculum_objective import curriculum_objective
from robonav_ray.runs.run_directory import RunDirectory

RUN = {
    "env": {"world": {"lidar": {"num_beams": 12}}},
    "replay": {"min_size": 500, "samples_per_insert": 0.5},
    "rollout": {"num_worlds": 16},
}
VALUES = {
    "num_layers": 1,
    "hidden_dims": 32,
    "learning_rate": 1e-3,
    "batch_size": 32,
    "buffer_size": 20_000,
    "target_update": 100,
}


class Trial:
    number = 7

    def __init__(self, prune_after: int | None = None) -> None:
        self.reports: list[tuple[float, int]] = []
        self._prune_after = prune_after

    def report(self, value: float, step: int) -> None:
        self.reports.append((value, step))

    def should_prune(self) -> bool:
        return self._prune_after is not None and len(self.reports) >= self._prune_after


def test_it_reports_and_returns_the_best(tmp_path: Path) -> None:
    train = curriculum_objective(
        RUN, max_env_steps=4_500, report_env_steps=1_500, evaluation_episodes=4, directory=tmp_path
    )
    trial = Trial()
    assert train(VALUES, trial) == max(value for value, _ in trial.reports)
    assert [step // 1_500 for _, step in trial.reports] == [1, 2, 3]
    config = RunDirectory(tmp_path / "trial-00007").config
    assert (config.algo.hidden_dims, config.replay.capacity, config.learner.target_interval) == ((32,), 20_000, 100)
    pruned = Trial(prune_after=1)
    pruned.number = 8
    with pytest.raises(optuna.TrialPruned):
        train(VALUES, pruned)
    assert len(pruned.reports) == 1


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_siz"):
        curriculum_objective({"learner": {"batch_siz": 3}})
    train = curriculum_objective(RUN, max_env_steps=2_000, report_env_steps=2_000, directory=tmp_path)
    with pytest.raises(RuntimeError, match="learning_rate"):
        train({**VALUES, "learning_rate": -1.0}, Trial())
