"""Outside of a checkout: the wheel, installed with pip into an empty environment, does in an empty folder what the
README says.

What the wheel depends on is taken from the environment of the tests, so that nothing is downloaded; or all is in the
environment whose ``bin`` is ``ROBONAV_WHEEL_BIN``, which ``make wheel`` has filled by the package index alone.
"""

import json
import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SMALL = [
    "algo.hidden_dims=[32,32]", "rollout.num_worlds=8", "rollout.steps_per_fragment=16", "replay.capacity=3000",
    "replay.min_size=300", "learner.batch_size=32", "budget.time_s=0", "budget.max_env_steps=3000",
    "evaluation.num_episodes=8", "evaluation.num_worlds=8", "evaluation.gif_episodes=1",
]  # fmt: skip


def called(*words: str | Path, cwd: Path, home: Path, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def _take_kernels(package: Path) -> None:
    """Have an installed package find the kernels that were compiled from the same sources here: they are kept by the
    times of files."""
    for path in (REPOSITORY / "robonav_ray").rglob("*.py"):
        kernels = sorted((path.parent / "__pycache__").glob(f"{path.stem}.*.nb[ic]"))
        installed = package / path.relative_to(REPOSITORY / "robonav_ray")
        if kernels:
            shutil.copystat(path, installed)
            (installed.parent / "__pycache__").mkdir(exist_ok=True)
            for kernel in kernels:
                shutil.copy2(kernel, installed.parent / "__pycache__" / kernel.name)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ``bin`` of an environment into which the wheel was installed."""
    if named := os.environ.get("ROBONAV_WHEEL_BIN"):
        return Path(named)
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    skipped = shutil.ignore_patterns("__pycache__", "*.nbc", "*.nbi", ".*", "*.egg-info")
    for name in ("robonav_ray", "robonav_policy", "configs", "cluster", "proofs"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copyfile(REPOSITORY / name, source / name)
    pip = [sys.executable, "-m", "pip"]
    options = ["-q", "--no-deps", "--no-index"]
    called(*pip, "wheel", ".", *options, "--no-build-isolation", "-w", folder, cwd=source, home=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    called(*pip, "--python", folder / "venv" / "bin" / "python", "install", *options, wheel, cwd=folder, home=folder)
    (packages,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    (packages / "of_the_tests.pth").write_text("\n".join(site.getsitepackages()))
    _take_kernels(packages / "robonav_ray")
    shutil.rmtree(source)
    return folder / "venv" / "bin"


def test_the_readmes_commands_work_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    here, home = tmp_path / "empty", tmp_path / "home"
    here.mkdir()
    home.mkdir()

    def robonav(*words: str, code: int = 0) -> str:
        return called(installed / "robonav", *words, cwd=here, home=home, code=code)

    where = called(installed / "python", "-c", "import robonav_ray; print(robonav_ray.__file__)", cwd=here, home=home)
    assert str(installed.parent) in where
    assert "quick" in robonav("config", "list")
    for name in ("quick", "configs/run/ten_minutes.yaml"):
        assert "valid: robonav_ray/Nav-v0" in robonav("config", "validate", name)
    robonav("train", "quick", "--local", "--out", "runs/a", *SMALL)
    facts = json.loads((here / "runs" / "a" / "run.json").read_text())["sessions"][0]
    assert facts["git_revision"] is None
    assert facts["project"] is None
    assert len(json.loads(robonav("evaluate", "runs/a", "--episodes", "8", "--json"))["levels"]) == 4
    robonav("play", "runs/a", "--output", "robot.gif", "--episodes", "1")
    robonav("plot", "runs/a", "--output", "curves.png")
    assert "finished" in robonav("runs", "list")
    robonav("runs", "gc", "--yes")
    robonav("train", "quick", "--local", "--out", "runs/b", "--init-from", "runs/a", *SMALL)
    robonav("train", "configs/run/ten_minutes.yaml", "--local", "--out", "runs/c", *SMALL)
    robonav("train", "--resume", "runs/c", "budget.max_env_steps=4000")
    robonav("compare", "runs/a", "orca", "--suite", "quick", "--episodes", "50", "--local", "--out", "exams/a")
    robonav("report", "exams/a")
    robonav("export", "runs/a", "--out", "bundle")
    assert "whole" in robonav("export", "--verify", "bundle")
    assert {path.name for path in here.iterdir()} == {"runs", "robot.gif", "curves.png", "exams", "bundle"}


def test_the_module_is_the_command_and_a_robot_needs_the_bundle_alone(installed: Path, tmp_path: Path) -> None:
    def python(*words: str) -> str:
        return called(installed / "python", *words, cwd=tmp_path, home=tmp_path)

    assert python("-m", "robonav_ray", "--version") == called(
        installed / "robonav", "--version", cwd=tmp_path, home=tmp_path
    )
    loaded = python("-c", "import sys, robonav_policy; print(*sorted(sys.modules))").split()
    assert not {"robonav_ray", "torch", "ray"} & set(loaded)


def test_a_cluster_and_a_search_begin_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    here, home = tmp_path / "empty", tmp_path / "home"
    here.mkdir()
    home.mkdir()

    def robonav(*words: str, code: int = 0) -> str:
        return called(installed / "robonav", *words, cwd=here, home=home, code=code)

    robonav("cluster", "up", "--nodes", "rollout=1,learner=0")
    try:
        status = json.loads(robonav("cluster", "status", "--json"))
        assert len(status["nodes"]) == 2
        assert all(node["condition"] == "alive" for node in status["nodes"])
        assert max(map(len, robonav("cluster", "status").splitlines())) <= 80
    finally:
        robonav("cluster", "down", "--force")
    assert "robonav tune asha num_trials=1" in robonav("submit", "--tune", "asha", "num_trials=1", "--dry-run")
    robonav("cluster", "render", "--output", "derived")
    assert (here / "derived" / "cluster" / "kuberay" / "raycluster.yaml").is_file()
