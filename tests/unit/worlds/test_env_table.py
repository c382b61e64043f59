"""The table of observations and actions says what the simulator really shows and does."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from robonav_ray.cli import app
from robonav_ray.config.load import load_run_config
from robonav_ray.runs.run_directory import create_run, open_run
from robonav_ray.runs.task import describe_task, keep_table
from robonav_ray.worlds.batched import BatchedWorlds

KINDS = {
    "lidar": [],
    "ranges in a sector": [
        "env.world.lidar.encoding=range",
        "env.world.lidar.field_of_view_rad=3",
        "env.world.lidar.stack=1",
    ],
    "holonomic": ["env.world.robot.drive=holonomic", "env.world.robot.actions=increments9"],
    "true state": ["env.world.observation=state"],
    "encounters": ["env.world.observation=encounters", "env.world.num_robots=3"],
    "several robots": ["env.world.observation=state", "env.world.num_robots=3"],
}


@pytest.mark.parametrize("overrides", KINDS.values(), ids=KINDS)
def test_every_number_and_every_action_is_explained_once(overrides):
    task = describe_task(load_run_config(None, overrides))
    rows = task.table.observation
    assert [row.first for row in rows] == [0, *(row.last + 1 for row in rows[:-1])]
    assert rows[-1].last == task.obs_dim - 1
    assert all(row.name and row.meaning and row.low < row.high for row in rows)
    assert [row.action for row in task.table.actions] == list(range(task.num_actions))
    assert all(len(row.command) == len(task.table.command) == 2 for row in task.table.actions)


def test_the_numbers_are_what_the_table_says():
    config = load_run_config(None, [])
    table = describe_task(config).table
    worlds = BatchedWorlds(config.env.world, (config.curriculum.stages[0].level,), 1, seed=3, gamma=0.99)
    at = {row.name: row.first for row in table.observation}
    worlds.reset()
    asked = table.actions[13]
    worlds.step(np.array([asked.action]))
    obs = worlds.out.obs[0]
    robot, goal = worlds.state.robot[0, 0], worlds.state.goal[0, 0, 0]
    ahead = math.atan2(goal[1] - robot[1], goal[0] - robot[0]) - robot[2]
    assert obs[at["goal distance"]] * 10.0 == pytest.approx(math.dist(goal[:2], robot[:2]), rel=1e-4)
    assert (obs[at["goal cos"]], obs[at["goal sin"]]) == pytest.approx((math.cos(ahead), math.sin(ahead)), abs=1e-3)
    for i, name in enumerate(("v", "omega")):
        unit = float(next(row.unit for row in table.observation if row.name == f"twist {name}").split()[0])
        assert obs[at[f"previous_action {name}"]] * unit == pytest.approx(asked.command[i], rel=1e-5)
    assert "-180 + 10 j degrees" in table.observation[0].meaning
    assert np.degrees(worlds.beam_angle[:3]) == pytest.approx([-180.0, -170.0, -160.0], abs=1e-3)


def test_an_environment_that_is_not_ours_has_its_bounds():
    rows = describe_task(load_run_config(None, ["env.id=CartPole-v1"])).table.to_dict()["observation"]
    assert [(row["first"], row["last"], row["low"]) for row in rows] == [
        (0, 0, pytest.approx(-4.8)),
        (1, 1, None),
        (2, 2, pytest.approx(-0.418879)),
        (3, 3, None),
    ]
    goals = describe_task(
        load_run_config(None, ["env.id=robonav_ray/BitFlip-v0", "env.kwargs.num_bits=5"])
    ).table.observation
    assert [(row.first, row.last, row.name) for row in goals] == [(0, 4, "observation"), (5, 9, "desired_goal")]


def test_the_verb_prints_what_a_run_keeps(tmp_path):
    config = load_run_config(None, ["env.world.lidar.num_beams=24"])
    run, task = create_run(config, tmp_path / "run"), describe_task(config)
    keep_table(run, task)
    kept = json.loads((run.path / "env.json").read_text())
    shown = CliRunner().invoke(app, ["env", "show", str(run.path), "--json"])
    assert (shown.exit_code, json.loads(shown.output)) == (0, kept)
    assert kept["actions"][12] == {"action": 12, "command": [1.0, 0.0]}
    assert "| 0-23 | scan 0 | proximity |" in (run.path / "env.md").read_text()
    (run.path / "env.md").write_text("as it was\n")
    keep_table(open_run(run.path), task)
    assert (run.path / "env.md").read_text() == "as it was\n"
    (run.path / "env.json").unlink()
    assert open_run(run.path).config == config, "a run from before there was one"
    table = CliRunner().invoke(app, ["env", "show", "env.world.lidar.num_beams=24"], env={"COLUMNS": "80"}).output
    assert max(map(len, table.splitlines())) <= 80
    assert "previous_action omega" in table
