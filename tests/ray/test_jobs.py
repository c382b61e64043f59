"""Runs as Ray jobs, submitted from another machine (another home, another directory, only the token and the
address)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import robonav_ray
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from tests.e2e.test_local_wiring import SMALL
from tests.ray_head import Head, ray_head

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
QUICK = [*SMALL, "evaluation.num_episodes=4", "evaluation.num_worlds=4", "tracking.interval_s=0.2"]


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(23300) as started:
        yield started


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A directory with a config, as a user has it on another machine."""
    (tmp_path / "project" / "configs").mkdir(parents=True)
    (tmp_path / "project" / "configs" / "run.yaml").write_text("name: fromlaptop\n")
    return tmp_path


def run(
    head: Head, laptop: Path, *command: str, token: str | None = "", timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    env = head.environment(laptop, token)
    if command[0] == "ray":  # the tool of Ray does not turn authentication on by itself
        env["RAY_AUTH_MODE"] = "token"
    words = [sys.executable, "-m", "robonav_ray.cli", *command[1:]] if command[0] == "robonav" else list(command)
    return subprocess.run(
        words, cwd=laptop / "project", env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


def wait_for_learning(storage: Path, name: str) -> Path:
    until = time.monotonic() + 240
    while time.monotonic() < until:
        for metrics in storage.glob(f"{name}-*/metrics.jsonl"):
            if "learner/loss" in metrics.read_text():
                return metrics.parent
        time.sleep(0.3)
    raise AssertionError("the run has not begun to learn")


def test_a_job_learns_is_stopped_with_a_checkpoint_and_resumed(head: Head, laptop: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "robonav_ray.cli",
        "submit",
        "configs/run.yaml",
        *QUICK,
        "--address",
        head.dashboard,
        "--name",
        "one",
    ]
    watching = subprocess.Popen(
        command,
        cwd=laptop / "project",
        env=head.environment(laptop),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    folder = wait_for_learning(head.storage, "fromlaptop")
    watching.send_signal(signal.SIGINT)
    text, _ = watching.communicate(timeout=120)
    assert watching.returncode == 130, text
    assert "the job goes on" in text
    assert "robonav jobs stop one" in text
    assert "stage basic_navigation" in text, "the log was followed, in plain lines"
    assert "\x1b[" not in text
    assert "which is too short" not in text, "the job knows that it is given time to commit"

    shown = run(head, laptop, "robonav", "jobs", "list", "--address", head.dashboard)
    assert "one" in shown.stdout
    assert "running" in shown.stdout
    stopped = run(head, laptop, "ray", "job", "stop", "--address", head.dashboard, "one")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    log = run(head, laptop, "robonav", "jobs", "logs", "one", "--follow", "--address", head.dashboard)
    assert log.returncode == 75, "a job that was stopped can be resumed"
    assert "go on with" in log.stdout, log.stdout
    first = newest_good_checkpoint(folder / "checkpoints")[0]
    assert first is not None
    assert first.counters.learner_steps > 0
    assert json.loads((folder / "status.json").read_text())["status"] == "unfinished"

    limit = f"budget.max_env_steps={first.counters.env_steps + 2000}"
    done = run(
        head,
        laptop,
        "robonav",
        "submit",
        "configs/run.yaml",
        *QUICK,
        limit,
        "--resume",
        "auto",
        "--address",
        head.dashboard,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"at {first.counters.env_steps:,} env steps" in done.stdout
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"


def test_the_tool_of_ray_submits_too_and_the_checkout_is_what_runs(head: Head, laptop: Path) -> None:
    project = laptop / "project"
    shutil.copytree(
        Path(robonav_ray.__file__).parent, project / "robonav_ray", ignore=shutil.ignore_patterns("__pycache__")
    )
    init = project / "robonav_ray" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{robonav_ray.__version__}"', '"0.0.0+checkout"'))
    (project / "where.py").write_text(
        "import ray\n@ray.remote\ndef version():\n    import robonav_ray\n    return robonav_ray.__version__\n"
        "ray.init()\nprint('in a task:', ray.get(version.remote()))\n"
    )
    submit = ("ray", "job", "submit", "--address", head.dashboard, "--working-dir", ".", "--")
    done = run(head, laptop, *submit, "robonav", "--version")
    assert "robonav_ray 0.0.0+checkout" in done.stdout, done.stdout + done.stderr
    done = run(head, laptop, *submit, "python", "where.py")
    assert "in a task: 0.0.0+checkout" in done.stdout, done.stdout + done.stderr


def test_exit_codes_of_the_run_come_back(head: Head, laptop: Path) -> None:
    address = ("--address", head.dashboard)
    wrong = run(head, laptop, "robonav", "submit", "env.id=NoSuchWorld-v0", *address)
    assert wrong.returncode == 2, wrong.stdout + wrong.stderr
    assert "env.id" in wrong.stdout
    assert "Traceback" not in wrong.stdout
    local = run(head, laptop, "robonav", "submit", "learner.batchsize=3", *address)
    assert local.returncode == 2, "a mistake in the config is found before anything is sent"
    assert "did you mean 'batch_size'" in local.stderr
    missing = run(head, laptop, "robonav", "jobs", "logs", "nobody", *address)
    assert (missing.returncode, "there is no such job" in missing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("token", "says"), [("not-the-right-token-0123456789", "refuses the token of"), (None, "there is none")]
)
def test_without_the_right_token_nobody_gets_in(head: Head, laptop: Path, token: str | None, says: str) -> None:
    for command in (
        ("robonav", "submit", "configs/run.yaml", "--address", head.dashboard),
        ("robonav", "jobs", "list", "--address", head.dashboard),
        ("robonav", "train", "configs/run.yaml", f"runtime.address={head.address}"),
    ):
        began = time.monotonic()
        done = run(head, laptop, *command, token=token)
        assert done.returncode == 2, done.stdout + done.stderr
        assert time.monotonic() - began < 90, "15 s on a quiet machine: nothing is tried again and again"
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    assert not (laptop / "project" / "runs").exists()
