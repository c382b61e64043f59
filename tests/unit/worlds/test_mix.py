"""Worlds of one stage that run different parts of it."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.base import Section
from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.mix import Mix, with_parts

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
NUM, SEED = 24, 5


def played(levels: tuple[LevelConfig, ...], level: int, first: int = 0, num: int = NUM) -> list[np.ndarray]:
    """Return what 120 steps give: (obs, reward, terminated) of each."""
    worlds = BatchedWorlds(WORLD, levels, num, SEED, 0.99, first_world=first)
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
    ],
)
def test_a_mix_that_cannot_be_is_refused_with_its_key(mix: list[dict[str, object]], says: str) -> None:
    class Whole(Section):
        level: LevelConfig

    with pytest.raises(ConfigError, match="mix") as refused:
        check_section(Whole, {"level": {"mix": mix}}, "changes")
    assert says in str(refused.value)
