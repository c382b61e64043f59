"""Leagues at the command line: ``league show`` and ``rate``, ``play --league``, ``report``; and what is typed wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.config.league import LeagueConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.league.league import League
from robonav_ray.league.member import Member
from robonav_ray.league.written import as_json
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters
from robonav_ray.runs.run_directory import RunDirectory, create_run
from tests.made_up_leagues import make_league_run

SEED = Member("runs/[old]", "seed", sha256="a" * 64)


def played() -> League:
    league = League(LeagueConfig(capacity=3, snapshot_env_steps=1000), seeds=[SEED])
    rng = np.random.default_rng(0)
    for step in range(1, 6):
        for member in league.pool.members:
            chance = {"orca": 0.9, "runs/[old]": 0.3}.get(member.id, 0.2 * step)
            league.report("main", member.id, rng.random(80) < min(chance, 1.0))
        league.snapshot(1000 * step, f"{step:064x}")
    won = np.ones(1000, bool)
    league.challenge("main-0004", {"own": (won, ~won)}, lambda one, two: 0.0)
    league.exploiters.begin(league.pool.best, "selfish", "warm", 500)
    league.exploiters.spend(500)
    league.exploited(0.7, 0.9, "e" * 64)
    return league


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = create_run(load_run_config(None, ["league.capacity=3", "env.world.num_robots=3"]), tmp_path / "league-run")
    writer = CheckpointWriter(made.checkpoints, Counters(env_steps=5000))
    writer.write_json("league.json", json.loads(as_json(played().state_dict())))
    writer.commit()
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run whose members can play."""
    return make_league_run(tmp_path_factory.mktemp("leagues") / "mine")


def test_a_league_is_shown_and_drawn(run, robonav_here):
    done = robonav_here("league", "show", run.path)
    assert done.returncode == 0, done.stderr
    for text in ("main-0004", "runs/[old]", "exploiter-0000", "gained 20.0%", "lower bound", "does worst with"):
        assert text in done.stdout
    assert "scores of training" in done.stdout
    assert (run.path / "league.png").stat().st_size > 10_000
    lines = (run.path / "league" / "tables" / "league_members.csv").read_text().splitlines()
    assert lines[0].startswith("id,role,parent,step,met_frac,score")
    done = robonav_here("league", "show", run.path, "--json", "--output", run.path.parent / "l.svg")
    found = json.loads(done.stdout)
    assert {member["id"] for member in found["members"]} >= {"main", "orca", "runs/[old]", "exploiter-0000"}
    assert sum(member["met_frac"] for member in found["members"]) == pytest.approx(1.0)
    assert [member["id"] for member in found["members"] if member["is_best"]] == ["main-0004"]
    assert not [member for member in found["members"] if member["role"] == "scripted" and member["is_rated"]]
    assert found["exploits"][0]["gain"] == pytest.approx(0.2)
    assert len(found["lineage"]) == 11
    assert (run.path.parent / "l.svg").is_file()
    again = json.loads(robonav_here("league", "show", run.path, "--json").stdout)
    assert again["members"] == found["members"], "the same league shows the same intervals"


def test_members_are_rated_shown_reported_and_filmed(whole, robonav_here, tmp_path):
    done = robonav_here("league", "rate", whole.path, "--cases", "10", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["source"], found["setting"]["num_cases"]) == ("held-out", 10)
    done = robonav_here("league", "show", whole.path)
    assert "scores of 10 held-out cases for every two: all, 3 robots" in done.stdout
    assert "in the worst tenth of the cases" in done.stdout
    line = {"member": "main-0001", "role": "robot", "budget_s": 300, "gain": 0.1, "low": 0.05, "high": 0.15,
            "num_cases": 500, "wall_s": 310.5}  # fmt: skip
    (whole.path / "league" / "exploits.jsonl").write_text(json.dumps(line) + "\n")
    done = robonav_here("report", whole.path, "--out", tmp_path / "paper")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "paper" / "report.html").read_text()
    for text in ("worst tenth of cases", "Lineage", "Exploitability found", "main-0001"):
        assert text in page
    names = {path.name for path in (tmp_path / "paper" / "tables").iterdir()}
    assert names == {f"league_{name}.csv" for name in ("members", "partners", "lineage", "exploits")}
    done = robonav_here("play", "--league", whole.path, "newest", "ORCA", "--case", "2", "--output", tmp_path / "x.gif")
    assert done.returncode == 0, done.stderr
    assert "all, case 2" in done.stdout
    with Image.open(tmp_path / "x.gif") as film:
        assert film.n_frames > 5
        assert film.height > film.width, "with a legend"


def test_what_cannot_be_shown_is_refused(run, tmp_path, robonav_here):
    for arguments, text in (
        (("league", "show", tmp_path / "nowhere"), "nowhere"),
        (("league", "show", f"file://{tmp_path}/nowhere"), "is not a stored run"),
        (("league", "show", "NAME@champion"), "NAME"),
        (("league", "show", run.path, "--output", tmp_path / "x.gif"), ".svg"),
        (("league", "show", run.path, "--output", tmp_path / "no" / "x.png"), "--output"),
        (("league", "rate", run.path, "--stage", "nine"), "--stage"),
        (("league", "rate", tmp_path), "is not a run directory"),
    ):
        done = robonav_here(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert text in done.stderr
    plain = create_run(load_run_config(None, []), tmp_path / "plain")
    for arguments in (("league", "show"), ("league", "rate"), ("play", "--league"), ("report",)):
        done = robonav_here(*arguments, plain.path)
        assert done.returncode == 2
        assert "without a league" in done.stderr
    empty = create_run(run.config, tmp_path / "empty")
    done = robonav_here("league", "show", empty.path)
    assert done.returncode == 2
    assert "no checkpoint holds its league yet" in done.stderr
    writer = CheckpointWriter(empty.checkpoints, Counters(env_steps=1))
    state = json.loads(as_json(played().state_dict()))
    state["payoff"]["games"][0][0] = -1
    writer.write_json("league.json", state)
    writer.commit()
    done = robonav_here("league", "show", empty.path)
    assert done.returncode == 2
    assert "league.json: payoff: games[0, 0] is -1" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("newset",), "did you mean 'newest'"),
        (("main-0007",), "is no member of the league"),
        (("orca", "stand", "main", "straight"), "4 members, and no case has more than 3 robots"),
        (("runs/nothing",), "is not a run directory"),
        (("nothing@champion",), "nothing"),
        (("--case", "tiny:easy:3"), "give the number of a world"),
        (("--case", "-1"), "give the number of a world"),
        (("--stage", "nine"), "--stage"),
        (("--episodes", "2"), "--episodes does not go with --league"),
        (("--planner", "orca"), "--planner does not go with --league"),
        (("--window", "--json"), "--json goes with a GIF"),
        (("--output", "s3://bucket/x.gif"), "--output"),
    ],
)
def test_a_film_that_cannot_be_is_one_message(whole, robonav_here, tmp_path, words, told):
    done = robonav_here("play", "--league", whole.path, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert told in " ".join(done.stderr.split())
    assert not list(tmp_path.glob("*.gif"))
