"""``robonav league show``: who is in a run's league, as a table, as JSON, as a picture; and what cannot be shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.league import LeagueConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.league.league import League
from robonav_ray.league.member import Member
from robonav_ray.league.written import as_json
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters
from robonav_ray.runs.run_directory import RunDirectory, create_run

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


def test_a_league_is_shown_and_drawn(run, robonav_here):
    done = robonav_here("league", "show", run.path)
    assert done.returncode == 0, done.stderr
    for text in ("main-0004", "runs/[old]", "exploiter-0000", "gained 20.0%", "lower bound", "does worst with"):
        assert text in done.stdout
    assert (run.path / "league.png").stat().st_size > 10_000
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


def test_what_cannot_be_shown_is_refused(run, tmp_path, robonav_here):
    for arguments, text in (
        (("league", "show", tmp_path / "nowhere"), "nowhere"),
        (("league", "show", "s3://bucket/run"), "storage"),
        (("league", "show", run.path, "--output", tmp_path / "x.gif"), ".svg"),
        (("league", "show", run.path, "--output", tmp_path / "no" / "x.png"), "--output"),
    ):
        done = robonav_here(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert text in done.stderr
    plain = create_run(load_run_config(None, []), tmp_path / "plain")
    done = robonav_here("league", "show", plain.path)
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
