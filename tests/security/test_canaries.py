"""A run is given secrets in every place that they may come from; none of them is found in anything that it writes or
says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
