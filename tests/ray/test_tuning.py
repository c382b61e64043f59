"""Searches as a user runs them: over Ray, killed, resumed, cloned; in a process of its own where it is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.tracking.jsonl import read_metrics
from robonav_ray.tuning.search_records import History, Records
from tests.conftest import Robonav

pytestmark = pytest.mark.ray
SMALL = [
    "run.algo.hidden_dims=[32]", "run.replay.capacity=20_000", "run.replay.min_size=500", "run.learner.batch_size=32",
    "run.learner.batches_per_call=4", "run.rollout.num_worlds=16", "run.env.world.lidar.num_beams=12",
    "run.curriculum.window=10", "run.runtime.auth_mode=disabled",
    "space.learner.learning_rate={loguniform: [1e-4, 1e-2]}", "trial.evaluation_episodes=16",
]  # fmt: skip
ASHA = [
    *SMALL, "name=small", "num_trials=4", "scheduler={kind: asha, grace_env_steps: 2_500, reduction_factor: 2}",
    "trial.wiring=local", "trial.max_env_steps=10_000", "trial.report_env_steps=2_500", "resources.max_concurrent=2",
]  # fmt: skip
PBT = [
    *SMALL, "name=population", "num_trials=4", "space.learner.target_tau={loguniform: [1e-3, 1e-1]}",
    "scheduler={kind: pbt, perturbation_env_steps: 10_000, quantile_frac: 0.5}",
    "trial.max_env_steps=120_000", "trial.report_env_steps=10_000", "resources.cpus_per_trial=0.45",
]  # fmt: skip


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "robonav_ray.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def run(*arguments: str, code: int = 0, timeout_s: float = 280.0) -> str:
    process = start(*arguments)
    try:
        told, _ = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    assert process.returncode == code, told
    return told


def history_at(directory: Path) -> History:
    return Records(directory).history


def num_reports(directory: Path) -> int:
    return sum(len(trial.reports) for trial in history_at(directory).trials.values())


def wait_for_reports(process: subprocess.Popen[str], directory: Path, count: int, timeout_s: float = 400.0) -> None:
    until = time.monotonic() + timeout_s
    while True:
        if num_reports(directory) >= count:
            return
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < until
        time.sleep(0.05)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


def assert_counters_only_rose(history: History) -> None:
    for trial in history.trials.values():
        for name in ("env_steps", "seconds", "iteration", "session"):
            values = [getattr(report, name) for report in trial.reports]
            assert values == sorted(values), (trial.id, name, values)
        steps = [report.env_steps for report in trial.reports]
        assert len(set(steps)) == len(steps), "no report stands there twice, and no trial began at 0 again"


def test_killed_with_its_state_cut_off_and_resumed_the_bad_are_stopped_and_the_best_is_told(
    tmp_path: Path, ray_session: None, robonav_here: Robonav
) -> None:
    search = tmp_path / "search"
    process = start("tune", *ASHA, "--out", str(search))
    wait_for_reports(process, search, 3)
    kill(process)
    before = history_at(search)
    for file in (search / "ray_tune").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")  # also what Tune would resume from
    with (search / "records.jsonl").open("ab") as file:
        file.write(b'{"event": "report", "tri')
    done = robonav_here("tune", "--resume", str(search), cwd=tmp_path)  # over the Ray of the suite
    assert done.returncode == 0, done.stderr
    after = history_at(search)
    assert after.ended
    assert after.num_sessions == 2
    assert_counters_only_rose(after)
    for trial, past in before.trials.items():
        assert after.trials[trial].reports[: len(past.reports)] == past.reports
        assert after.trials[trial].first_params == past.first_params
    assert [trial.id for trial in after.trials.values()] == ["00000", "00001", "00002", "00003"]
    assert {trial.state for trial in after.trials.values()} == {"stopped", "finished"}
    assert max(trial.last.env_steps for trial in after.trials.values()) >= 10_000
    assert after.env_steps < 4 * 10_000
    best = after.best_trial
    assert f"best: trial {best.id}" in done.stdout
    config = load_run_config(search / "best_config.yaml")
    assert config.learner.learning_rate == pytest.approx(best.params["learner.learning_rate"])
    assert config.budget.max_env_steps is None, "the search's own limits are no part of it"
    assert "<html" in (search / "report.html").read_text()


@pytest.mark.slow
def test_what_a_search_leaves_is_shown_trained_on_and_judged(tmp_path: Path) -> None:
    search = tmp_path / "search"
    run("tune", *ASHA, "--out", str(search))
    best = history_at(search).best_trial
    assert "00003" in run("tune", "show", str(search))
    told = run("tune", "--resume", str(search))
    assert f"best: trial {best.id}" in told, "there is nothing left to do, and that is no error"
    run("train", str(search / "best_config.yaml"), "budget.time_s=0", "budget.max_env_steps=3000",
        "evaluation.num_episodes=2", "--local", "--out", str(tmp_path / "again"))  # fmt: skip
    run("evaluate", str(search / "trials" / best.id), "--episodes", "4", "--stages", "0")


@pytest.mark.slow
def test_a_trial_that_fails_is_tried_again_then_marked_and_the_others_go_on(tmp_path: Path) -> None:
    search = tmp_path / "search"
    changes = ["space.learner.learning_rate={choice: [1e-3, 1e30]}", "search.method=grid", "scheduler={kind: fifo}",
               "trial.max_env_steps=10_000", "trial.max_failures=1", "run.learner.max_grad_norm=1e30"]  # fmt: skip
    told = run("tune", *ASHA, *changes, "--out", str(search))
    good, bad = history_at(search).trials.values()
    assert (good.state, bad.state) == ("finished", "failed")
    assert len(bad.failures) == 2
    assert "not finite" in bad.reason
    assert f"trial {bad.id} failed" in told
    assert "trial_run.py" in (search / "trials" / bad.id / "errors.txt").read_text()


@pytest.mark.slow
def test_a_time_limit_leaves_something_to_resume(tmp_path: Path) -> None:
    search = tmp_path / "search"
    told = run("tune", *ASHA, "trial.max_env_steps=2_000_000", "--time-limit", "60s", "--out", str(search), code=75)
    assert f"robonav tune --resume {search}" in told
    history = history_at(search)
    assert not history.ended
    assert "running" in {trial.state for trial in history.trials.values()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_clones_have_the_donors_weights_and_the_new_values(tmp_path: Path) -> None:
    search = tmp_path / "search"
    run("tune", *PBT, "--out", str(search), timeout_s=850)
    history = history_at(search)
    exploits = [(trial, exploit) for trial in history.trials.values() for exploit in trial.exploits]
    assert len(exploits) >= 3
    assert_counters_only_rose(history)
    for trial in history.trials.values():
        told = search / "trials" / trial.id / "take_overs.jsonl"
        lines = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        assert len(lines) == len(trial.exploits)
        for line, exploit in zip(lines, trial.exploits, strict=True):
            assert line["donor"].endswith(exploit.donor_checkpoint)
            assert line["sha256"] == line["donor_sha256"], "weights, target weights and the optimiser's moments"
            assert line["stage"] == line["donor_stage"]
            assert line["learner"]["learning_rate"] == pytest.approx(exploit.params["learner.learning_rate"])
            assert exploit.params != exploit.params_before
        if trial.exploits:
            metrics = read_metrics(search / "trials" / trial.id / "metrics.jsonl")
            rates = [line["learner/learning_rate"] for line in metrics if "learner/learning_rate" in line]
            assert rates[-1] == pytest.approx(trial.params["learner.learning_rate"]), "the optimiser's own"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["asha", "pbt"])
def test_killed_five_times_every_trial_finishes(tmp_path: Path, kind: str) -> None:
    search = tmp_path / "search"
    settings = ASHA if kind == "asha" else [*PBT, "trial.wiring=local"]
    process = start("tune", *settings, "num_trials=8", "trial.max_env_steps=200_000", "--out", str(search))
    reports = 0
    for number in range(5):
        reports += 1 + (number * 7) % 3
        wait_for_reports(process, search, reports, 200.0)
        time.sleep(0.17 * number)
        kill(process)
        reports = num_reports(search)
        process = start("tune", "--resume", str(search))
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    history = history_at(search)
    assert history.ended
    assert len(history.trials) == 8
    assert history.num_sessions == 6
    assert all(trial.state in ("finished", "stopped") for trial in history.trials.values())
    assert_counters_only_rose(history)
    if kind == "pbt":
        assert all(trial.state == "finished" for trial in history.trials.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_trial_goes_on_and_leaves_nothing_behind(tmp_path: Path) -> None:
    search = tmp_path / "search"
    process = start("tune", *PBT, "num_trials=2", "scheduler={kind: fifo}", "--out", str(search))
    wait_for_reports(process, search, 2, 200.0)
    victims = subprocess.run(
        ["pgrep", "-f", "ray::ResourceTrainable"], capture_output=True, text=True, check=False
    ).stdout.split()
    mine = [int(pid) for pid in victims if _descends(int(pid), process.pid)]
    assert mine
    os.kill(mine[0], signal.SIGKILL)
    told, _ = process.communicate(timeout=400)
    assert process.returncode == 0, told
    history = history_at(search)
    assert sum(len(trial.failures) for trial in history.trials.values()) == 1
    assert all(trial.state == "finished" for trial in history.trials.values())
    assert_counters_only_rose(history)


def _descends(pid: int, ancestor: int) -> bool:
    import psutil

    return ancestor in {parent.pid for parent in psutil.Process(pid).parents()}


@pytest.mark.slow
def test_a_trial_larger_than_the_machine_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    told = run(
        "tune",
        *SMALL,
        "trial.max_env_steps=200_000",
        "resources.cpus_per_trial=64",
        "--out",
        str(tmp_path / "search"),
        code=2,
    )
    assert "resources.cpus_per_trial" in told
    assert "Traceback" not in told
    assert not (tmp_path / "search").exists()
