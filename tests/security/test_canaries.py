"""A run is given secrets in every place that they may come from; none of them is found in anything that it writes or
says."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.runs.faults import record_fault, sentence_of
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.session_facts import command_line
from robonav_ray.runtime.live import _log_in
from robonav_ray.tuning.experiment import create_experiment
from tests.e2e.test_local_wiring import SMALL

QUICK = [*SMALL, "evaluation.num_episodes=2", "evaluation.num_worlds=2", "tracking.interval_s=0.2",
         "tracking.panel=plain", "curriculum.force_stage=0", "budget.max_env_steps=2000"]  # fmt: skip
VARIABLES = ("RAY_AUTH_TOKEN", "WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD")
MARK = "canary"


def environment(home: Path) -> dict[str, str]:
    """Every variable and every file that a token or key may come from, each with a canary of its own."""
    for name in (".ray/auth_token", ".netrc", "named_token"):
        path = home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{MARK}-of-{path.name}-0123456789abcdef")
        path.chmod(0o600)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {
        **kept,
        **{name: f"{MARK}-of-{name}-0123456789" for name in VARIABLES},
        "HOME": str(home),
        "RAY_AUTH_MODE": "token",
    }


def found_in(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and MARK.encode() in path.read_bytes()
    ]


def robonav(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "robonav_ray.cli", *arguments], cwd=folder, env=env, capture_output=True, text=True,
        timeout=200, check=False
    )  # fmt: skip
    assert MARK not in done.stdout + done.stderr, f"`robonav {arguments[0]}` says a secret"
    return done


@pytest.mark.slow
def test_no_secret_is_written_or_said(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    env = environment(home)
    done = robonav(work, env, "train", "--local", "--out", "run", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    for arguments in (("config", "show"), ("evaluate", "run", "--episodes", "2", "--stages", "0")):
        assert robonav(work, env, *arguments).returncode == 0
    for arguments in (
        ("train", "--local", "learner.batchsize=3"),
        ("train", "env.id=CartPole-v1", f"env.kwargs.password={MARK}-of-the-command-line"),
        ("train", "runtime.address=127.0.0.1:1"),
        ("submit", "--address", "http://127.0.0.1:1", "--env", "WANDB_API_KEY"),
        ("submit", "--address", f"http://me:{MARK}@127.0.0.1:1"),
    ):
        assert robonav(work, env, *arguments).returncode == 2
    assert len([p for p in work.rglob("*") if p.is_file()]) > 15, "there is something to look at"
    assert found_in(work) == []
    del env["RAY_AUTH_TOKEN"]
    for variables in (env, {**env, "RAY_AUTH_TOKEN_PATH": str(home / "named_token")}):
        assert robonav(work, variables, "train", "runtime.address=127.0.0.1:1").returncode == 2
    assert found_in(work) == []


TRACKED = ("tracking.wandb.mode=offline", "tracking.mlflow.required=false", "tracking.interval_s=0.2")


@pytest.mark.slow
def test_no_secret_reaches_a_tracker(tmp_path: Path) -> None:
    """Of a server that does not answer, of one that is left to later, and of W&B's own files."""
    for package in ("mlflow", "wandb"):
        pytest.importorskip(package)
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    env = {**environment(home), "MLFLOW_TRACKING_TOKEN": f"{MARK}-of-a-token"}
    down = f"http://me:{MARK}-of-a-uri@127.0.0.1:1/?token={MARK}-of-an-option"
    command = ("train", "--local", *QUICK)
    refused = robonav(work, {**env, "MLFLOW_TRACKING_URI": down}, *command, "--out", "none", "tracking.mlflow={}")
    assert refused.returncode == 2
    assert "MLFLOW_TRACKING_URI" in refused.stderr + refused.stdout
    named = robonav(work, env, *command, "--out", "none", f"tracking.mlflow.tracking_uri={down}")
    assert named.returncode == 2
    assert not (work / "none").exists()
    done = robonav(work, {**env, "MLFLOW_TRACKING_URI": down}, *command, "--out", "later", *TRACKED)
    assert done.returncode == 0, done.stdout + done.stderr
    local = robonav(work, env, *command, "--out", "run", "tracking.wandb.mode=offline", "tracking.mlflow={}")
    assert local.returncode == 0, local.stdout + local.stderr
    assert robonav(work, env, "evaluate", "run", "--episodes", "2", "--stages", "0").returncode == 0
    assert len([p for p in work.rglob("*") if p.is_file()]) > 30, "there is something to look at"
    assert found_in(work) == []


def test_a_front_keeps_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from robonav_ray import ExperimentTracker

    for name in VARIABLES:
        monkeypatch.setenv(name, f"{MARK}-of-{name}")
    secret = f"http://me:{MARK}@host/?token={MARK}"
    with ExperimentTracker(
        "mine", ["tensorboard"], {"server": secret}, output_dir=tmp_path, tags={"at": secret}
    ) as own:
        own.log_metrics({"a": 1.0})
    assert found_in(tmp_path) == []


COMMAND = ("ab", f"env.kwargs.api_key={MARK}", f"http://me:{MARK}@host/?token={MARK}", "--api-key", MARK,
           f"--password={MARK}", "--seed", "7")  # fmt: skip


def test_what_was_typed_is_written_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In run.json, error.txt, an exam's record and a log that another library writes to."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/robonav", *COMMAND])
    run = create_run(load_run_config(None, []), tmp_path / "run")
    run.add_session(list(sys.argv), "local")
    assert command_line()[-2:] == ["--seed", "7"]
    record_fault(run, RuntimeError(f"cannot reach http://me:{MARK}@host"))
    assert MARK not in sentence_of(RuntimeError(f"cannot reach http://me:{MARK}@host"))
    heard = logging.getLogger("another_library")
    heard.propagate = False
    with _log_in(run, heard, ()):
        heard.warning("retrying http://me:%s@host/?token=%s", MARK, MARK)
    assert "http://...@host" in (run.path / "log.txt").read_text()
    assert "--seed 7" in (run.path / "error.txt").read_text()
    assert found_in(tmp_path) == []


def test_a_config_with_a_password_in_an_address_begins_nothing(tmp_path: Path) -> None:
    kwargs = {"id": "CartPole-v1", "kwargs": {"server": f"http://me:{MARK}@host/map@2"}}
    config = RunConfig.model_validate({"env": kwargs})  # as an earlier run has it: it stays readable
    tuning = TuningConfig.model_validate({"space": {"learner.batch_size": {"choice": [1, 2]}}, "run": {"env": kwargs}})
    for begin in (lambda: create_run(config, tmp_path / "run"), lambda: create_experiment(tuning, tmp_path / "run")):
        with pytest.raises(ConfigError, match="server: has an address with a name and a password") as refused:
            begin()
        assert MARK not in str(refused.value)
    run = create_run(load_run_config(None, []), tmp_path / "good")
    with pytest.raises(ConfigError, match=r"runtime\.address: has an address"):
        run.resumed_config([f"runtime.address=ray://me:{MARK}@host:1"])
    assert found_in(tmp_path) == []
    assert not (tmp_path / "run").exists()
    fine = {"id": "CartPole-v1", "kwargs": {"map": "https://host/map@2:1", "store": "sqlite:////home/me@work:1/a@b"}}
    create_run(RunConfig.model_validate({"env": fine}), tmp_path / "fine")
