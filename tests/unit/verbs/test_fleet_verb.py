"""``robonav fleet``: begin, assign, watch; a rollback reaches the robots and the registry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import robonav_ray
from robonav_ray.errors import UserError
from robonav_ray.evaluation.fleet.guard import Rail
from robonav_ray.evaluation.fleet.watch import FleetWatch
from robonav_ray.registry.registry import Registry
from tests.conftest import Robonav
from tests.two_models import models_in

NUM_ROBOTS = 1000


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("ROBONAV_REGISTRY", str(tmp_path / "models"))
    return models_in(tmp_path / "models")


@pytest.fixture
def robonav(robonav_here: Robonav, models: Registry, tmp_path: Path) -> Robonav:
    return lambda *words: robonav_here("fleet", *words, cwd=tmp_path)


def drive(folder: Path, episodes: range, champion: float, challenger: float) -> None:
    """Have a thousand robots ask who drives, drive, and write down what came of it, with lines that lie in between."""
    split, rng = robonav_ray.FleetSplit.load(folder), np.random.default_rng(episodes.start)
    exposures, outcomes = list[str](), ['{"robot": "nobody", "episode": 1, "outcome": "success"}', "{", "null"]
    for episode in episodes:
        for i, draw in enumerate(rng.random(NUM_ROBOTS)):
            arm = split.arm_of(f"r{i}", episode)
            told = {"robot": f"r{i}", "episode": episode}
            exposures.append(json.dumps({**told, "arm": arm, "split": split.key, "time_s": 1e9}))
            collided = draw < (challenger if arm == "challenger" else champion)
            outcomes.append(json.dumps({**told, "outcome": "collision" if collided else "success"}))
    for name, lines in (("exposures.jsonl", exposures), ("outcomes.jsonl", outcomes)):
        with (folder / name).open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))


def test_a_thousand_robots_and_a_challenger_that_collides_more(robonav, models: Registry, tmp_path: Path):
    code, out, _ = robonav("begin", "robot_nav", "--out", "may", "--share", "0.2", "--salt", "may")
    assert code == 0
    assert "version 2 of robot_nav drives 20 % of the episodes, version 1 the others" in out
    folder = tmp_path / "may"
    arms = {robonav("assign", "may", f"AMR-{i}", "0").stdout.split()[0] for i in range(12)}
    assert arms == {"champion", "challenger"}

    drive(folder, range(1, 2), 0.08, 0.08)
    code, out, err = robonav("watch", "may")
    assert (code, err) == (0, "")
    assert "watching: nothing speaks against the challenger" in out
    assert 'lines of outcomes that count for nothing: {"unknown": 1, "malformed": 2}' in out
    assert models.aliases("robot_nav")["challenger"].version == 2

    drive(folder, range(2, 4), 0.05, 0.30)
    code, out, _ = robonav("watch", "may", "--json")
    assert code == 1
    told = json.loads(out)
    assert (told["status"], told["rolled_back"]) == ("roll back", True)
    assert "surely collides more" in told["reason"]
    assert robonav("assign", "may", "AMR-3", "1").stdout == "champion robot_nav@1\n"
    assert {alias: one.version for alias, one in models.aliases("robot_nav").items()} == {
        "champion": 1,
        "challenger": 1,
    }
    noted, moved = models.journal("robot_nav")[-2:]
    assert (noted.kind, moved.alias, moved.from_version, moved.to_version) == ("fleet_rollback", "challenger", 2, 1)
    evidence = models.evidence("robot_nav", noted.evidence_sha256 or "")
    assert evidence == (folder / "rolled_back.json").read_bytes()

    drive(folder, range(4, 5), 0.05, 0.30)
    code, out, _ = robonav("watch", "may")
    assert code == 1
    assert len(models.journal("robot_nav")) == moved.number, "a second look rolls nothing back again"
    models.set_alias("robot_nav", "champion", 2, expected_generation=None, reason="it was mended by hand")
    assert robonav("watch", "may")[0] == 1
    assert models.aliases("robot_nav")["champion"].version == 2, "what was moved on purpose since is left there"


def test_an_outcome_that_comes_while_exposures_are_read_is_not_lost(models: Registry, tmp_path: Path, monkeypatch):
    folder = tmp_path / "may"
    robonav_ray.FleetSplit("robot_nav", "1", "2", salt="may").save(folder)
    watched = FleetWatch(folder, models)
    take = watched.guard.take_exposures

    def slowly(lines):
        take(lines)
        drive(folder, range(1, 2), 0.0, 0.0)  # all of it between the two files

    with monkeypatch.context() as patched:
        patched.setattr(watched.guard, "take_exposures", slowly)
        assert not watched.poll().ended
    standing = watched.poll()
    assert standing.ended == standing.exposed
    assert sum(standing.ended.values()) == NUM_ROBOTS
    assert standing.lines["outcomes"]["unknown"] == 1, "that of a robot which was never exposed"


def test_a_rollback_that_was_broken_off_is_finished(models: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "may"
    robonav_ray.FleetSplit("robot_nav", "1", "2", share=0.2, salt="may").save(folder)
    models.set_alias("robot_nav", "champion", 2, expected_generation=None)  # somebody has promoted it meanwhile
    drive(folder, range(2), 0.03, 0.4)
    with monkeypatch.context() as patched:
        patched.setattr(Registry, "note", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("gone")))
        with pytest.raises(OSError, match="gone"):
            FleetWatch(folder, models).poll()
    assert robonav_ray.ExposureLog(robonav_ray.FleetSplit.load(folder), folder).assign("r1", 99) == "champion"
    assert models.aliases("robot_nav")["champion"].version == 2
    watched = FleetWatch(folder, models)
    watched.poll()
    assert watched.is_rolled_back
    assert {one.version for one in models.aliases("robot_nav").values()} == {1}


def test_a_watch_goes_on_with_the_rail_of_the_first(robonav, models: Registry, tmp_path: Path):
    folder = tmp_path / "may"
    robonav_ray.FleetSplit("robot_nav", "1", "2", salt="may").save(folder)
    assert robonav("watch", "may", "--alpha", "0.01")[0] == 0
    kept = (folder / "rail.json").read_text()
    for words, meant in ((("--alpha", "0.2"), "--alpha 0.01"), (("--alpha", "0.01", "--rail", "0.3"), "--rail 0.05")):
        code, _, err = robonav("watch", "may", *words)
        assert code == 2
        assert "may/rail.json: the test began with another rail" in err
        assert f"go on with {meant}, or begin another test" in " ".join(err.split())
    with pytest.raises(UserError, match="another rail"):
        FleetWatch(folder, models, Rail())
    assert robonav("watch", "may", "--rail", "0.05")[0] == 0
    assert FleetWatch(folder, models).guard.rail == Rail(0.05, 0.01)
    assert (folder / "rail.json").read_text() == kept
    for wrong in ("{}", "[]", '{"collisions": true, "alpha": 0.05}', '{"collisions": 0.05, "alpha": 7}', "{"):
        (folder / "rail.json").write_text(wrong)
        code, _, err = robonav("watch", "may")
        assert code == 2, wrong
        assert "rail.json" in err


def test_what_is_typed_wrong_is_named(robonav, tmp_path: Path):
    robonav_ray.FleetSplit("robot_nav", "1", "2", salt="may").save(tmp_path / "may")
    for words, said in (
        (("begin", "robot_nav", "--out", "x", "--share", "0.9"), "share is 0.9"),
        (("begin", "robot_nav", "--out", "x", "--challenger", "champion"), "both version 1"),
        (("begin", "robot_nva", "--out", "x"), "robot_nva"),
        (("assign", "x", "r1", "0"), "robonav fleet begin"),
        (("watch", "x"), "robonav fleet begin"),
        (("assign", "may", "a\nb", "0"), "robot is"),
        (("assign", "may", "a", "9" * 30), "episode is"),
        (("watch", "may", "--rail", "0"), "--rail 0.0: must be from 0.001"),
        (("watch", "may", "--alpha", "nan"), "--alpha nan: must be from"),
        (("begin", "robot_nav", "--out", "may"), "never changes"),
    ):
        code, _, err = robonav(*words)
        assert code == 2, words
        assert said in err
