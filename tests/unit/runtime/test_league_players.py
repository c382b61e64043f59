"""Members of a league by the words of people, their film, and their cross-play that is kept."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.algo.policy import Policy
from robonav_ray.evaluation.together import Obstacle, play_together
from robonav_ray.league.exploiters import Exploit
from robonav_ray.league.member import LeagueError
from robonav_ray.report.document import Table
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runtime.self_play.exploit_log import FoundExploit, note_exploit
from robonav_ray.runtime.self_play.film import play_members
from robonav_ray.runtime.self_play.kept_league import keep_league, store_league
from robonav_ray.runtime.self_play.league_files import league_sections
from robonav_ray.runtime.self_play.league_of_run import league_of, located_league
from robonav_ray.runtime.self_play.league_view import found_exploits, view_of
from robonav_ray.runtime.self_play.players import LeaguePlayers
from robonav_ray.runtime.self_play.rating import kept_file, kept_rating, rate_league
from tests.made_up_exam import made_up_exam
from tests.made_up_leagues import make_league_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return make_league_run(tmp_path_factory.mktemp("leagues") / "mine")


def test_words_name_members_in_any_case(run: RunDirectory) -> None:
    found = league_of(run)
    known = LeaguePlayers(found)
    assert known.named("newest").id == "main-0001"
    assert known.named("NEWEST").shown.startswith("main-0001 (newest")
    assert known.named("Main-0000") is known.named("main-0000")
    assert {known.named(word).plays for word in ("ORCA", "Orca", "orca")} == {"orca"}
    assert known.named("stand").plays == "stand", "a script that is not in the pool"
    learner = known.named("main")
    assert isinstance(learner.plays, Policy)
    assert learner.content != known.named("newest").content
    with pytest.raises(LeagueError, match="did you mean 'orca'"):
        known.named("orka")
    with pytest.raises(LeagueError, match=r"is no member of the league of .*mine; there are newest, best"):
        known.named("xyzzy")


def test_a_film_is_the_case_that_the_rating_plays(run: RunDirectory) -> None:
    found = league_of(run)
    played = play_members(found, ["newest", "orca"], case=3, seed=5)
    known, config = LeaguePlayers(found), run.config
    cast = [known.named(word).plays for word in ("newest", "orca", "newest")]
    levels = known.task.levels
    table = play_together(config.env.world, levels, cast, 1, 5, first_case=3)
    np.testing.assert_array_equal(played.table.player, table.player)
    np.testing.assert_array_equal(played.table.outcome, table.outcome)
    assert len(played.scenes) == 1 + round(float(np.nanmax(table.time_s)) / config.env.world.dt_s)
    assert [scene.step for scene in played.scenes] == list(range(len(played.scenes)))
    seats = played.scenes[0].player
    assert seats is not None
    assert Counter(seats.tolist()) == {0: 2, 1: 1}
    assert [player.id for player in played.players] == ["main-0001", "orca"]
    assert sum(num for _, num in played.arrived().values()) == 3
    pair = play_members(found, [], stage=0)
    assert pair.scenes[0].robot_pose.shape == (2, 3), "the stage's own number of robots"
    with pytest.raises(LeagueError, match="3 members, and no case has more than 2 robots"):
        play_members(found, ["main", "orca", "stand"], stage=0)


def test_where_robots_are_drawn_the_first_case_with_one_for_each_is_played(tmp_path: Path) -> None:
    found = league_of(make_league_run(tmp_path / "crowd", ["curriculum.stages.1.level.min_robots=2"]))
    films = (play_members(found, ["main", "orca", "stand"], seed=seed) for seed in range(20))
    seed, played = next((seed, played) for seed, played in enumerate(films) if played.case > 0)
    assert sorted(num for _, num in played.arrived().values()) == [1, 1, 1]
    with pytest.raises(LeagueError, match="case 0"):
        play_members(found, ["main", "orca", "stand"], seed=seed, case=0)
    setting = rate_league(found, num_cases=10).setting
    assert (setting.min_robots, setting.num_robots, setting.robots) == (2, 3, "2 to 3 robots")


def test_cross_play_is_kept_and_not_played_again(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    found = league_of(run)
    assert kept_rating(found) is None
    assert view_of(found).standing.source == "training"
    num_calls = 0

    def counted(*arguments, **options):
        nonlocal num_calls
        num_calls += 1
        if num_calls == 5:
            raise KeyboardInterrupt
        return play_together(*arguments, **options)

    monkeypatch.setattr("robonav_ray.runtime.self_play.rating.play_together", counted)
    with pytest.raises(KeyboardInterrupt):
        rate_league(found, num_cases=10)
    path = kept_file(found)
    with path.open("a") as file:
        file.write('{"half a line')
    played = rate_league(found, num_cases=10)
    assert num_calls == 1 + 15, "five members make fifteen pairs; four of them were through"
    assert played.members == ("main", "orca", "straight", "main-0000", "main-0001")
    assert played.score.shape == (5, 5, 10)
    again = kept_rating(found)
    assert again is not None
    np.testing.assert_array_equal(again.score, played.score)
    assert played.distance is not None
    assert np.isnan(played.distance[1]).all()
    assert 0.0 < played.distance[0, 3] < 1.0
    assert played.distance[3, 3] == 0.0
    monkeypatch.undo()
    path.unlink()
    np.testing.assert_array_equal(rate_league(found, num_cases=10).score, played.score)
    with path.open("a") as file:  # one that was broken off
        file.write(path.read_text().splitlines()[1].replace('"key": "', '"key": "other') + "\n")
    view = view_of(found)
    assert view.standing.source == "held-out"
    json.dumps(view.to_dict())
    path.write_text(path.read_text().replace('"score": [[', '"score": [[7, '))
    assert kept_rating(found) is None, "numbers that cannot be are no result"
    path.unlink()


def test_what_exploiters_found_is_read_and_nonsense_passed_over(run: RunDirectory) -> None:
    line = {"member": "main-0001", "role": "robot", "budget_s": 300, "gain": 0.1, "low": 0.05, "high": 0.15,
            "num_cases": 500, "wall_s": 310.5}  # fmt: skip
    path = run.path / "league" / "exploits.jsonl"
    path.write_text(
        "\n".join(["{", json.dumps(line), json.dumps({**line, "gain": 7}), "[]", json.dumps({"member": 3})])
    )
    assert [one.gain for one in found_exploits(league_of(run))] == [0.1]
    path.unlink()


def test_an_obstacle_is_filmed_before_the_run_has_met_it(run: RunDirectory) -> None:
    found = league_of(run)
    exploit = Exploit("exploiter-0000", "main-0001", "obstacle", "scratch", 900, 900, 0.125, 0.5)
    sha256 = found.league.pool["main-0000"].sha256
    assert sha256 is not None
    path = note_exploit(str(run.path), FoundExploit(exploit, 0.25, 0.5, 100, 5.0, 9.0, sha256))
    try:
        assert isinstance(LeaguePlayers(found).named("exploiter-0000").plays, Obstacle)
        played = play_members(found, ["main", "exploiter-0000"])
        assert played.arrived()["exploiter-0000"][1] == 1
        assert [(one.id, one.low) for one in found_exploits(found)] == [("exploiter-0000", 0.25)]
    finally:
        path.unlink()


def test_the_report_of_an_exam_shows_the_leagues_of_its_runs(run: RunDirectory) -> None:
    exam = made_up_exam(20, ("ten_minutes", "dwa"), families=("standard",))
    sources = {"ten_minutes": str(run.path), "dwa": "dwa"}
    exam = replace(exam, entrants=tuple(replace(one, source=sources[one.name]) for one in exam.entrants))
    said: list[str] = []
    (section,) = league_sections(exam, said.append)
    assert section.title == "League of ten_minutes"
    assert {block.name for block in section.blocks if isinstance(block, Table)} == {"league_members", "league_lineage"}
    state = run.checkpoints / "env-000000001000" / "league.json"
    content = state.read_bytes()
    state.write_bytes(b"{}")
    assert not league_sections(exam, said.append)
    assert "the league of ten_minutes is left out" in said[0]
    state.write_bytes(content)


def test_a_stored_run_is_found_by_its_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = tmp_path / "storage"
    made = make_league_run(tmp_path / "gone", storage=str(storage))
    (made.path / "league" / "cross_play.jsonl").write_text("none of ours\n")
    written = keep_league(made)
    assert [path.name for path in written] == ["league.png", "league_members.csv", "league_lineage.csv"]
    store_league(league_of(made), written)
    sha256 = league_of(made).league.pool["main-0000"].sha256
    assert sha256 is not None
    exploit = Exploit("exploiter-0000", "main-0001", "selfish", "warm", 9, 9, 0.25, 0.5)
    noted = note_exploit(str(made.path), FoundExploit(exploit, -0.1, 0.5, 20, 1.0, 2.0, sha256))
    (storage / "gone" / "league" / "exploits.jsonl").write_bytes(noted.read_bytes())
    stored = {path.relative_to(storage / "gone").as_posix() for path in storage.rglob("*") if path.is_file()}
    assert stored >= {"league.png", "league/cross_play.jsonl", "league/tables/league_members.csv"}
    made.path.rename(tmp_path / "away")
    for where in (f"file://{storage}/gone", str(storage / "gone")):
        with located_league(where) as found:
            assert found.env_steps == 1000
            assert {member.id for member in found.league.pool.members} >= {"main-0000", "orca"}
            players = LeaguePlayers(found)
            assert isinstance(players.named("main-0000").plays, Policy), "its weights are brought from there"
            assert isinstance(players.named("exploiter-0000").plays, Policy), "one that no checkpoint knows"
