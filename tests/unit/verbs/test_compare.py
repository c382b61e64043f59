"""``robonav compare``: plays, keeps each cell, goes on; and what is typed wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import robonav_ray
from robonav_ray.evaluation.metrics.meter import METER_VERSION
from robonav_ray.runtime.examination import here
from tests.conftest import Robonav

SUITE = """name: tiny
num_episodes: 50
scenarios:
  - {name: empty, stage: basic_navigation, changes: {level.num_static: 0}}
  - {name: easy, stage: basic_navigation}
"""


@pytest.fixture
def robonav(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Robonav:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    return lambda *words: robonav_here("compare", *words, "--no-failures", cwd=tmp_path)


def test_it_plays_keeps_and_goes_on(robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    words = ("go_to_goal", "fast=orca", "--suite", "tiny.yaml", "--local", "--out", "exam")
    code, out, _ = robonav(*words)
    assert code == 0
    assert "2 entrants in 2 scenarios: 4 cells to play into exam" in out
    assert "true state" in out
    table = robonav_ray.exam("exam")
    assert table.num_rows == 200
    assert [one.name for one in table.entrants] == ["go_to_goal", "fast"]
    assert table.provenance["command"] == ["robonav", "compare", *words, "--no-failures"]
    first, length = (tmp_path / "exam/episodes.parquet").read_bytes(), table.columns["length"]

    monkeypatch.setattr(here, "play", lambda *args: pytest.fail("all of it is there"))
    code, out, _ = robonav(*words)
    assert code == 0
    assert "0 cells to play into exam; 4 cells are there already" in out
    assert (tmp_path / "exam/episodes.parquet").read_bytes() == first

    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    table = robonav_ray.compare("go_to_goal", "random", suite="tiny.yaml", out="exam", local=True, quiet=True)
    assert [one.name for one in table.entrants] == ["go_to_goal", "random"], "a changed command plays what is missing"
    assert len(list((tmp_path / "exam/cells").iterdir())) == 6

    for number, path in enumerate(sorted((tmp_path / "exam/cells").glob("*/exam.json"))):
        document = json.loads(path.read_text())
        assert document["provenance"] == {"meter": METER_VERSION}
        document["provenance"] = {"meter": METER_VERSION} if number % 2 else {}  # {}: of an earlier commit
        path.write_text(json.dumps(document))
    code, out, _ = robonav(*words)
    assert code == 0
    assert "another version of robonav_ray, whose metrics mean something else: played again" in out
    assert "exam; " in out, "cells of this version are read"
    code, out, _ = robonav(*words)
    assert "0 cells to play into exam; 4 cells are there already" in out

    for path in (tmp_path / "exam/cells").glob("*/episodes.parquet"):
        path.write_bytes(b"")
    code, _, err = robonav(*words)
    assert code == 2
    assert "the same command plays it again" in err
    shutil.rmtree(tmp_path / "exam/cells")
    assert robonav(*words)[0] == 0
    np.testing.assert_array_equal(robonav_ray.exam("exam").columns["length"], length)


def test_what_is_finished_is_kept_when_it_is_stopped(robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from robonav_ray.runtime.watching import EvaluationStopped

    played, play = [], here.play

    def stop(*args):
        if played:
            raise EvaluationStopped
        played.append(args)
        return play(*args)

    monkeypatch.setattr(here, "play", stop)
    code, out, _ = robonav("go_to_goal", "--suite", "tiny.yaml", "--out", "exam")
    assert code == 75
    assert "the same command goes on" in out
    monkeypatch.setattr(here, "play", play)
    code, out, _ = robonav("go_to_goal", "--suite", "tiny.yaml", "--out", "exam", "--json")
    assert code == 0
    told = json.loads(out)
    assert [cell["scenario"] for cell in told["cells"]] == ["empty", "easy"]
    assert told["cells"][0]["success"]["frac"] == 1.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("orca", "--suite", "nothing"), "nothing: no such file, and no shipped config of that name"),
        (("orca", "--suite", "tiny.yaml", "--episodes", "10"), "episodes (10) must be at least 50"),
        (("orca", "--suite", "tiny.yaml", "--suite", "tiny.yaml"), "suite tiny: is named twice"),
        (("orca", "--suite", "broken.yaml"), "broken.yaml:2: scenarios.0.changes: input should be a valid dictionary"),
        (("orca", "--suite", "unknown.yaml"), "env.world.sped: unknown key"),
        (("nobody",), "nobody: is no run directory here, no planner (random"),
        (("orca", "--suite", "tiny.yaml", "--out", "taken"), "--out taken: holds something else (note.txt)"),
        (("orca", "--suite", "tiny.yaml", "--out", "s3://bucket/x"), "must be a path on this machine"),
        (("mine:act", "--suite", "tiny.yaml"), "mine:act: returned float32 (50,)"),
        (("mine:fails", "--suite", "tiny.yaml"), "mine:fails: failed: KeyError"),
    ],
)
def test_what_is_typed_wrong_is_one_message(robonav, tmp_path: Path, words, told):
    (tmp_path / "broken.yaml").write_text("name: broken\nscenarios: [{name: a, changes: [1]}]\n")
    (tmp_path / "unknown.yaml").write_text("name: unknown\nscenarios: [{name: a, changes: {env.world.sped: 1}}]\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/note.txt").write_text("")
    (tmp_path / "mine.py").write_text(
        "def act(obs):\n    return obs[:, 0] * 1.0\n\n\ndef fails(obs):\n    return {}['x']\n"
    )
    code, _, err = robonav(*words)
    assert code == 2
    assert told in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_processes_side_by_side_play_the_same(robonav, tmp_path: Path):
    words = ("go_to_goal", "orca", "--suite", "tiny.yaml")
    assert robonav(*words, "--processes", "1", "--out", "one")[0] == 0
    assert robonav(*words, "--processes", "2", "--out", "two")[0] == 0
    one, two = robonav_ray.exam("one").columns, robonav_ray.exam("two").columns
    for name, column in one.items():
        np.testing.assert_array_equal(column, two[name], err_msg=name)
    (tmp_path / "mine_beside.py").write_text("def fails(obs):\n    print('hello')\n    return {}['x']\n")
    code, _, err = robonav("mine_beside:fails", "orca", "--suite", "tiny.yaml", "--processes", "2", "--out", "two")
    assert code == 2
    assert "mine_beside:fails: failed: KeyError" in err


METRICS = """def detour(table):
    return table.path_length_m - table.shortest_path_length_m

detour.unit, detour.direction = "m", "lower"

def broken(table):
    return table.speed
"""


def test_a_metric_of_the_users_own_is_a_column(robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "mymetrics_of_compare.py").write_text(METRICS)
    monkeypatch.syspath_prepend(tmp_path)
    words = ("go_to_goal", "--suite", "tiny.yaml", "--local", "--out", "exam")
    code, _, err = robonav(*words, "--metric", "mymetrics_of_compare:gone")
    assert code == 2
    assert "--metric: 'mymetrics_of_compare:gone': mymetrics_of_compare has no 'gone'" in " ".join(err.split())
    code, _, err = robonav(*words, "--metric", "mymetrics_of_compare:broken")
    assert code == 2
    assert "--metric: broken failed: AttributeError" in " ".join(err.split())
    code, out, err = robonav(*words, "--metric", "mymetrics_of_compare:detour")
    assert code == 0, err
    assert "0 cells to play" in out, "what was played before is kept"
    assert "detour of go_to_goal in easy: " in out
    table = robonav_ray.exam("exam")
    want = table.columns["path_length_m"] - table.columns["shortest_path_length_m"]
    np.testing.assert_allclose(table.columns["own_detour"], want, rtol=1e-6)
    assert table.provenance["own_metrics"] == {"detour": {"unit": "m", "direction": "lower"}}
