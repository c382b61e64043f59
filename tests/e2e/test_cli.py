"""The command line: the user's mistakes get one message and exit code 2, a short run leaves a whole run directory."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.runs.checkpoint import list_checkpoints, newest_good_checkpoint
from robonav_ray.runs.run_directory import create_run, open_run
from robonav_ray.tracking.jsonl import read_metrics
from robonav_ray.tracking.metric_table import HISTOGRAMS, unknown_metrics
from tests.conftest import Robonav
from tests.e2e.test_local_wiring import SMALL

pytestmark = pytest.mark.usefixtures("undrawn")

QUICK = [
    *SMALL,
    "evaluation.num_episodes=8",
    "evaluation.num_worlds=8",
    "tracking.interval_s=0.2",
    "tracking.panel=plain",
]


def robonav(*arguments: str, cwd: Path, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, which takes seconds for its imports alone; ``robonav_here`` needs none."""
    command = [sys.executable, "-m", "robonav_ray.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the one-process wiring that reached its limit of env steps."""
    folder = tmp_path_factory.mktemp("cli")
    limits = ["budget.max_env_steps=4000", "evaluation.gif_episodes=1", "tracking.histogram_interval_s=0.01"]
    command = [
        sys.executable,
        "-m",
        "robonav_ray.cli",
        "train",
        "--local",
        "--out",
        str(folder / "run"),
        *QUICK,
        *limits,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def test_a_run_directory_is_whole(finished: Path) -> None:
    names = {p.name for p in finished.iterdir()}
    assert names >= {
        "config.yaml", "run.json", "status.json", "summary.json", "metrics.jsonl", "tensorboard", "checkpoints",
        "log.txt", "curriculum_progress.json", "evaluation.json", "evaluation.md", "curves.png", "play.gif",
    }  # fmt: skip
    facts = json.loads((finished / "run.json").read_text())["sessions"][0]
    assert facts["seed"] == 0
    assert facts["packages"]["ray"]
    assert json.loads((finished / "status.json").read_text())["status"] == "finished"
    assert newest_good_checkpoint(finished / "checkpoints")[0] is not None
    assert shown_in_tensorboard(finished) >= {"curves", "play", "evaluation/text_summary"}


def test_what_is_tracked_has_a_name_a_unit_and_a_meaning(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    names = {name for line in lines for name in line} - {"step", "time", "items"}
    assert unknown_metrics(names) == []
    first = next(line for line in lines if "runtime/wall_s" in line)
    counters = {name for name in names if name.startswith(("rollout/", "replay/", "runtime/", "tracking/"))}
    assert counters <= first.keys(), "a chart begins where the run does"
    items = [item for line in lines for item in line.get("items", ())]
    histograms = {item["name"] for item in items if item["kind"] == "histogram"}
    network = {"learner/weights/head.weight", "learner/gradients/head.weight"}
    assert histograms >= network | {name for name in HISTOGRAMS if "PARAMETER" not in name}
    assets = {(item["kind"], item["name"]) for item in items if item["kind"] != "histogram"}
    assert assets >= {
        ("table", "evaluation/episodes"), ("picture", "evaluation/top_view"), ("graph", "learner/network"),
        ("embedding", "evaluation/embedding"), ("picture", "curves"), ("film", "play"),
    }  # fmt: skip


def shown_in_tensorboard(run: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {*events.Tags()["images"], *events.Tags()["tensors"]}


def test_evaluate_and_play_a_run(finished: Path, tmp_path: Path, robonav_here: Robonav) -> None:
    done = robonav_here("evaluate", str(finished), "--episodes", "6", "--stages", "0,1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "basic_navigation" in done.stdout
    (folder,) = (finished / "evaluations").iterdir()
    report = json.loads((folder / "evaluation.json").read_text())
    assert [level["summary"]["num_episodes"] for level in report["levels"]] == [6, 6]
    done = robonav_here("play", str(finished), "--output", "x.gif", "--episodes", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.gif").read_bytes()[:3] == b"GIF"
    assert "x" in shown_in_tensorboard(finished)


MISTAKES = [
    (["train", "learner.batchsize=3"], ["learner.batchsize", "did you mean 'batch_size'"]),
    (["train", "learner.batch_size=big"], ["learner.batch_size", "integer"]),
    (["train", "missing.yaml"], ["missing.yaml", "no such file"]),
    (["train", "env.id=CartPool-v1"], ["env.id", "CartPole"]),
    (["train", "env.id=no_such_module:Env-v0"], ["env.id", "no_such_module"]),
    (["train", "env.id=Pendulum-v1"], ["env.id", "action space", "Discrete"]),
    (["train", "env.id=FrozenLake-v1"], ["env.id", "observation space"]),
    (["train", "replay.capacity=2000000000"], ["replay.capacity", "GB"]),
    (["train", "replay.error_buffer=1"], ["replay.error_buffer", "without end"]),
    (["train", "curriculum.stages.0.gate.min_return=99"], ["basic_navigation", "min_return"]),
    (["train", "rollout.num_workers=0"], ["rollout.num_workers"]),
    (["train", "rollout.num_worlds=20000"], ["replay.capacity", "fragment"]),
    (["train", "env.id=CartPole-v1", "curriculum.start_stage=2"], ["stage"]),
    (["train", "evaluation.levels=[9]"], ["evaluation.levels"]),
    (["train", "--resume", "nowhere"], ["nowhere", "no such directory"]),
    (["train", "--resume", "latest"], ["no run with checkpoints"]),
    (["train", "--time-limit", "soon"], ["--time-limit", "20m"]),
    (["train", "--grace", "0s"], ["--grace", "30s"]),
    (["evaluate", "nowhere"], ["nowhere", "not a run directory"]),
    (["play", "nowhere"], ["nowhere", "not a run directory"]),
    (["config", "validate", ""], ["'': an argument is empty"]),
    (["config", "validate", "replay.sampler=best"], ["replay.sampler", "'prioritized', 'rank' or 'uniform'"]),
    (["config", "validate", "replay.capacity=2000000000"], ["replay.capacity", "GB"]),
]


@pytest.mark.parametrize(("arguments", "parts"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
def test_mistakes_end_with_one_message_and_code_2(
    tmp_path: Path, robonav_here: Robonav, arguments: list[str], parts: list[str]
) -> None:
    code, _, told = robonav_here(*arguments, cwd=tmp_path)
    assert code == 2, told
    assert "Traceback" not in told
    for part in parts:
        assert part in told
    assert not list(tmp_path.iterdir()), "nothing may be made when the input is wrong"


HUGE_ENV = """
import gymnasium, numpy as np

class HugeReward(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(3, np.float32), 3e38, False, self.steps == 20, {}

gymnasium.register("HugeReward-v0", HugeReward, disable_env_checker=True)
"""


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_numbers_that_are_not_finite_end_with_one_message_and_the_batch(tmp_path: Path, robonav_here: Robonav) -> None:
    (tmp_path / "huge_reward.py").write_text(HUGE_ENV)  # each reward is finite, three of them are not
    done = robonav_here(
        "train", "--local", "--out", "run", "env.id=huge_reward:HugeReward-v0", "rollout.num_worlds=4",
        "replay.capacity=2000", "replay.min_size=256", "algo.n_step=3", "algo.reward_scale=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"not finite in the batch: reward \(0 NaN, \d+ infinite", done.stderr), done.stderr
    assert (tmp_path / "run" / "bad_batch_rank0.npz").is_file()


def test_a_run_is_never_overwritten(finished: Path, robonav_here: Robonav) -> None:
    before = (finished / "config.yaml").read_bytes()
    done = robonav_here("train", "--local", "--out", str(finished), *QUICK, cwd=finished.parent)
    assert done.returncode == 2
    assert "never overwritten" in done.stderr
    assert (finished / "config.yaml").read_bytes() == before


def test_a_damaged_checkpoint_is_named_and_left_alone(finished: Path, tmp_path: Path, robonav_here: Robonav) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    for checkpoint in list_checkpoints(copy / "checkpoints"):
        tensors = checkpoint / "learner" / "learner.safetensors"
        data = bytearray(tensors.read_bytes())
        data[len(data) // 2] ^= 1
        tensors.write_bytes(bytes(data))
    for arguments in (["evaluate", str(copy)], ["train", "--local", "--resume", str(copy)]):
        done = robonav_here(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "learner.safetensors" in done.stderr
        assert "Traceback" not in done.stderr


def test_resume_under_another_task_is_refused(finished: Path, robonav_here: Robonav) -> None:
    done = robonav_here("train", "--local", "--resume", str(finished), "algo.n_step=5", cwd=finished.parent)
    assert done.returncode == 2
    assert "`algo` section" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_with_a_checkpoint_and_resume_goes_on(tmp_path: Path, number: int, robonav_here: Robonav) -> None:
    run = tmp_path / "runs" / "x"
    command = [sys.executable, "-m", "robonav_ray.cli", "train", "--local", "--out", str(run), *QUICK]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    metrics = run / "metrics.jsonl"
    until = time.monotonic() + 500  # it may have to compile first, on a busy machine
    while not (metrics.exists() and "learner/loss" in metrics.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 75, output
    assert "robonav train --resume runs/x" in output
    first = newest_good_checkpoint(run / "checkpoints")[0]
    assert first is not None
    assert first.counters.learner_steps > 0
    limit = first.counters.env_steps + 2000
    done = robonav_here("train", "--local", "--resume", str(run), f"budget.max_env_steps={limit}", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"at {first.counters.env_steps:,} env steps" in done.stdout
    last = newest_good_checkpoint(run / "checkpoints")[0]
    assert last is not None
    assert last.counters.env_steps >= limit
    steps = [line["step"] for line in read_metrics(metrics)]
    assert steps == sorted(set(steps)), "no step may stand twice in the metrics after a resume"


def test_one_process_at_a_time_writes_a_run(finished: Path, robonav_here: Robonav) -> None:
    run = open_run(finished)
    with run.locked():
        assert run.is_locked
        done = robonav_here(
            "train", "--local", "--resume", str(finished), "budget.max_env_steps=99999", cwd=finished.parent
        )
    assert done.returncode == 2
    assert "another process" in done.stderr
    assert not run.is_locked


def test_resume_from_an_older_checkpoint_sets_the_newer_ones_aside(
    finished: Path, tmp_path: Path, robonav_here: Robonav
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    oldest, newest = list_checkpoints(copy / "checkpoints")[0], list_checkpoints(copy / "checkpoints")[-1]
    later = newest.with_name("env-000099999999")
    shutil.copytree(newest, later)
    limit = newest_good_checkpoint(copy / "checkpoints")[0]
    assert limit is not None
    steps = limit.counters.env_steps + 1500
    done = robonav_here("train", "--local", "--resume", str(oldest), f"budget.max_env_steps={steps}", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not later.exists()
    assert list((copy / "checkpoints").glob("superseded-env-000099999999-*"))
    last = newest_good_checkpoint(copy / "checkpoints")[0]
    assert last is not None
    assert last.counters.env_steps >= steps
    assert (copy / "config-session-002.yaml").exists(), "a resume with changes writes its config down"


def test_a_run_that_was_killed_before_its_first_checkpoint_is_taken_up_in_its_own_directory(
    tmp_path: Path, robonav_here: Robonav
) -> None:
    again = ["train", "--local", "--resume", "auto", "--out", "run", *QUICK, "budget.max_env_steps=1000"]
    killed = create_run(load_run_config(None, again[6:]), tmp_path / "run")
    (killed.path / "metrics.jsonl").write_text('{"step": 500, "time": 1.0, "learner/loss": 1.0}\n')
    killed.write_status("running")
    done = robonav_here(*again, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from its beginning: it has no checkpoint yet" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time", "items"}]
    assert len(points) == len(set(points))
    assert (tmp_path / "run" / "metrics.superseded.jsonl").is_file()


def test_resume_auto_starts_afresh_when_there_is_nothing(tmp_path: Path, robonav_here: Robonav) -> None:
    done = robonav_here("train", "--local", "--resume", "auto", *QUICK, "budget.max_env_steps=1000", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "starting afresh" in done.stdout
    assert len(list((tmp_path / "runs").iterdir())) == 1
