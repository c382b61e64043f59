"""The league of a run: whom workers are told to meet, what comes of their results, where weights lie and get lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.league import LeagueConfig
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import UserError
from robonav_ray.league.snapshots import MissingSnapshotError
from robonav_ray.records import Assignment, EpisodeResults, Outcome, PartEvent, PolicySnapshot
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.runtime.self_play.run_league import LeagueAssignments, LeagueParts, RunLeague
from robonav_ray.runtime.self_play.seeds import SEEDS_FILE, check_league, take_seeds
from tests.made_up_episodes import make_results
from tests.made_up_runs import make_run

NATIVE = ("env.world.num_robots=2", "algo.hidden_dims=[8]", "env.world.lidar.num_beams=12", "name=tiny")


def weights(value: float) -> PolicySnapshot:
    return PolicySnapshot(7, 3, ("b", "a"), (np.full(3, value, np.float32), np.full((2, 2), -value, np.float32)))


def league_in(path: Path, storage: Path | None = None, **config: Any) -> tuple[RunLeague, list[PartEvent]]:
    events: list[PartEvent] = []
    store = MemberStore(str(path), None if storage is None else str(storage))
    section = LeagueConfig(**{"snapshot_env_steps": 100, "scripted": ("orca", "stand"), **config})
    return RunLeague(LeagueParts(section, store, ()), events.append), events


def told(member: list[str], outcome: list[int]) -> EpisodeResults:
    rows = [(0, i, 0, 5, o, 0.0, True) for i, o in enumerate(outcome)]
    made = make_results(0, rows, 0, 0)
    return EpisodeResults(**{**vars(made), "member": np.array(member, np.str_), "seat": np.zeros(len(rows), np.int32)})


def test_members_are_met_by_snapshots_and_drivers(tmp_path: Path) -> None:
    run, events = league_in(tmp_path)
    first = run.opponents()
    assert (first.member, first.driver) == (("orca", "stand"), (1, 4))
    assert run.opponents() is first
    run.maybe_snapshot(99, weights(1.0))
    run.maybe_snapshot(100, None)
    assert run.opponents() is first
    run.maybe_snapshot(104, weights(1.0))
    second = run.opponents()
    assert (second.member, second.driver) == (("orca", "stand", "main-0000"), (1, 4, 0))
    assert second.serial > first.serial
    assert [(event.event, event.part) for event in events] == [("joined", "league/main-0000")]
    found = run.snapshot("main-0000")
    assert found is not None
    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.arrays[1], np.ones(3, np.float32))
    assert run.snapshot("orca") is None
    assert run.snapshot("main") is None


def test_results_count_for_the_member_that_the_world_was_shared_with(tmp_path: Path) -> None:
    run, _ = league_in(tmp_path)
    results = told(
        ["orca", "", "orca", "never-heard-of", "stand"],
        [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.TIMEOUT, Outcome.SUCCESS, Outcome.COLLISION_ROBOT],
    )

    class Source:
        reported = 0

        def next_assignment(self, worker: int) -> Assignment:
            return Assignment(worker, 0.5, 0, 0)

        def report(self, results: EpisodeResults) -> None:
            self.reported += 1

    source = Source()
    assignments = LeagueAssignments(source, run)
    assignments.report(results)
    assert source.reported == 1
    assert assignments.next_assignment(3) == Assignment(3, 0.5, 0, 0, run.opponents())
    payoff = run.league.payoff
    assert dict(zip(payoff.ids, payoff.played[0].tolist(), strict=True)) == {"main": 1, "orca": 2, "stand": 1}
    metrics = run.metrics()
    assert metrics["league/score_min"] == pytest.approx(1 / 3)
    assert "league/diversity" not in metrics
    assert metrics["league/alone_score"] == pytest.approx(2 / 3)
    assert metrics["league/shared_frac"] == pytest.approx(0.15), "no snapshot yet: their part is the learner's"
    run.report(make_results(0, [], 0, 0))


def test_gates_see_worlds_of_the_learner_alone_where_there_are_such(tmp_path: Path) -> None:
    results = told(["orca", "", "", "stand"], [Outcome.TIMEOUT, Outcome.SUCCESS, Outcome.TIMEOUT, Outcome.SUCCESS])
    run, _ = league_in(tmp_path)
    assert run.gated(results).on_gate.tolist() == [False, True, True, False]
    assert run.gated(results).outcome is results.outcome
    shared = {"current": 0.0, "prioritised": 0.0, "scripted": 1.0, "verification": 0.0}
    never_alone, _ = league_in(tmp_path, mix=shared)
    assert never_alone.gated(results) is results
    without = make_results(0, [(0, 0, 0, 5, Outcome.SUCCESS, 0.0, True)], 0, 0)
    assert run.gated(without) is without


def test_a_member_that_cannot_act_is_lost_once_and_told(tmp_path: Path) -> None:
    run, events = league_in(tmp_path, capacity=4)
    for i in range(3):
        run.maybe_snapshot(100 * (i + 1), weights(i))
    places = {run.league.pool[f"main-{i:04d}"].sha256: i for i in range(3)}
    for path in (tmp_path / "league" / "snapshots").iterdir():
        i = places[path.name.partition(".")[0]]
        if i == 0:
            path.unlink()
        elif i == 1:
            path.write_bytes(b"?")
    assert run.snapshot("main-0000") is None
    assert run.snapshot("main-0001") is None
    run.lose({"main-0002": "the weights do not fit", "main-0000": "again", "nobody": "never was"})
    assert [(event.event, event.part) for event in events[3:]] == [("lost", f"league/main-000{i}") for i in range(3)]
    assert "is missing" in events[3].detail
    assert "is damaged" in events[4].detail
    assert run.opponents().member == ("orca", "stand")
    assert run.metrics()["league/lost"] == 3.0
    run.maybe_snapshot(400, weights(9))
    assert run.opponents().member == ("orca", "stand", "main-0003")


def test_a_snapshot_that_cannot_be_kept_is_taken_later(tmp_path: Path) -> None:
    run, events = league_in(tmp_path)
    (tmp_path / "league").write_text("a file where a folder should be")
    for env_steps in (100, 110, 120):
        run.maybe_snapshot(env_steps, weights(1.0))
    assert [event.event for event in events] == ["failed"], "told once"
    (tmp_path / "league").unlink()
    run.maybe_snapshot(130, weights(1.0))
    assert [event.event for event in events] == ["failed", "joined"]


def test_weights_come_back_from_the_storage_and_from_another_run(tmp_path: Path) -> None:
    run, _ = league_in(tmp_path / "run", tmp_path / "storage")
    run.maybe_snapshot(100, weights(2.0))
    sha256 = run.league.pool["main-0000"].sha256
    assert sha256 is not None
    run.store.store(run.state_dict())
    for store in (
        MemberStore(str(tmp_path / "new"), str(tmp_path / "storage")),
        MemberStore(str(tmp_path / "other"), None, [str(tmp_path / "run")]),
    ):
        np.testing.assert_array_equal(store.get(sha256).arrays[1], np.full(3, 2.0, np.float32))
    assert len(list((tmp_path / "new" / "league" / "snapshots").iterdir())) == 1
    with pytest.raises(MissingSnapshotError, match=r"new.*is missing"):
        MemberStore(str(tmp_path / "new"), str(tmp_path / "storage")).get("0" * 64)


def test_a_league_goes_on_from_its_state(tmp_path: Path) -> None:
    run, _ = league_in(tmp_path)
    run.maybe_snapshot(100, weights(2.0))
    run.report(told(["main-0000"] * 3, [1, 1, 6]))
    again, _ = league_in(tmp_path)
    again.opponents()
    again.load_state_dict(run.state_dict())
    assert again.opponents() == run.opponents()
    assert again.state_dict() == run.state_dict()


def test_policies_of_other_runs_are_members_by_content(tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", NATIVE)
    config = load_run_config(None, [*NATIVE, f"league.members=[{other.path}]"])
    task = describe_task(config)
    check_league(config, task)
    (tmp_path / "run").mkdir()
    run, store = RunDirectory(tmp_path / "run"), MemberStore(str(tmp_path / "run"))
    (member,) = take_seeds(config, task, run, store)
    assert (member.id, member.role, member.step) == (str(other.path), "seed", 200)
    assert member.sha256 is not None
    assert store.get(member.sha256).names
    (other.path / "config.yaml").unlink()
    assert take_seeds(config, task, run, store) == [member], "the run has it, and asks the other one no more"
    (run.path / SEEDS_FILE).write_text('{"members": [{"id": 3}]}')
    with pytest.raises(UserError):
        take_seeds(config, task, run, store)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (("env.world.lidar.num_beams=24",), "league.members: .* has observations of .* numbers, and this run's"),
        (("env.world.robot.actions=increments9",), "league.members: .* actions, and this run's robots have"),
        (("algo.hidden_dims=[16]",), "league.members: .* give both the same algo section"),
    ],
)
def test_members_that_do_not_fit_are_refused(tmp_path: Path, overrides: tuple[str, ...], match: str) -> None:
    other = make_run(tmp_path / "other", (*NATIVE, *overrides), steps=(100,))
    config = load_run_config(None, [*NATIVE, f"league.members=[{other.path}]"])
    with pytest.raises(ConfigError, match=match):
        check_league(config, describe_task(config))
