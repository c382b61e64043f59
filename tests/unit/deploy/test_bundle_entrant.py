"""A bundle takes part in an exam as its run does; with another lidar it shows what that costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.evaluation_suite import Scenario
from robonav_ray.evaluation.bundle_entrant import BundleEntrant
from robonav_ray.evaluation.entrants import EntrantError
from robonav_ray.evaluation.exam import Seat, play, seat_of
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.runs.run_directory import RunDirectory


def seat(entrant: BundleEntrant, **changes: object) -> Seat:
    found = seat_of(entrant, Scenario(name="one", stage="basic_navigation", changes=dict(changes)))
    assert isinstance(found, Seat), found
    return replace(found, num_episodes=6)


def entrants(*words: object) -> list[BundleEntrant]:
    return find_entrants([str(word) for word in words], foreign=lambda *_: None)  # type: ignore[return-value]


def test_a_bundle_plays_as_its_run_does(made_bundle: Path, small_run: RunDirectory) -> None:
    run, bundle = entrants(small_run.path, f"robot={made_bundle}")
    assert (bundle.facts.kind, bundle.facts.name, bundle.facts.knows) == ("bundle", "robot", "lidar only")
    assert bundle.facts.provenance["checkpoint"] == "env-000000000100"
    a, b = (play(one, seat(one), num_worlds=6).episodes for one in (run, bundle))
    assert np.array_equal(a.outcome, b.outcome)
    assert np.array_equal(a.length, b.length)


def test_another_lidar_is_made_into_the_one_of_the_training(made_bundle: Path) -> None:
    (bundle,) = entrants(made_bundle)
    same = play(bundle, seat(bundle), num_worlds=6).episodes
    finer = seat(bundle, **{"env.world.lidar.num_beams": 180, "env.world.lidar.stack": 1,
                            "env.world.lidar.stack_interval": 4, "env.world.lidar.align": True})  # fmt: skip
    assert play(bundle, finer, num_worlds=6).episodes.num_episodes == same.num_episodes
    narrow = seat(bundle, **{"env.world.lidar.field_of_view_rad": 3.1})
    assert play(bundle, narrow, num_worlds=6).episodes.num_episodes == same.num_episodes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"env.world.lidar.num_beams": 72, "level.randomization.observation_latency": 1}, "observation_latency"),
        ({"env.world.robot.actions": "increments9"}, "has 15 actions, and there are 9"),
    ],
)
def test_worlds_that_do_not_go_with_it_are_refused(made_bundle: Path, changes: dict[str, object], said: str) -> None:
    (bundle,) = entrants(made_bundle)
    refused = seat_of(bundle, Scenario(name="one", stage="basic_navigation", changes=changes))
    assert isinstance(refused, str)
    assert said in refused


def test_a_bundle_that_is_not_whole_takes_no_part(bundle: Path) -> None:
    spec = json.loads((bundle / "spec.json").read_text())
    spec["name"] = "another"
    (bundle / "spec.json").write_text(json.dumps(spec, indent=1))
    with pytest.raises(EntrantError, match=r"spec\.json: .*damaged"):
        entrants(bundle)
