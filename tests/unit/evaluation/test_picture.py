"""The picture is drawn from all that a run logged, also with torn lines and missing metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.evaluation.picture import draw_curves, load_curves, smoothed, smoothed_by_stage, stage_spans, top_lines
from robonav_ray.runs.checkpoint_index import INDEX_FILE, CheckpointIndex, write_index
from tests.unit.runs.test_checkpoint_index import judged

NAMES = ("basic_navigation", "obstacle_avoidance", "multi_goal_planning", "full_challenge")


def write_run(run: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for i in range(150):
        stage = min(3, i // 30)
        progress = min(1.0, 0.3 + (i % 30) / 60 + (0.2 if i > 120 else 0.0))
        noise = rng.normal(0.0, 0.05)
        lines.append({
            "step": 8000 * i, "time": 2.0 * i, "curriculum/stage": stage, "curriculum/passed": float(i > 130),
            "curriculum/success_frac": float(np.clip(progress + noise, 0, 1)),
            "curriculum/collision_frac": float(np.clip(0.9 - progress - noise, 0, 1)),
            "curriculum/return_mean": 10 * progress * (stage + 1) / 2, "rollout/env_steps_per_s": 9000 + 800 * noise,
            "learner/steps_per_s": 200 + 100 * noise, "replay/samples_per_insert": 8 + noise,
            "learner/policy_lag_mean": 2 + noise, "learner/policy_lag_max": 6 + 10 * noise,
            "learner/td_error_mean": 0.5 - 0.2 * progress, "learner/q_mean": None,
        })  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text + '{"step": 99, "cur')
    (run / "curriculum_progress.json").write_text(json.dumps({"stages": [{"name": n} for n in NAMES]}))


def test_draws_a_picture_beside_the_metrics(tmp_path):
    write_run(tmp_path)
    write_index(tmp_path, judged(0.1, 0.4, 0.8))
    path = draw_curves(tmp_path, title="a run")
    assert path == tmp_path / "curves.png"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        INDEX_FILE,
        "curriculum_progress.json",
        "curves.png",
        "metrics.jsonl",
    ]
    with Image.open(path) as image:
        assert image.size[0] == 1440
        pixels = np.asarray(image.convert("RGB"))
    for colour in ((0x1A, 0x9A, 0x6C), (0xD1, 0x49, 0x5B), (0x2D, 0x6F, 0xB4), (0x7A, 0x5B, 0xA6)):
        assert (np.abs(pixels.astype(int) - colour).sum(axis=2) < 12).sum() > 50, colour


def test_returns_of_judgements_are_drawn_where_no_success_is_told(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 900, "curriculum/return_mean": 3.0}\n')
    bare = [
        replace(j, success_frac=None, success_low_frac=None, success_high_frac=None)
        for j in judged(0.1, 0.4).judgements
    ]
    write_index(tmp_path, CheckpointIndex(tuple(bare)))
    assert draw_curves(tmp_path).stat().st_size > 1000
    (tmp_path / INDEX_FILE).write_text("{")
    assert load_curves(tmp_path).judgements == ()


def test_one_point_and_one_metric_are_enough(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "time": 1.0, "learner/steps_per_s": 3.0}\n')
    assert draw_curves(tmp_path, tmp_path / "x.png").stat().st_size > 1000


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(ValueError, match="holds no metrics"):
        load_curves(tmp_path)


def test_values_that_are_missing_are_left_out(tmp_path):
    write_run(tmp_path)
    curves = load_curves(tmp_path)
    assert "learner/q_mean" not in curves.series
    assert curves.last_step == 8000 * 149
    assert curves.stage_names[3] == "full_challenge"


def test_values_of_a_stranger_are_left_out(tmp_path):
    lines = [{"step": 1, "a": 1.0, "curriculum/stage": 0}, {"step": 2, "a": "2"}, {"step": 3, "a": True},
             {"step": 4, "a": 1e300}, {"step": 5, "a": 10**400, "curriculum/stage": -3}, {"step": 10**400, "a": 1},
             {"step": -1, "a": 1}, {"step": "7", "a": 1}, {"step": 6, "a": 2.0, "curriculum/stage": 1e9},
             {"step": 3, "a": 9.0}, {"step": 8, "a": float("nan")}]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "1" * 5000)
    series = load_curves(tmp_path).series
    assert {name: [one.tolist() for one in rows] for name, rows in series.items()} == {
        "a": [[1.0, 6.0], [1.0, 2.0]], "curriculum/stage": [[1.0], [0.0]],
    }  # fmt: skip


def test_without_success_the_return_is_what_is_drawn_large(tmp_path):
    write_run(tmp_path)
    told = load_curves(tmp_path)
    assert [metric for metric, _, _ in top_lines(told)] == ["curriculum/success_frac", "curriculum/collision_frac"]
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        path.read_text().replace("curriculum/success_frac", "info/a").replace("curriculum/collision_frac", "info/b")
    )
    assert [metric for metric, _, _ in top_lines(load_curves(tmp_path))] == ["curriculum/return_mean"]
    assert draw_curves(tmp_path).is_file()


def test_spans_are_adjacent():
    steps, stage = np.array([10.0, 20.0, 30.0, 40.0]), np.array([0.0, 0.0, 1.0, 0.0])
    assert stage_spans(steps, stage, 50.0) == [(0, 0.0, 30.0), (1, 30.0, 40.0), (0, 40.0, 50.0)]


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_smoothing_agrees_with_its_slow_twin(n):
    value = np.random.default_rng(n).normal(size=n)
    half = min(9, n) // 2
    slow = [value[max(0, i - half) : i + half + 1].mean() for i in range(n)]
    np.testing.assert_allclose(smoothed(value, 9), slow, atol=1e-12)


def test_smoothing_does_not_cross_a_transition():
    steps, value = np.arange(20.0), np.repeat([1.0, 0.0], 10)
    np.testing.assert_array_equal(smoothed_by_stage(steps, value, [(0, 0.0, 10.0), (1, 10.0, 20.0)]), value)
    assert smoothed_by_stage(steps, value, [])[9] < 1.0
