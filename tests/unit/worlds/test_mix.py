"""Worlds of one stage that run different parts of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robonav_ray.config.base import Section
from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.config.run import RunConfig
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.config.worlds.level import ARENA_KEYS
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.make import describe_env
from robonav_ray.worlds.mix import Mix, with_parts, worlds_with_parts

FIRST = LevelConfig(num_dynamic=1, num_goals=1, max_steps=60)
PLAIN = LevelConfig(num_dynamic=3, num_goals=2, max_steps=80)
MIXED = check_section(
    LevelConfig,
    PLAIN.model_dump(mode="json")
    | {
        "mix": [
            {"frac": 0.25, "randomization": {"action_latency": 2, "range_noise": 1}},
            {"frac": 0.25, "num_static": 2, "num_dynamic": 6, "behaviours": ["intercept"]},
        ]
    },
    "level",
)
WORLD = WorldConfig()
WALLS = [{"x0_m": -1.0, "y0_m": -2.0, "x1_m": -1.0, "y1_m": 2.0}, {"x0_m": 1.0, "y0_m": 0.0, "x1_m": 2.0, "y1_m": 1.0}]
BOX = {"x_m": 2.0, "y_m": -2.0, "width_m": 1.0, "height_m": 1.5}
NUM, SEED = 24, 5


def played(
    levels: tuple[LevelConfig, ...], level: int, first: int = 0, num: int = NUM, world: WorldConfig = WORLD
) -> list[np.ndarray]:
    """Return what 120 steps give: (obs, reward, terminated) of each."""
    worlds = BatchedWorlds(world, levels, num, SEED, 0.99, first_world=first)
    worlds.set_level(level)
    found = [worlds.reset().copy()]
    for step in range(120):
        action = (np.arange(first, first + num) * 7 + step // 10) % 15
        worlds.step(action)
        found.append(np.column_stack([worlds.out.obs, worlds.out.reward, worlds.out.terminated]))
    return found


def test_every_world_plays_as_if_all_ran_its_part() -> None:
    rows = Mix((FIRST, MIXED)).of_worlds(np.ones(NUM, np.int64), np.arange(NUM))
    assert {int(row) for row in rows} == {1, 2, 3}
    mixed = played((FIRST, MIXED), 1)
    for row, level in enumerate(with_parts((FIRST, MIXED))[1:], 1):
        alone = played((FIRST, level.model_copy(update={"mix": ()})), 1)
        for one, other in zip(mixed, alone, strict=True):
            np.testing.assert_array_equal(one[rows == row], other[rows == row])


def test_parts_with_an_arena_of_their_own_play_as_worlds_of_that_arena() -> None:
    parts = [
        {"frac": 0.25, "difficulty": "hard"},
        {"frac": 0.2, "segments": WALLS, "boxes": [BOX], "num_dynamic": 4},
        {"frac": 0.2, "arena_size_m": 7.0, "segments": WALLS[:1]},
    ]
    mixed_level = LevelConfig.model_validate({**PLAIN.model_dump(mode="json"), "mix": parts})
    own = {"segments": [{"x0_m": 1.5, "y0_m": 1.0, "x1_m": 2.5, "y1_m": 2.0}], "lidar": {"num_beams": 24}}
    base = WorldConfig.model_validate(own)
    rows = Mix((FIRST, mixed_level)).of_worlds(np.ones(NUM, np.int64), np.arange(NUM))
    mixed, levels = played((FIRST, mixed_level), 1, world=base), with_parts((FIRST, mixed_level))
    for row, (level, world) in enumerate(zip(levels, worlds_with_parts(base, (FIRST, mixed_level)), strict=True)):
        if row > 0:
            given = {key: value for key, value in parts[row - 2].items() if key in ARENA_KEYS} if row > 1 else {}
            assert world == WorldConfig.model_validate({**own, **given})
            alone = played((FIRST, level.model_copy(update={"mix": ()})), 1, world=world)
            assert (rows == row).sum() > 2
            for one, other in zip(mixed, alone, strict=True):
                np.testing.assert_array_equal(one[rows == row], other[rows == row])


def test_pictures_and_drivers_know_the_arena_of_each_world() -> None:
    level = LevelConfig.model_validate(
        {
            **PLAIN.model_dump(mode="json"),
            "mix": [{"frac": 0.5, "arena_size_m": 6.0}, {"frac": 0.5, "segments": WALLS}],
        }
    )
    worlds = BatchedWorlds(WORLD, (level,), 8, SEED, 0.99)
    worlds.reset()
    scenes = [worlds.scene(w) for w in range(8)]
    assert {(2 * scene.half_side_m, len(scene.inner_walls)) for scene in scenes} == {(6.0, 0), (10.0, 2)}
    worlds.set_drivers(np.ones(8, np.int8))
    for _ in range(150):
        worlds.step(np.zeros(8, np.int64))
        worlds.check_valid()
    small = worlds.level == 1
    assert np.abs(worlds.pose[small, :2]).max() < 3.0
    assert np.abs(worlds.pose[~small, :2]).max() > 3.0


@pytest.mark.parametrize("late", [{}, {"observation_latency": 2}, {"action_latency": 3}])
def test_recent_commands_are_those_that_were_given_however_late_the_rest_is(late: dict[str, int]) -> None:
    level = LevelConfig.model_validate({"num_dynamic": 2, "num_goals": 1, "max_steps": 50, "randomization": late})
    worlds = BatchedWorlds(WorldConfig(recent_commands=3), (level,), 3, SEED, 0.99)
    shown, rng = worlds.layout.slices["commands"], np.random.default_rng(1)
    given = [np.zeros((3, 2), np.float32)] * 3
    assert not worlds.reset()[:, shown].any()
    for _ in range(70):
        command = rng.uniform(-1.0, 1.0, (3, 2)).astype(np.float32)
        command[:, 0] = np.abs(command[:, 0])
        worlds.step_command(command)
        given.append(command / (worlds.config.robot.max_speed, worlds.config.robot.max_turn_rate))
        for w in np.flatnonzero(worlds.state.lane[:, 0, lay.STEP] >= 3):
            expected = np.concatenate([given[-1][w], given[-2][w], given[-3][w]])
            np.testing.assert_allclose(worlds.out.obs[w, shown], expected, atol=1e-6)
        for w in np.flatnonzero(worlds.state.lane[:, 0, lay.STEP] == 0):
            assert not worlds.out.obs[w, shown].any()


def test_any_split_gives_the_same_and_another_stage_is_not_mixed() -> None:
    whole, parts = played((FIRST, MIXED), 1), [played((FIRST, MIXED), 1, first, 8) for first in (0, 8, 16)]
    for step, one in enumerate(whole):
        np.testing.assert_array_equal(one, np.concatenate([part[step] for part in parts]))
    for one, other in zip(played((FIRST, MIXED), 0), played((FIRST, PLAIN), 0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_are_spread_evenly_over_the_worlds() -> None:
    rows = Mix((MIXED,)).of_worlds(np.zeros(64, np.int64), np.arange(64))
    assert np.abs(np.bincount(rows, minlength=3) - [32, 16, 16]).max() <= 1
    for half in (rows[:32], rows[32:]):
        assert np.abs(np.bincount(half, minlength=3) - [16, 8, 8]).max() <= 2


def test_a_world_that_is_chosen_keeps_its_part_and_a_saved_batch_goes_on() -> None:
    worlds = BatchedWorlds(WORLD, (FIRST, MIXED), 4, SEED, 0.99)
    worlds.set_level(1)
    worlds.choose(np.array([9, 2, 14, 3]))
    worlds.reset()
    expected = Mix((FIRST, MIXED)).of_worlds(np.ones(4, np.int64), np.array([9, 2, 14, 3]))
    np.testing.assert_array_equal(worlds.level, expected)
    again = BatchedWorlds(WORLD, (FIRST, MIXED), 4, SEED, 0.99)
    again.load_state_dict(worlds.state_dict())
    for _ in range(30):
        for one in (worlds, again):
            one.step(np.full(4, 12))
    np.testing.assert_array_equal(worlds.out.obs, again.out.obs)
    again.set_level(0, np.array([True, False, False, False]))
    np.testing.assert_array_equal(again.state.world[1:, lay.NEXT_LEVEL], expected[1:])
    again.choose(np.arange(4))
    wanted = Mix((FIRST, MIXED)).of_worlds(np.array([0, 1, 1, 1]), np.arange(4))
    np.testing.assert_array_equal(again.state.world[:, lay.NEXT_LEVEL], wanted)


@pytest.mark.parametrize(
    ("mix", "says"),
    [
        ([{"frac": 0.6, "num_static": 1}, {"frac": 0.5, "num_static": 2}], "add up to 1.1"),
        ([{"frac": 0.5}], "changes nothing: name one of num_static"),
        ([{"frac": 0.5, "num_dynamics": 3}], "did you mean 'num_dynamic'"),
        ([{"frac": 0.5, "randomization": {"action_latency": 4}}], "action_latency"),
        ([{"frac": 0.5, "arena_size_m": -1.0}], "arena_size_m"),
        ([{"frac": 0.5, "difficulty": "harder"}], "difficulty"),
    ],
)
def test_a_mix_that_cannot_be_is_refused_with_its_key(mix: list[dict[str, object]], says: str) -> None:
    class Whole(Section):
        level: LevelConfig

    with pytest.raises(ConfigError, match="mix") as refused:
        check_section(Whole, {"level": {"mix": mix}}, "changes")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (
            {"frac": 0.5, "segments": [WALLS[0] | {"y1_m": 4.0}], "arena_size_m": 6.0},
            "(arena_size_m, segments): a wall from",
        ),
        ({"frac": 0.5, "arena_size_m": 3.0}, "min_goal_distance_m"),
    ],
)
def test_a_part_whose_arena_cannot_be_is_refused_before_a_run_begins(part: dict[str, Any], says: str) -> None:
    stages = [{"name": "only", "level": {**PLAIN.model_dump(mode="json"), "mix": [part]}}]
    config = check_section(RunConfig, {"curriculum": {"stages": stages}}, "file")
    with pytest.raises(ValueError, match=r"curriculum\.stages: level 0, mix\.0") as refused:
        describe_env(config.env, tuple(stage.level for stage in config.curriculum.stages))
    assert says in str(refused.value)
