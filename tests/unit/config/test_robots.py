"""Robots by name: their figures lie under what is given, and what a stage needs follows from them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from robonav_ray.config import RunConfig
from robonav_ray.config.evaluation_suite import Scenario
from robonav_ray.config.load import ConfigError, dump_config, load_run_config
from robonav_ray.config.shipped import shipped_configs
from robonav_ray.config.worlds import BodyConfig, LevelConfig, RobotConfig, WorldConfig
from robonav_ray.config.worlds.limits import levels_for
from robonav_ray.evaluation.entrants import Entrant
from robonav_ray.evaluation.exam import _placed_for
from robonav_ray.evaluation.placed_worlds import Body
from robonav_ray.runs.task import describe_task

ROBOTS = [robot.name for robot in shipped_configs("robot")]
SQUARE = ((-0.3, -0.2), (0.3, -0.2), (0.3, 0.2), (-0.3, 0.2))


def test_the_robots_that_are_shipped() -> None:
    assert ROBOTS == ["create3", "jackal", "mir100", "tiago", "turtlebot3_burger", "turtlebot3_waffle"]
    for robot in shipped_configs("robot"):
        lines = robot.path.read_text().splitlines()
        parts = yaml.safe_load(robot.path.read_text())
        told = [line for line in lines if ":" in line.partition("#")[0] and "#" in line]
        assert len(told) >= sum(map(len, parts.values())) - 4, "every figure names its source"


@pytest.mark.parametrize("name", ROBOTS)
@pytest.mark.parametrize("where", [[], ["env.world.map=office"]], ids=["arena", "map"])
def test_every_robot_passes_with_the_default_curriculum(name: str, where: list[str]) -> None:
    config = load_run_config(None, [f"env.world.robot={name}", *where])
    assert [stage.level.num_goals for stage in config.curriculum.stages] == [1, 1, 3, 4]
    describe_task(config)
    robot = config.env.world.robot
    assert robot.model == name
    steps = [stage.level.max_steps for stage in config.curriculum.stages]
    slower = max(1.0, 1.0 / robot.max_speed) * (2.0 if where else 1.0)
    assert steps == pytest.approx([200 * slower, 200 * slower, 300 * slower, 400 * slower], abs=1.0)
    assert config.env.world.obstacle_speed == pytest.approx(0.6 * min(1.0, robot.max_speed))
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


def test_keys_beside_a_model_win_in_any_order(tmp_path: Path) -> None:
    given = ["env.world.robot.max_speed=0.2", "env.world.robot=turtlebot3_burger", "env.world.lidar.num_beams=24"]
    for overrides in (given, given[::-1]):
        world = load_run_config(None, overrides).env.world
        assert (world.robot.max_speed, world.lidar.num_beams, world.lidar.range_max_m) == (0.2, 24, 3.5)
    (tmp_path / "run.yaml").write_text("env: {world: {robot: {model: mir100, body: {length_m: 1.0}}}}")
    body = load_run_config(tmp_path / "run.yaml").env.world.robot.body
    assert (body.length_m, body.width_m) == (1.0, 0.58)
    assert RobotConfig(model="tiago").radius_m == 0.275
    world = WorldConfig.model_validate({"robot": "tiago", "observation": "neighbors"})
    assert world.lidar == WorldConfig().lidar  # which nothing reads


def test_a_run_needs_the_file_of_its_robot_no_more(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("robot: {max_speed: 0.5, radius_m: 0.3}\nlidar: {num_beams: 8}\n")
    config = load_run_config(None, [f"env.world.robot={mine}"])
    assert (config.env.world.robot.max_speed, config.env.world.lidar.num_beams) == (0.5, 8)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    mine.unlink()
    assert load_run_config(tmp_path / "config.yaml", follow=False) == config
    with pytest.raises(ConfigError, match=r"would change nothing, because .*config\.yaml sets every key of a robot"):
        load_run_config(tmp_path / "config.yaml", ["env.world.robot=jackal"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["env.world.robot=jackl"], "override 'env.world.robot=jackl'.*no robot 'jackl'.*did you mean 'jackal'"),
        (["env.world.robot.model=/none.yaml"], "there is no robot '/none.yaml', and no file of that name"),
        (["env.world.robot=configs/robots"], "configs/robots: is a folder"),
        (
            ["env.world.robot=jackal", "env.world.robot.radius_m=0.3"],
            "radius_m .0.3. is that of a disc.*leave radius_m",
        ),
        (["env.world.robot.body.shape=rectangle"], "needs length_m and width_m"),
        (["env.world.robot.body.length_m=1"], "length_m .1.0. is of a rectangle, and shape is circle"),
        (["env.world.robot.drive=bicycle"], "give it"),
        (["env.world.robot.min_turn_radius_m=1"], "would be ignored, because drive is unicycle"),
        (["env.world.lidar.range_min_m=7"], "range_min_m .7.0. must be below range_max_m .5.0."),
    ],
)
def test_a_wrong_robot_is_told(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_run_config(None, overrides)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("robot:\n  max_speed: 99\n", r"mine\.yaml:2: robot\.max_speed: Input should be less than or equal to 10"),
        ("robot:\n  speed: 1\n", r"mine\.yaml:2: robot\.speed: unknown key"),
        ("lidar:\n  range_min_m: 9\n", r"mine\.yaml:1: lidar: range_min_m \(9\.0\) must be below"),
        ("robots: {}\n", r"mine\.yaml:1: robots: a robot has the parts robot and lidar"),
        ("robot: {model: jackal}\n", r"mine\.yaml:1: robot\.model: a model holds the numbers itself"),
        ("robot: 3\n", r"mine\.yaml:1: robot: is a section"),
        ("[]\n", "a robot has the parts robot and lidar"),
        ("robot: [\n", r"mine\.yaml:2: not valid YAML"),
    ],
)
def test_a_wrong_model_file_is_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_run_config(None, [f"env.world.robot={tmp_path / 'mine.yaml'}"])


@pytest.mark.parametrize(
    ("outline", "told"),
    [
        (((-1, -1), (1, 1), (1, -1), (-1, 1)), "crosses or touches itself: the sides from corner 0 and from corner 2"),
        (((-1, -1), (1, -1), (1, 1), (0, -1), (-1, 1)), "crosses or touches itself"),  # a corner on another side
        (((-1, -1), (1, -1), (1, 1), (1, -1)), "crosses or touches itself"),  # back along a side
        (((-1, -1), (1, -1), (1, -1), (0, 1)), "crosses or touches itself"),  # a corner twice
        (((-1, -1), (1, 1)), "has 2 corners, and a body needs at least 3"),
        ((), "give outline"),
        (((1, -1), (1.5, -1), (1.2, 1)), r"does not hold \(0, 0\)"),
        (((-1, -2), (1, -2), (0, 2)), "reaches 2.236 m"),
    ],
)
def test_an_outline_that_is_none_is_told(outline: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        BodyConfig(shape="polygon", outline=outline)


def test_the_size_of_a_body() -> None:
    box = BodyConfig(shape="rectangle", length_m=0.6, width_m=0.4)
    ring = BodyConfig(shape="polygon", outline=SQUARE[::-1])
    assert [pytest.approx(corner) for corner in box.corners] == list(SQUARE)
    assert box.outer_radius_m == pytest.approx(ring.outer_radius_m) == pytest.approx(0.13**0.5)
    assert box.inner_radius_m == pytest.approx(ring.inner_radius_m) == pytest.approx(0.2)
    assert ring.corners == SQUARE  # which goes round counter-clockwise
    assert RobotConfig(body=box).radius_m == pytest.approx(0.13**0.5)
    assert BodyConfig().corners == ()


def test_limits_of_steps() -> None:
    slow, usual = WorldConfig(robot=RobotConfig(max_speed=0.22)), WorldConfig()
    open_ones = tuple(LevelConfig.model_validate({"num_goals": n, "max_steps": None}) for n in (1, 3, 4))
    assert [level.max_steps for level in levels_for(usual, open_ones)] == [200, 300, 400]
    assert [level.max_steps for level in levels_for(slow, open_ones)] == [910, 1364, 1819]
    assert levels_for(usual, (LevelConfig(num_goals=1),))[0].max_steps == 400  # as ever
    assert levels_for(slow, (LevelConfig(max_steps=7),))[0].max_steps == 7  # as given
    for levels in (open_ones, (LevelConfig(),)):
        once = levels_for(slow, levels)
        assert levels_for(usual, once) == once
    assert [level.max_steps for level in levels_for(usual, open_ones, leg_m=30.0)] == [200, 300, 400]
    on_a_map = WorldConfig.model_validate({"map": "office"})
    assert [level.max_steps for level in levels_for(on_a_map, open_ones, leg_m=30.0)] == [600, 900, 1200]


def test_slow_robots_have_time_where_they_were_refused() -> None:
    config = load_run_config(None, ["env.world.robot.max_speed=0.22"])
    assert [stage.level.max_steps for stage in config.curriculum.stages] == [910, 910, 1364, 1819]
    with pytest.raises(ConfigError, match="cannot be passed"):
        describe_task(
            load_run_config(None, ["env.world.robot.max_speed=0.22", "curriculum.stages.2.level.max_steps=9"])
        )


def test_a_scenario_may_name_the_robot() -> None:
    changes = {"env.world.robot": "turtlebot3_burger", "env.world.robot.max_speed": 0.2}
    own = {"robot": RobotConfig(radius_m=0.4).model_dump(), "lidar": {"num_beams": 12}}
    world, level = Scenario(name="slow", stage="full_challenge", changes=changes).worlds(own)
    assert (world.robot.model, world.robot.max_speed, world.robot.max_turn_rate) == ("turtlebot3_burger", 0.2, 2.84)
    assert world.lidar.num_beams == 12
    assert level.max_steps == 2000


def test_worlds_of_an_outline_are_drawn_for_no_other_disc() -> None:
    own, scenario = {"robot": RobotConfig(model="jackal").model_dump()}, Scenario(name="x", stage="full_challenge")
    first = cast(Entrant, SimpleNamespace(placed_for=Body(0.25, 1.0)))
    assert _placed_for(first, scenario, scenario.worlds(own)[0]) is None
    slow = scenario.worlds({"robot": RobotConfig(max_speed=0.5).model_dump()})[0]
    assert _placed_for(first, scenario, slow) == Body(0.25, 1.0)
