"""The index of a run's checkpoints: which is the best, what stays, and that nothing damaged is believed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.runs.checkpoint import CheckpointError
from robonav_ray.runs.checkpoint_index import (
    INDEX_FILE,
    CheckpointIndex,
    Judgement,
    Numbered,
    published_name,
    read_index,
    write_index,
)

FIRST = Judgement(
    checkpoint="env-000000000100",
    env_steps=100,
    learner_steps=10,
    train_s=1.5,
    stage=0,
    is_last_stage=True,
    stages=("full_challenge",),
    num_episodes=50,
    success_frac=0.5,
    success_low_frac=0.36,
    success_high_frac=0.64,
    collision_frac=None,
    return_mean=-1.0,
)


def judged(*scores: float, last: bool = True) -> CheckpointIndex:
    return CheckpointIndex(
        tuple(
            replace(FIRST, checkpoint=f"env-{100 * (i + 1):012d}", success_frac=score, is_last_stage=last)
            for i, score in enumerate(scores)
        )
    )


def test_the_best_is_the_highest_success_and_the_return_decides_between_equal_ones() -> None:
    index = judged(0.5, 0.8, 0.7, 0.8)
    assert index.best == index.judgements[1]
    later = CheckpointIndex((*index.judgements[:3], replace(index.judgements[3], return_mean=2.0)))
    assert later.best == later.judgements[3]
    assert CheckpointIndex().best is None


def test_judgements_without_a_gain_count_in_the_last_stage_alone() -> None:
    assert judged(0.5, 0.8, 0.7, 0.8).without_gain == 2
    assert judged(0.5, 0.4, 0.9).without_gain == 0
    assert judged(0.5, 0.4, 0.3, last=False).without_gain == 0
    assert CheckpointIndex().without_gain == 0


def test_what_tells_no_success_is_compared_by_its_return() -> None:
    bare = replace(FIRST, success_frac=None, success_low_frac=None, success_high_frac=None)
    better = replace(bare, return_mean=7.0, checkpoint="env-000000000200")
    assert CheckpointIndex((bare, better)).best == better
    assert better.score_text() == "mean return 7"


def test_a_resume_forgets_what_came_after_the_checkpoint() -> None:
    numbered = tuple(Numbered(i, 10 * i, f"env-{100 * i:012d}") for i in (1, 2, 3))
    index = CheckpointIndex(judged(0.5, 0.8, 0.9).judgements, numbered)
    before = index.until("env-000000000200")
    assert [j.score for j in before.judgements] == [0.5, 0.8]
    assert before.newest_number == 2
    assert index.until(None) == CheckpointIndex()
    assert index.kept(keep_best=True) == {n.checkpoint for n in numbered}
    assert judged(0.5, 0.8, 0.7).kept(keep_best=True) == {"env-000000000200"}
    assert judged(0.5, 0.8, 0.7).kept(keep_best=False) == frozenset()


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    index = CheckpointIndex(judged(0.5, 0.8).judgements, (Numbered(2, 25, "env-000000000200-18f3a0"),))
    write_index(tmp_path, index)
    assert read_index(tmp_path) == index
    told = json.loads((tmp_path / INDEX_FILE).read_text())["best"]
    assert told["checkpoint"] == "env-000000000200"
    assert "success 80.0%" in told["why"]
    assert read_index(tmp_path / "none") == CheckpointIndex()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"success_frac": 1.5}, "success_frac"),
        ({"success_frac": float("nan")}, "success_frac"),
        ({"success_low_frac": None}, "has no interval"),
        ({"checkpoint": "../../elsewhere"}, "no name of a checkpoint"),
        ({"env_steps": -1}, "env_steps"),
        ({"num_episodes": 2.5}, "num_episodes"),
        ({"is_last_stage": 1}, "is_last_stage"),
        ({"stages": "full"}, "stages"),
        ({"stages": [1]}, "stages"),
        ({"more": 1}, "has not the keys"),
    ],
)
def test_a_damaged_index_is_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    write_index(tmp_path, judged(0.5))
    document = json.loads((tmp_path / INDEX_FILE).read_text())
    document["judgements"][0] |= change
    (tmp_path / INDEX_FILE).write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=told) as refused:
        read_index(tmp_path)
    assert str(tmp_path / INDEX_FILE) in str(refused.value)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"format_version": 2}', '{"format_version": 1, "judgements": 3}', "\0\1"]
)
def test_what_is_no_index_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX_FILE).write_text(text)
    with pytest.raises(CheckpointError, match=INDEX_FILE):
        read_index(tmp_path)


def test_which_checkpoint_stands_for_a_run(tmp_path: Path) -> None:
    assert published_name(tmp_path, "runs/a", None) is None
    with pytest.raises(CheckpointError, match=r"runs/a has not been judged.*evaluation\.interval_s"):
        published_name(tmp_path, "runs/a", "best")
    write_index(tmp_path, judged(0.5, 0.8, 0.7))
    assert published_name(tmp_path, "runs/a", None) == "env-000000000200"
    assert published_name(tmp_path, "runs/a", "best") == "env-000000000200"
    assert published_name(tmp_path, "runs/a", "last") is None
