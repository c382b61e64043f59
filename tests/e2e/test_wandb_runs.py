"""Whole runs that are tracked to W&B offline: their files hold what the spool holds, once, also after a resume."""

import json
from pathlib import Path

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.tracking.jsonl import read_metrics
from tests.unit.tracking.wandb_file import Offline, read_offline

pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]
KEY = "canary" + 34 * "7"
TINY = [
    "algo.hidden_dims=[16]", "env.world.lidar.num_beams=12", "rollout.num_worlds=8", "rollout.steps_per_fragment=16",
    "replay.capacity=4000", "replay.min_size=200", "learner.batch_size=16", "evaluation.num_episodes=2",
    "evaluation.num_worlds=2", "evaluation.gif_episodes=1", "tracking.interval_s=0.1", "tracking.panel=off",
    "tracking.histogram_interval_s=0.2", "tracking.wandb={mode: offline, project: mine}", "tracking.tensorboard=null",
]  # fmt: skip


def figures(lines: list[dict]) -> list[tuple[int, dict]]:
    """(env step, metrics) of lines that have any."""
    told = [(line["step"], {k: v for k, v in line.items() if k not in ("step", "time")}) for line in lines]
    return [(step, metrics) for step, metrics in told if metrics]


def rows_of(found: Offline, names: set[str]) -> list[tuple[int, dict]]:
    told = [
        (row["env_step"], {k: None if v == "NaN" else v for k, v in row.items() if k in names}) for row in found.rows
    ]
    return [(step, metrics) for step, metrics in told if metrics]


def test_a_run_offline_is_whole_after_a_resume(tmp_path: Path, robonav_here, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WANDB_MODE", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(variable, "x")  # so that what a run sets is taken back
        monkeypatch.delenv(variable)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")  # no server answers there
    run = tmp_path / "run"
    done = robonav_here("train", "--local", "--out", "run", *TINY, "budget.max_env_steps=1000", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = robonav_here("train", "--local", "--resume", "run", "budget.max_env_steps=2000", cwd=tmp_path)
    assert again.returncode == 0, again.stderr

    found = read_offline(run)
    lines = read_metrics(run / "metrics.jsonl")
    names = {name for line in lines for name in line} - {"step", "time"}
    assert "learner/loss_mean" in names or len(names) > 20
    assert rows_of(found, names) == figures(lines), "every point, once"
    assert len({row["_step"] for row in found.rows}) == len(found.rows)
    config = load_run_config(run / "config.yaml").model_dump(mode="json")
    assert found.config["learner"] == config["learner"]
    assert found.config["env"]["world"]["lidar"]["num_beams"] == 12
    models = [artifact for artifact in found.artifacts if artifact[1] == "model"]
    assert [aliases for _, _, aliases, _ in models] == [["last", "latest"]] * 2
    assert "learner/learner.safetensors" in models[-1][3]
    assert len(found.ids) == 1
    assert found.ids == {json.loads((run / "trackers.json").read_text())["wandb"]["ids"]["run"]}
    assert found.summary["status"] == "finished"
    films = [row[key] for row in found.rows for key in row if key.endswith("/path") and str(row[key]).endswith(".gif")]
    assert films, "the film of an episode"
    assert set(films) <= set(found.files)
    assert any(path.read_bytes() == (run / "play.gif").read_bytes() for path in run.glob(f"wandb/*/files/{films[-1]}"))
    texts = [done.stdout, done.stderr, again.stdout, again.stderr]
    assert not any(KEY in text for text in texts)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
