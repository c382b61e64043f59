"""A world of ours written for ir-sim begins there as it does here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from proofs.studies.irsim_worlds import Ending, drive, lidar_of, pose_of, ranges_of, world_document
from proofs.studies.sim_to_sim import Beside, beside, make_worlds, page, row
from robonav_policy import Policy
from robonav_ray.deploy.export import export
from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels import layout as lay
from tests.made_up_runs import make_run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("irsim")
    wall = ["env.world.boxes=[{x_m: 1.0, y_m: 0.0, width_m: 1.0, height_m: 2.0}]"]
    run = make_run(folder / "run", ("algo.hidden_dims=[16]", *wall), steps=(100,))
    return export(run.path, out=folder / "bundle", format="numpy").folder


@pytest.mark.parametrize("kind", ["static", "dash", "rvo"])
def test_a_world_is_written_as_it_begins(bundle: Path, kind: str) -> None:
    worlds, policy = make_worlds(bundle, kind, 2, 7)
    scene = worlds.scene(1)
    speed = worlds.state.circle[1, lay.C_SPEED, : len(scene.circles)]
    found = yaml.safe_load(yaml.safe_dump(world_document(scene, speed, policy.spec, kind)))
    circles = [one for one in found["obstacle"] if one["shape"]["name"] == "circle"]
    lines = [one for one in found["obstacle"] if one["shape"]["name"] == "linestring"]
    assert len(circles) == len(scene.circles) == 7
    assert [one["state"][:2] for one in circles] == [[float(v) for v in row[:2]] for row in scene.circles]
    assert len(lines) == 4 + 4
    assert found["robot"][0]["state"] == [float(v) for v in scene.robot_pose[0]]
    assert [goal[:2] for goal in found["robot"][0]["goal"][0]] == scene.goals[0].astype(float).tolist()
    assert found["robot"][0]["sensors"][0]["number"] == policy.spec.scan.num_beams + 1
    moving = {one["behavior"]["name"] for one in circles if "behavior" in one}
    assert moving == (set() if kind == "static" else {kind})
    if moving:
        assert [one["vel_max"][0] for one in circles] == [float(v) for v in speed]


@pytest.mark.slow
def test_ir_sim_shows_the_scan_that_ours_does(bundle: Path, tmp_path: Path) -> None:
    irsim = pytest.importorskip("irsim", reason="ir-sim is not installed")
    worlds, policy = make_worlds(bundle, "static", 5, 7)
    robot = Policy.load(bundle, lidar=lidar_of(policy.spec))
    for w in range(5):
        scene = worlds.scene(w)
        place = tmp_path / f"{w}.yaml"
        document = world_document(scene, np.zeros(len(scene.circles)), policy.spec, "static")
        place.write_text(yaml.safe_dump(document))
        env = irsim.make(str(place), headless=True, log_level="CRITICAL", seed=1)
        ours = scene.ranges[0]
        theirs = np.minimum(ranges_of(env, policy.spec), policy.spec.scan.range_max)
        assert np.abs(ours - theirs).max() < 0.01
        robot.reset(worlds.levels[0].max_steps)
        obs = robot.observe(ranges_of(env, policy.spec), pose_of(env.robot), scene.goals[0])
        assert np.abs(obs - worlds.out.obs[w]).max() < 0.01
        env.end(0.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["static", "dash", "rvo"])
def test_a_few_episodes_are_put_beside_ours(bundle: Path, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("irsim", reason="ir-sim is not installed")
    found = beside(bundle, kind, 3, 7, tmp_path)
    figures = row(found)
    assert figures["episodes"] == len(found.theirs) == 3
    assert sum(figures["irsim"]["outcomes"].values()) == 3
    again = beside(bundle, kind, 3, 7, tmp_path)
    assert again == found, "the same seed gives the same episodes"
    assert kind in page([figures])


def test_figures_are_of_pairs() -> None:
    good, bad = Ending(Outcome.SUCCESS, 100), Ending(Outcome.COLLISION_WALL, 5)
    figures = row(Beside("static", (good, good, bad, bad), (good, bad, bad, bad)))
    assert figures["difference"][0] == -0.25
    assert figures["same_outcome_frac"] == 0.75
    assert figures["ours"]["outcomes"] == {"collision_wall": 2, "success": 2}
    assert "-25.0 points" in page([figures])


def test_without_ir_sim_it_is_named(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "irsim", None)
    with pytest.raises(ValueError, match=r"robonav_ray\[irsim\]"):
        drive({}, Policy.load(bundle), 1, 1, tmp_path / "w.yaml")
