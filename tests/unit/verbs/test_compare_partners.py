"""``robonav compare --partners`` and ``--cases``: what they play, print and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import robonav_ray
from tests.conftest import Robonav

SUITE = """name: small
num_episodes: 50
changes:
  env.world.profile: everett
  env.world.num_robots: 2
  level.num_dynamic: 0
  level.num_goals: 1
  level.max_steps: 120
scenarios:
  - {name: pair, beside: itself}
"""
CASES = [[[0, 0, 3, 0, 1.0, 0.5]]] + [[[-3, 0, 3, 0, 1.0, 0.3], [3, 0.5, -3, 0, 1.5, 0.5]]] * 3


@pytest.fixture
def robonav(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Robonav:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "small.yaml").write_text(SUITE)
    (tmp_path / "cases.json").write_text(json.dumps(CASES))
    return lambda *words: robonav_here("compare", *words, "--local", cwd=tmp_path)


def test_every_entrant_plays_beside_every_partner(robonav, tmp_path: Path) -> None:
    words = ("go_to_goal", "--partners", "orca", "straight", "stand", "--suite", "small.yaml", "--out", "exam")
    code, out, err = robonav(*words)
    assert code == 0, err
    assert "1 entrant in 4 scenarios" in out
    told = " ".join(out.split())
    assert "go_to_goal: worst partner" in told
    assert "own robots arrive" in told
    assert not list((tmp_path / "exam").glob("failures*")), "a case is no one robot's failure"
    code, out, _ = robonav(*words, "--json")
    assert code == 0
    told = json.loads(out)
    assert [one["entrant"] for one in told["partners"]] == ["go_to_goal"]
    assert set(told["partners"][0]["arrived"]) == {"orca", "straight", "stand"}
    assert [one["scenario"] for one in told["shared"]] == [
        f"pair_beside_{name}" for name in ("itself", "orca", "straight", "stand")
    ]
    again = robonav_ray.compare(
        "go_to_goal", suite="small.yaml", partners=["stand"], out="exam", local=True, quiet=True
    )
    assert again.scenario_names == ("pair_beside_itself", "pair_beside_stand")
    value = told["partners"][0]["arrived"]["stand"]["value"]
    assert again.cell(0, 1).extra["arrived_frac"].mean() == pytest.approx(value)


def test_cases_of_a_file_are_played(robonav) -> None:
    code, out, err = robonav("orca", "--cases", "cases.json", "--out", "exam")
    assert code == 0, err
    table = robonav_ray.exam("exam")
    assert table.scenario_names == ("robots_1", "robots_2", "half_orca_2")
    assert [table.cell(0, s).num_episodes for s in range(3)] == [1, 3, 3]
    assert "extra s (cases)" in out
    assert table.cell(0, 0).outcome.tolist() == [1], "one robot alone is a case too"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("orca", "--partners", "strait"), "partner strait: is no run directory here; did you mean 'straight'?"),
        (("orca", "--partners", "orca", "--suite", "quick"), "--partners: basic_navigation has one robot a world"),
        (("orca", "--cases", "none.npz"), "none.npz: No such file"),
        (("orca", "--cases", "s3://bucket/cases.npz"), "--cases s3://bucket/cases.npz: must be a path on this machine"),
        (("orca", "--cases", "cases.json", "--suite", "everett"), "--cases: is played in place of a suite"),
        (("orca", "--cases", "small.yaml"), "is neither .npz nor JSON"),
        (("--partners", "orca", "straight"), "Missing argument"),
        (("orca", "--partners"), "requires an argument"),
        (("lookahead", "--suite", "small.yaml"), "lookahead: fits no scenario"),
    ],
)
def test_what_is_typed_wrong_is_one_message(robonav, words: tuple[str, ...], told: str) -> None:
    code, _, err = robonav(*words)
    assert code == 2
    assert told in " ".join(err.split()).replace("│ ", "").replace(" │", "")
    assert "Traceback" not in err
