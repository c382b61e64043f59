"""The study of one's own goes on: from its storage, after a kill, after Ctrl-C, and with trials of other hosts."""

from __future__ import annotations

import _thread
import signal
import subprocess
import sys
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from robonav_ray.config.tuning import DimensionConfig
from robonav_ray.errors import UserError
from robonav_ray.fronts.optuna_optimizer import OptunaOptimizer
from robonav_ray.fronts.study import trials as study_trials

LINE = {"x": DimensionConfig(uniform=(0.0, 1.0))}
_RUNNER = """
import sys, time
from robonav_ray.config.tuning import DimensionConfig
from robonav_ray.fronts.optuna_optimizer import OptunaOptimizer

def train(config):
    print(config["x"], flush=True)
    time.sleep(60)

optimizer = OptunaOptimizer("shared", sys.argv[1], search_space={"x": DimensionConfig(uniform=(0.0, 1.0))})
optimizer.optimize(train, n_trials=3)
"""


@pytest.mark.parametrize("storage", ["sqlite:///deep/studies.db", "journal:deep/studies.journal", "deep/studies.log"])
def test_a_study_goes_on_from_what_was_kept(tmp_path, monkeypatch, storage):
    monkeypatch.chdir(tmp_path)
    for total in (4, 8):
        optimizer = OptunaOptimizer("kept", storage, search_space=LINE, seed=1)
        optimizer.optimize(lambda config: config["x"], n_trials=4, n_jobs=2)
        assert optimizer.num_trials["complete"] == total
    assert len({trial.params["x"] for trial in optimizer.study.trials}) == 8
    with pytest.raises(UserError, match="direction=maximize, not minimize"):
        OptunaOptimizer("kept", storage, "minimize", search_space=LINE)
    with pytest.raises(UserError, match="'x' from FloatDistribution"):
        OptunaOptimizer("kept", storage, search_space={"x": DimensionConfig(choice=(1, 2))})


@pytest.mark.parametrize("storage", ["sqlite:///studies.db", "studies.log"])
def test_what_a_killed_process_left_is_queued_anew(tmp_path, monkeypatch, storage):
    monkeypatch.chdir(tmp_path)
    runner = subprocess.Popen([sys.executable, "-c", _RUNNER, storage], stdout=subprocess.PIPE, text=True)
    try:
        assert runner.stdout is not None
        value = float(runner.stdout.readline())
        optimizer = OptunaOptimizer("shared", storage, search_space=LINE, stale_after_s=0.1)
        optimizer.optimize(lambda config: config["x"], n_trials=1)
        assert optimizer.study.trials[0].state is TrialState.RUNNING  # its process lives
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
    got = []

    def train(config):
        got.append(config["x"])
        return config["x"]

    optimizer.resume(train)
    assert got[0] == value
    assert optimizer.study.trials[0].state is TrialState.FAIL
    assert optimizer.num_trials == {"complete": 4, "pruned": 0, "fail": 1, "running": 0, "waiting": 0}
    optimizer.resume(train)
    assert len(got) == 3


def test_another_hosts_trial_is_judged_by_its_stamp():
    optimizer = OptunaOptimizer("hosts", search_space=LINE)
    trials = [optimizer.study.ask({"x": optuna.distributions.FloatDistribution(0.0, 1.0)}) for _ in range(3)]
    for trial, age_s in zip(trials, (10.0, 100.0, None), strict=True):
        if age_s is not None:
            trial.set_user_attr("runner", {"host": "elsewhere", "pid": 1, "seen": time.time() - age_s})
    assert study_trials.requeue_stale(optimizer.study, 50.0) == [1]
    assert study_trials.requeue_stale(optimizer.study, 50.0) == []
    assert optimizer.study.trials[3].user_attrs == {"requeued_from": 1, "requeues": 1}
    time.sleep(0.05)
    assert study_trials.requeue_stale(optimizer.study, 0.01) == [0, 2]


def test_values_that_are_never_finished_are_given_up(caplog):
    optimizer = OptunaOptimizer("deadly", search_space=LINE)
    optimizer.study.enqueue_trial({"x": 0.5})
    for _ in range(study_trials.MAX_REQUEUES + 1):
        trial = optimizer.study.ask({"x": optuna.distributions.FloatDistribution(0.0, 1.0)})
        assert trial.params == {"x": 0.5}
        assert study_trials.fail_and_requeue(optimizer.study, optimizer.study.trials[-1])
    assert optimizer.num_trials["waiting"] == 0
    assert "not queued again" in caplog.text


def test_trials_are_stamped_while_they_run():
    seen = []

    def train(config, trial):
        for _ in range(2):
            seen.append(optimizer.study.trials[trial.number].user_attrs["runner"]["seen"])
            time.sleep(0.15)
        return 0.0

    optimizer = OptunaOptimizer("beat", search_space=LINE, stale_after_s=0.2)
    optimizer.optimize(train, n_trials=1)
    assert seen[0] < seen[1]


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_ctrl_c_queues_what_was_running_anew(num_jobs):
    both = threading.Barrier(num_jobs)

    def train(config, trial):
        both.wait(timeout=120.0)
        if trial.number == 0:
            _thread.interrupt_main()
        for step in range(1000):
            trial.report(config["x"], step)
            time.sleep(0.01)

    optimizer = OptunaOptimizer("stopped", search_space=LINE)
    with pytest.raises(KeyboardInterrupt):
        optimizer.optimize(train, n_trials=5, n_jobs=num_jobs)
    assert not [t for t in threading.enumerate() if t.is_alive() and t.name.startswith(("trials-", "optuna-heartbeat"))]
    assert (optimizer.num_trials["fail"], optimizer.num_trials["waiting"]) == (num_jobs, num_jobs)
    before = [trial.params["x"] for trial in optimizer.study.trials[:num_jobs]]
    got = []
    optimizer.resume(lambda config: got.append(config["x"]) or config["x"])
    assert sorted(got[:num_jobs]) == sorted(before)
    assert len(got) == 5
