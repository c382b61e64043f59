"""``robonav play --case``: one episode of a suite or of an exam; and what is typed wrong."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest

import robonav_ray
from robonav_ray.evaluation.failures.rows import kind_text
from robonav_ray.records import Outcome
from robonav_ray.runtime.examination.cases import Case
from robonav_ray.verbs.play_case import _targets
from tests.conftest import Robonav

SUITE = """name: tiny
num_episodes: 50
stage: obstacle_avoidance
scenarios:
  - {name: easy, changes: {level.max_steps: 60}}
"""


@pytest.fixture
def robonav(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Robonav:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    return partial(robonav_here, cwd=tmp_path)


def test_a_case_is_the_episode_of_the_exam(robonav, tmp_path: Path):
    words = ("compare", "go_to_goal", "--suite", "tiny.yaml", "--local", "--out", "exam", "--no-failures")
    code, _, err = robonav(*words)
    assert code == 0, err
    episodes = robonav_ray.exam("exam").cell(0, 0)
    index = int(episodes.length.argmin())
    outcome, length, path = (int(episodes.outcome[index]), int(episodes.length[index]), episodes.path_length_m[index])
    ended = "success" if outcome == Outcome.SUCCESS else kind_text(outcome)
    told = f"tiny:easy:{index} by go_to_goal: {ended} after {length} steps ({length * 0.1:.1f} s), {path:.2f} m driven"
    code, out, err = robonav("play", "--case", f"tiny:easy:{index}", "go_to_goal", "--exam", "exam")
    assert code == 0, err
    assert f"{told}, as in the exam" in " ".join(out.split())
    assert (tmp_path / f"case-tiny-easy-{index}-go_to_goal.gif").read_bytes()[:3] == b"GIF"
    code, out, err = robonav("play", "--case", f"tiny.yaml:easy:{index}", "go_to_goal", "--output", "x.gif", "--json")
    assert code == 0, err
    assert told.partition(":easy")[2] in " ".join(err.split())
    document = json.loads(out)
    assert (document["ended"], document["steps"], document["written"]) == (ended, length, ["x.gif"])

    table = tmp_path / "exam" / "exam.json"
    document = json.loads(table.read_text())
    document["scenarios"][0]["seed"] = document["provenance"]["suites"][0]["seed"] = 7
    table.write_text(json.dumps(document))
    code, out, err = robonav("play", "--case", f"tiny:easy:{index}", "go_to_goal", "--exam", "exam")
    assert code == 2
    assert "in the exam and with" in " ".join(err.split())


SHARED = """name: crowd
num_episodes: 50
changes: {env.world.profile: everett, env.world.num_robots: 3, level.num_static: 0, level.num_dynamic: 0,
  level.num_goals: 1, level.max_steps: 25}
planners: {env.world.robot.actions: continuous}
scenarios:
  - {name: three, beside: itself}
"""


def test_a_case_that_robots_share_is_that_of_the_exam(robonav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crowd.yaml").write_text(SHARED)
    words = ("compare", "go_to_goal", "--suite", "crowd.yaml", "--partners", "stand", "--local", "--out", "exam")
    code, _, err = robonav(*words)
    assert code == 0, err
    case = "crowd:three_beside_stand:2"
    code, out, err = robonav("play", "--case", case, "go_to_goal", "--exam", "exam")
    assert code == 0, err
    told = r"m driven; arrived go_to_goal \d of 2, stand 0 of 1, as in the exam"
    assert re.search(told, " ".join(out.split())), out
    assert (tmp_path / "case-crowd-three_beside_stand-2-go_to_goal.gif").read_bytes()[:3] == b"GIF"
    monkeypatch.setattr("robonav_ray.evaluation.played_case.film_case", lambda played, path: path.write_bytes(b"GIF"))
    code, out, err = robonav("play", "--case", "crowd.yaml:three:2", "orca", "--json")
    assert code == 0, err
    assert json.loads(out)["players"][0]["robots"] == 3, "all are its own"
    for wrong, told in (("three_beside_orka", "did you mean 'orca'"), ("four_beside_orca", "no scenario")):
        code, _, err = robonav("play", "--case", f"crowd.yaml:{wrong}:2", "orca")
        assert code == 2
        assert told in " ".join(err.split())


def test_several_have_a_film_each_and_a_window_shows_them(robonav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    films = "robonav_ray.evaluation.failures.films"
    monkeypatch.setattr(f"{films}.film_recording", lambda path, recording, title: path.write_bytes(b"GIF"))
    code, out, err = robonav("play", "--case", "tiny.yaml:easy:3", "go_to_goal", "random", "--json")
    assert code == 0, err
    cases = json.loads(out)["cases"]
    names = ["go_to_goal", "random"]
    assert [case["written"] for case in cases] == [[f"case-tiny-easy-3-{name}.gif"] for name in names]
    assert all((tmp_path / case["written"][0]).read_bytes()[:3] == b"GIF" for case in cases)
    shown: list[tuple[str, int]] = []
    monkeypatch.setattr(
        f"{films}.show_frames",
        lambda frames, *, fps, title: shown.append((title, sum(1 for _ in frames))),
    )
    code, _, err = robonav("play", "--case", "tiny.yaml:easy:3", "go_to_goal", "random", "--window")
    assert code == 0, err
    assert shown == [(f"easy 3, {case['entrant']}", case["steps"] + 1) for case in cases[:2]]


def test_no_two_films_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    targets = _targets(Case("tiny", "easy", 3), ["runs/a", "exams/a", "a-1"], None)
    assert [path.name for path in targets] == [f"case-tiny-easy-3-{name}.gif" for name in ("a-1", "a-2", "a-1-3")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--case", "tiny.yaml:easy", "orca"), "write SUITE:SCENARIO:INDEX"),
        (("--case", "tiny.yaml:easy:-1", "orca"), "write SUITE:SCENARIO:INDEX"),
        (("--case", "tiny.yaml:easy:999999999999999999999", "orca"), "write SUITE:SCENARIO:INDEX"),
        (("--case", "::", "orca"), "write SUITE:SCENARIO:INDEX"),
        (("--case", "tiny.yaml:esay:1", "orca"), "did you mean 'easy'?"),
        (("--case", "tiny.yaml:easy:50", "orca"), "plays the worlds 0 to 49"),
        (("--case", "nothing:easy:1", "orca"), "nothing"),
        (("--case", "tiny.yaml:easy:1", "orka"), "did you mean 'orca'?"),
        (("--case", "tiny.yaml:easy:1"), "name who plays it too"),
        (("--case", "tiny.yaml:easy:1", "--planner", "orca"), "--planner does not go with --case"),
        (("--case", "tiny.yaml:easy:1", "orca", "--window", "--json"), "--json goes with a GIF"),
        (("--case", "tiny.yaml:easy:1", "orca", "--window", "--output", "x.gif"), "--output goes with a GIF"),
        (("--case", "tiny.yaml:easy:1", "orca", "dwa", "--output", "x.gif"), "2 entrants have one each"),
        (("runs/a", "runs/b"), "one run is played at a time"),
        (("--case", "tiny.yaml:easy:1", "orca", "--episodes", "3"), "--episodes does not go with --case"),
        (("--case", "tiny.yaml:easy:1", "orca", "--exam", "gone"), "holds no exam.json"),
        (("--case", "tiny.yaml:easy:1", "orca", "--output", "gone.gif/x/y.gif"), ""),
        (("orca", "--exam", "gone"), "--exam goes with --case only"),
    ],
)
def test_what_is_typed_wrong_is_one_message(robonav, tmp_path: Path, words: tuple[str, ...], told: str):
    (tmp_path / "gone.gif").write_text("")
    code, out, err = robonav("play", *words)
    assert code == 2
    assert told in " ".join(err.split())
    assert "Traceback" not in out + err
