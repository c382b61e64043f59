"""Suites: what stands for all scenarios, sweeps that expand to scenarios by name, and what is wrong in one is told with
its place.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.config.evaluation_suite import Scenario, Suite
from robonav_ray.config.load import ConfigError
from robonav_ray.config.load_suite import load_suite
from robonav_ray.config.shipped import shipped_configs
from robonav_ray.config.worlds import LidarConfig, RobotConfig


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\n{text}")
    return path


@pytest.mark.parametrize("config", shipped_configs("suite"), ids=lambda config: config.name)
def test_every_shipped_suite_can_be(config):
    suite = load_suite(Path(config.name))
    scenarios = suite.all_scenarios()
    assert suite.name == config.name
    assert suite.question
    assert all(scenario.question and scenario.num_episodes >= 50 for scenario in scenarios)


def test_the_suite_speaks_for_its_scenarios(tmp_path: Path):
    path = written(
        tmp_path,
        "family: odd\n"
        "stage: basic_navigation\n"
        "seed: 5\n"
        "num_episodes: 60\n"
        "changes: {env.world.arena_size_m: 12, level.num_static: 1}\n"
        "scenarios:\n"
        "  - name: a\n"
        "  - {name: b, seed: 6, stage: full_challenge, changes: {level.num_static: 4}}\n",
    )
    a, b = load_suite(path).all_scenarios()
    assert (a.family, a.seed, a.num_episodes, a.stage_index, b.seed, b.stage_index) == ("odd", 5, 60, 0, 6, 3)
    assert a.worlds()[0].side_m == b.worlds()[0].side_m == 12.0
    assert (a.worlds()[1].num_static, b.worlds()[1].num_static) == (1, 4)


def test_a_sweep_is_a_scenario_for_every_level(tmp_path: Path):
    path = written(
        tmp_path,
        "sweeps:\n"
        "  - factors: [range_noise, slip]\n"
        "    key: level.randomization.*\n"
        "    levels: [0, 2]\n"
        "    at_once: both\n"
        "    draws: {name: drawn, num: 2, of: 1, level: 3, seed: 1}\n"
        "  - factors: [speed]\n"
        "    values: {0.9: {env.world.obstacles.max_speed: 0.9}, wild: {env.world.obstacles.max_speed: 3}}\n",
    )
    found = {scenario.name: scenario for scenario in load_suite(path).all_scenarios()}
    assert list(found) == [
        *(
            "range_noise_0",
            "range_noise_2",
            "slip_0",
            "slip_2",
            "both_0",
            "both_2",
            "drawn_1",
            "drawn_2",
            "speed_0.9",
            "speed_wild",
        )
    ]
    assert found["slip_2"].changes == {"level.randomization.slip": 2}
    assert (found["slip_2"].factor, found["slip_2"].level) == ("slip", 2.0)
    assert found["both_2"].changes == {"level.randomization.range_noise": 2, "level.randomization.slip": 2}
    assert found["drawn_1"].factor is None
    assert list(found["drawn_1"].changes.values()) == [3]
    assert (found["speed_0.9"].level, found["speed_wild"].level) == (0.9, 1.0)
    assert found["speed_wild"].worlds()[0].obstacle_speed == 3.0


def test_an_entrant_keeps_sensor_and_body_but_for_what_the_scenario_names():
    scenario = Scenario(name="x", changes={"env.world.lidar.num_beams": 72, "env.world.arena_size_m": 14.0})
    own = {"lidar": LidarConfig(range_max_m=3.0).model_dump(), "robot": RobotConfig(max_speed=0.5).model_dump()}
    world, _ = scenario.worlds({**own, "observation": "lidar"})
    assert (world.lidar.num_beams, world.lidar.range_max_m, world.robot.max_speed, world.side_m) == (72, 3.0, 0.5, 14.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "scenarios:\n  - {name: a, changes: {env.world.arena_siz_m: 3}}",
            r"arena_siz_m: unknown key; did you mean 'arena_size_m'",
        ),
        ("scenarios:\n  - {name: a, changes: {level.randomization.slip: 4}}", "less than or equal to 3"),
        ("scenarios:\n  - {name: a, changes: {learner.lr: 4}}", "'learner.lr' is neither of the worlds"),
        ("scenarios:\n  - {name: a, changes: {env.world.robot.drive.x: 4}}", "drive"),
        ("scenarios:\n  - {name: a, stage: nowhere}", "no stage 'nowhere'; the stages are 0 .basic_navigation"),
        (
            "scenarios:\n  - {name: a, num_episodes: 49}",
            r"scenarios.0: num_episodes \(49\) must be at least 50",
        ),
        ("scenarios:\n  - {name: a, questions: x}", "scenarios.0.questions: unknown key; did you mean 'question'"),
        ("scenarios:\n  - {name: a}\n  - {name: a}", "the name 'a' stands twice"),
        ("scenarios: []", "there is none"),
        ("scenarios:\n  - {name: ../a}", "name"),
        ("sweeps:\n  - {factors: [slip], levels: [1]}", "either key and levels, or values"),
        ("sweeps:\n  - {factors: [slip, range_noise], key: level.num_static, levels: [1]}", "the same for all factors"),
        (
            "sweeps:\n  - {factors: [slip], key: level.randomization.*, levels: [7]}",
            "sweeps: slip_7.*slip: input should be less",
        ),
        ("scenarios:\n  - {name: a, changes: {level: 3}}", "neither of the worlds"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_key(tmp_path: Path, text: str, told: str):
    with pytest.raises(ConfigError, match=r"(?s)mine\.yaml.*" + told):
        load_suite(written(tmp_path, text))


def test_a_name_that_is_none_tells_the_shipped_ones():
    with pytest.raises(ConfigError, match="did you mean standard"):
        load_suite(Path("standrad"))


def test_a_suite_of_ones_own_is_made_of_scenarios():
    assert Suite.model_validate({"name": "s", "scenarios": [{"name": "a"}]}).all_scenarios()[0].family == "s"
