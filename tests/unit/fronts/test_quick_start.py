"""The commands of the user's quick start: both searches as modules, and the training loop of docs/examples."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from robonav_ray import optuna_optimizer, raytune_optimizer
from robonav_ray.config.load import load_run_config
from robonav_ray.fronts.curriculum_objective import curriculum_run
from robonav_ray.verbs.exit_codes import end_with_code
from tests.conftest import Ended

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs/examples/train.py"
OWN = """
def train_with_config(config):
    return 1.0 - abs(config["gamma"] - 0.98)
def fails(config):
    raise RuntimeError("no such luck")
"""
TINY = [
    "algo.hidden_dims=[32]", "algo.num_layers=1", "env.world.lidar.num_beams=12", "rollout.num_worlds=16",
    "replay.min_size=500", "runtime.auth_mode=disabled",
]  # fmt: skip


@pytest.fixture
def module_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """Runs ``python -m robonav_ray.NAME`` in this process, in a folder with a module of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "quickstart_functions.py").write_text(OWN)

    def run(app: typer.Typer, *arguments: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["module", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            end_with_code(app)
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, *capsys.readouterr())

    return run


def test_optuna_searches_and_resumes(
    module_here: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(optuna_optimizer.OptunaOptimizer, "visualize", lambda self, folder: [])
    words = ["--train-fn", "quickstart_functions:train_with_config", "--n-trials", 3, "--seed", 1]
    code, out, err = module_here(optuna_optimizer.app, *words)
    assert (code, "3 complete" in out, "best: 0.9" in out) == (0, True, True), err
    assert json.loads((tmp_path / "optuna_results/best_config.json").read_text())["study_name"] == "robot_nav_hpo"
    assert not (tmp_path / "optuna_results/best_config.yaml").exists()
    assert (tmp_path / "optuna_studies.db").is_file()
    assert "3 complete" in module_here(optuna_optimizer.app, *words, "--resume")[1]

    def stopped(self: Any, *arguments: Any, **options: Any) -> None:
        signal.raise_signal(signal.SIGTERM)  # as Ctrl-C

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(optuna_optimizer.OptunaOptimizer, "optimize", stopped)
    code, _, err = module_here(optuna_optimizer.app, *words)
    assert (code, "--resume" in err) == (75, True)
    assert signal.getsignal(signal.SIGTERM) is before


def test_best_values_make_a_run() -> None:
    values = {"num_layers": 3, "hidden_dims": 64, "learning_rate": 2e-4, "epsilon_decay": 0.991, "target_update": 300}
    run = curriculum_run(values, {"seed": 3})
    assert (run.seed, run.algo.hidden_dims, run.learner.target_interval) == (3, (64, 64, 64), 300)
    assert {stage.epsilon.decay for stage in run.curriculum.stages} == {0.991}


@pytest.mark.parametrize("app", [optuna_optimizer.app, raytune_optimizer.app])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--train-fn", "quickstart_functions:train_with"], "did you mean 'train_with_config'?"),
        (["--train-fn", "nowhere:f"], "no module 'nowhere'"),
        (["--train-fn", "quickstart_functions:fails", "seed=3"], "leave one out"),
        (["learner.batch_sise=3"], "learner.batch_sise"),
        (["--output-dir", "quickstart_functions.py"], "--output-dir quickstart_functions.py"),
        (["seed"], "write it as section.key=value"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    module_here: Callable[..., Ended], tmp_path: Path, app: typer.Typer, words: list[str], told: str
) -> None:
    code, _, err = module_here(app, *words)
    assert (code, told in err, "Traceback" in err) == (2, True, False), err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["quickstart_functions.py"]


def test_ray_tune_is_asked_for_what_the_options_say(
    module_here: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    for name in ("asha", "pbt", "bayesopt"):
        monkeypatch.setattr(
            raytune_optimizer.RayTuneOptimizer,
            f"optimize_with_{name}",
            lambda self, *arguments, name=name, **options: asked.append((name, *arguments, options)),
        )
    for words in (
        ["--gpus-per-trial", 0.25],
        ["--method", "pbt", "--perturbation-interval", 20],
        ["--method", "bayesopt", "--num-samples", 50],
    ):
        code, _, err = module_here(raytune_optimizer.app, *words)
        assert (code, "no search has found anything yet" in err) == (2, True)
    assert asked == [
        ("asha", 16, 1.0, 0.25, {}),
        ("pbt", 4, 20, {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0}),
        ("bayesopt", 50, 4, {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0}),
    ]
    for words, told in ((["--method", "hyperband"], "choose asha"), (["--wiring", "both"], "choose local")):
        code, _, err = module_here(raytune_optimizer.app, *words)
        assert (code, told in err) == (2, True)


def example(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    """Run docs/examples/train.py in this process."""
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, words)])
    names = {"__name__": "__main__", "__file__": str(EXAMPLE)}
    exec(compile(EXAMPLE.read_text(encoding="utf-8"), str(EXAMPLE), "exec"), names)


SMALL = ["--rows", 512, "--teacher", "go_to_goal", "--episodes", 0]


def test_the_example_trains_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    example(monkeypatch, "--use-amp", "--batch-size", 128, "--epochs", 2, "--accumulation", 2, *SMALL)
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told[-2:]] == ["epoch 1 of 2", "epoch 2 of 2"]
    example(monkeypatch, "--multi-gpu", "--epochs", 3, *SMALL)
    told = capsys.readouterr().out
    assert "epoch 3 of 3" in told
    assert "epoch 2 of 3" not in told
    if torch.cuda.device_count() < 2:
        assert "nothing is shared out" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--distributed"], "torchrun --nproc_per_node=2"),
        (["--distributed", "--multi-gpu"], "take one of the two"),
        (["--batch-size", "0"], "--batch-size: must be at least 1"),
        (["--rows", "100"], "--rows 100: each process needs"),
    ],
)
def test_the_example_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        example(monkeypatch, *words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def run_in(folder: Path, *command: object) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_runs_under_torchrun(tmp_path: Path) -> None:
    words = ["--distributed", "--epochs", 2, *SMALL[:-1], 50]
    out = run_in(tmp_path, Path(sys.executable).with_name("torchrun"), "--nproc_per_node=2", EXAMPLE, *words)
    assert "2 process(es) on cpu, ddp" in out
    assert out.count("epoch 2 of 2") == 1  # the main process prints
    assert "student: reaches all goals in" in out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_modules_search_our_curriculum(tmp_path: Path) -> None:
    short = ["--max-env-steps", 8000, *TINY]
    out = run_in(tmp_path, sys.executable, "-m", "robonav_ray.optuna_optimizer", "--n-trials", 2, "--n-jobs", 2, *short)
    assert "2 complete" in out
    assert load_run_config(tmp_path / "optuna_results/best_config.yaml").env.world.lidar.num_beams == 12
    out = run_in(tmp_path, sys.executable, "-m", "robonav_ray.raytune_optimizer", "--num-samples", 2, *short)
    assert "raytune_results/best_config.yaml" in out
    assert load_run_config(tmp_path / "raytune_results/best_config.yaml").env.world.lidar.num_beams == 12
