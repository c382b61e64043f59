"""RayTuneOptimizer as the snippet has it: for a function of the user's, and for our own curriculum runs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from robonav_ray import RayTuneOptimizer
from robonav_ray.config.load import load_run_config

pytestmark = pytest.mark.ray
FUNCTION = """
from robonav_ray import RayTuneOptimizer

def train_with_config(config):
    from ray import tune
    for step in range(1, 9):
        diverged = config["num_layers"] == 3 and step == 8
        value = -abs(config["gamma"] - 0.98) - config["dropout"] + step / 1000
        tune.report({"objective": float("nan") if diverged else value})

if __name__ == "__main__":
    optimizer = RayTuneOptimizer(experiment_name="robot_nav_raytune", train_fn=train_with_config, max_iterations=8,
                                 storage_path="kept")
    asha = optimizer.optimize_with_asha(num_samples=4, cpus_per_trial=1, gpus_per_trial=0.25, grace_period=2,
                                        reduction_factor=2)
    first = optimizer.best_value
    optimizer.optimize_with_bayesopt(num_samples=4, max_concurrent=4)
    assert optimizer.directory.parent.name == "kept" and any(optimizer.directory.iterdir()), optimizer.directory
    assert set(asha) == set(optimizer.best_config), optimizer.best_config
    assert optimizer.best_config["num_layers"] != 3, optimizer.best_config
    assert optimizer.best_value >= -0.2, optimizer.best_value
    print(*optimizer.save_results("results"))
"""
POPULATION = """
import json, pathlib
from robonav_ray import RayTuneOptimizer

def train_with_config(config):
    from ray import tune
    import tempfile
    checkpoint, score, first = tune.get_checkpoint(), 0.0, 1
    if checkpoint is not None:
        with checkpoint.as_directory() as directory:
            first, score = json.loads(pathlib.Path(directory, "state.json").read_text())
    for step in range(first, 13):
        assert 0.0 <= config["dropout"] <= 0.3 and 2 <= config["num_layers"] <= 4, config
        score += config["dropout"]
        with tempfile.TemporaryDirectory() as directory:
            pathlib.Path(directory, "state.json").write_text(json.dumps([step + 1, score]))
            tune.report({"objective": score}, checkpoint=tune.Checkpoint.from_directory(directory))

if __name__ == "__main__":
    optimizer = RayTuneOptimizer(train_fn=train_with_config, max_iterations=12)
    optimizer.optimize_with_pbt(num_samples=2, perturbation_interval=3, quantile_fraction=0.5)
    print("best", optimizer.best_value)
"""
CURRICULA = """
from robonav_ray import RayTuneOptimizer

RUN = {"algo": {"hidden_dims": [32], "num_layers": 1}, "replay": {"capacity": 20_000, "min_size": 500},
       "rollout": {"num_worlds": 16}, "env": {"world": {"lidar": {"num_beams": 12}}},
       "runtime": {"auth_mode": "disabled"}, "learner": {"batch_size": 32}}

if __name__ == "__main__":
    from robonav_ray.config.tuning import DimensionConfig
    space = {"learning_rate": DimensionConfig(loguniform=(1e-4, 1e-2)),
             "epsilon_decay": DimensionConfig(uniform=(0.99, 0.999))}
    optimizer = RayTuneOptimizer("robot_nav_raytune", run=RUN, search_space=space, wiring="local", max_env_steps=12_000,
                                 storage_path="searches")
    best = optimizer.optimize_with_bayesopt(num_samples=2, max_concurrent=2)
    assert set(best) == {"learner.learning_rate", "curriculum.stages.*.epsilon.decay"}, best
    print(optimizer.directory)
    print(*optimizer.save_results("results"))
"""


def run(tmp_path: Path, script: str) -> str:
    (tmp_path / "user.py").write_text(script)
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "user.py"], capture_output=True, text=True, cwd=tmp_path, env=environment,
        timeout=280, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_function_of_the_users_in_a_ray_that_is_there(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    user: dict[str, Any] = {"__name__": "user"}
    exec(compile(FUNCTION, "user.py", "exec"), user)
    optimizer = RayTuneOptimizer(train_fn=user["train_with_config"], max_iterations=8, storage_path="kept")
    best = optimizer.optimize_with_asha(num_samples=4, cpus_per_trial=1, grace_period=2, reduction_factor=2)
    assert set(best) == set(optimizer.best_config)
    assert optimizer.best_config["num_layers"] != 3, "that one diverged"
    assert optimizer.best_value >= -0.2
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept == optimizer.directory.absolute()
    assert ray.is_initialized(), "it was not this search's to end"


@pytest.mark.slow
def test_a_function_of_the_users(tmp_path: Path) -> None:
    told = run(tmp_path, FUNCTION)
    assert told.split()[-1] == "results/best_config.json"
    best = json.loads((tmp_path / "results" / "best_config.json").read_text())
    assert [path.name.rsplit("-", 3)[0] for path in sorted((tmp_path / "kept").iterdir())] == [
        "robot_nav_raytune-asha",
        "robot_nav_raytune-bayesopt",
    ]
    assert set(best["config"]) >= {"num_layers", "hidden_dims", "learning_rate", "batch_size", "gamma", "dropout"}


@pytest.mark.slow
def test_what_is_never_reported_is_said(tmp_path: Path) -> None:
    script = FUNCTION.replace('"objective": float', '"reward": float')
    (tmp_path / "user.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "user.py"], capture_output=True, text=True, cwd=tmp_path, timeout=280,
        check=False, env={**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode != 0
    assert "none reported 'objective'" in done.stderr


@pytest.mark.slow
def test_a_population_of_the_users_function(tmp_path: Path) -> None:
    assert "best" in run(tmp_path, POPULATION)


@pytest.mark.slow
def test_our_own_curriculum_runs(tmp_path: Path) -> None:
    run(tmp_path, CURRICULA)
    (directory,) = (tmp_path / "searches").iterdir()
    assert directory.name.startswith("robot_nav_raytune-bayesopt-")
    assert load_run_config(tmp_path / "results" / "best_config.yaml") == load_run_config(directory / "best_config.yaml")
    assert (tmp_path / "results" / "report.html").is_file()
