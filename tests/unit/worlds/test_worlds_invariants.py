"""Invariants of the worlds: splits, resumes, levels, walls, bookkeeping."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, RandomizationConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import NavVectorEnv

ALL_FAULTS = RandomizationConfig(**dict.fromkeys(RandomizationConfig.model_fields, 3))
BEHAVIOURS = ("waypoint", "bounce", "intercept", "orca", "social_force")
LEVELS = (
    LevelConfig(num_static=3, num_dynamic=0, num_goals=1, max_steps=60),
    LevelConfig(
        num_static=2, num_dynamic=6, behaviours=BEHAVIOURS, num_goals=2, max_steps=80, randomization=ALL_FAULTS
    ),
)


def rollout(worlds: BatchedWorlds, first: int, num: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Run worlds under actions that depend on the global world index only; return everything that came out."""
    record: dict[str, list[np.ndarray]] = {
        name: [] for name in ("obs", "reward", "terminated", "truncated", "final_tally", "final_lane")
    }
    action = np.random.default_rng(seed).integers(0, 15, (num, 64))
    worlds.reset()
    for t in range(num):
        if t == num // 3:
            worlds.set_level(1)
        worlds.step(action[t, first : first + worlds.num_lanes])
        worlds.check_valid()
        for name, rows in record.items():
            rows.append(getattr(worlds.out, name).copy())
    return {name: np.stack(rows) for name, rows in record.items()}


def test_any_split_gives_the_same_episodes_bit_for_bit() -> None:
    whole = rollout(BatchedWorlds(WorldConfig(), LEVELS, 64, 7, 0.99), 0, 150)
    parts = [rollout(BatchedWorlds(WorldConfig(), LEVELS, 8, 7, 0.99, first_world=8 * i), 8 * i, 150) for i in range(8)]
    for name, array in whole.items():
        np.testing.assert_array_equal(array, np.concatenate([p[name] for p in parts], axis=1), err_msg=name)
    assert len(np.unique(whole["final_lane"][-1, :, 0])) >= 3


def test_resume_equals_not_stopping() -> None:
    def make() -> NavVectorEnv:
        return NavVectorEnv(16, levels=LEVELS, seed=3, first_world=4)

    action = np.random.default_rng(0).integers(0, 15, (80, 16))
    one = make()
    one.reset()
    one.set_level(1)
    for t in range(40):
        one.step(action[t])
    saved = {name: np.asarray(value) for name, value in one.state_dict().items()}  # as npz gives it back
    two = make()
    two.load_state_dict(saved)
    np.testing.assert_array_equal(two.observe(), one.observe())
    for t in range(40, 80):
        for a, b in zip(one.step(action[t])[:4], two.step(action[t])[:4], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("spoil", ["missing", "unknown", "shape", "first_world"])
def test_load_is_strict(spoil: str) -> None:
    envs = NavVectorEnv(4, levels=LEVELS)
    envs.reset()
    state = envs.state_dict()
    if spoil == "missing":
        del state["state.robot"]
    elif spoil == "unknown":
        state["state.other"] = np.zeros(1)
    elif spoil == "shape":
        state["state.goal"] = state["state.goal"][:, :, :1]
    else:
        state["first_world"] = 9
    with pytest.raises(ValueError, match="worlds"):
        envs.load_state_dict(state)


@pytest.mark.parametrize(
    "world",
    [{}, {"difficulty": "hard"}, {"num_robots": 4}, {"boxes": [{"x_m": 0, "y_m": 0, "width_m": 2, "height_m": 1}]}],
)
def test_state_stays_valid(world: dict) -> None:
    worlds = BatchedWorlds(WorldConfig.model_validate(world), LEVELS, 32, 1, 0.99)
    worlds.set_level(1)
    worlds.reset()
    worlds.check_valid()
    rng, space = np.random.default_rng(0), worlds.observation_space
    for t in range(200):
        worlds.step(rng.integers(0, 15, worlds.num_lanes))
        worlds.check_valid()
        if t % 20 == 0:
            assert all(space.contains(row) for row in worlds.out.obs)
    half = worlds.config.side_m / 2
    assert np.abs(worlds.pose[:, :2]).max() < half + 0.2


def test_a_level_takes_effect_at_the_next_reset() -> None:
    worlds = BatchedWorlds(WorldConfig(), LEVELS, 32, 1, 0.99)
    worlds.reset()
    worlds.set_level(1)
    assert (worlds.level == 0).all()
    before, seen = worlds.level.copy(), 0
    for action in np.random.default_rng(0).integers(0, 15, (70, 32)):
        seen += worlds.step(action)
        assert (worlds.out.final_lane[worlds.out.finished, 4] == before[worlds.out.finished]).all()
        np.testing.assert_array_equal(worlds.level, np.where(worlds.out.finished, 1, before))
        before = worlds.level.copy()
    assert seen > 0
    assert (worlds.level == 1).all()  # level 0 is truncated after 60 steps
    with pytest.raises(ValueError, match="levels are 0 to 1"):
        worlds.set_level(2)


def test_tours_are_feasible_and_goals_apart() -> None:
    level = LevelConfig(num_static=5, num_dynamic=2, num_goals=4, max_steps=140)  # tight: 14 m / 1.5 for at least 8 m
    worlds = BatchedWorlds(WorldConfig(), (level,), 512, 0, 0.99)
    worlds.reset()
    assert (worlds.state.tally[:, 0, lay.T_SHORTEST] * 1.5 <= 14.0 + 1e-3).all()
    for w in range(0, 512, 16):
        s = worlds.scene(w)
        legs = np.linalg.norm(np.diff(np.vstack([s.robot_pose[0, :2], s.goals[0]]), axis=0), axis=1)
        assert (legs >= 2.0 - 1e-4).all()
    with pytest.raises(ValueError, match="level 0 cannot be passed"):
        BatchedWorlds(WorldConfig(), (level.model_copy(update={"max_steps": 100}),), 1, 0, 0.99)


def test_swept_collision_sees_what_happens_between_two_steps() -> None:
    """A disc that passes the robot within one long step is hit, though both ends of the step are free."""
    worlds = BatchedWorlds(
        WorldConfig(dt_s=1.0, min_goal_distance_m=4.0),
        (LevelConfig(num_dynamic=1, num_goals=1, max_steps=200),),
        1,
        0,
        0.99,
    )
    worlds.reset()
    s = worlds.state
    s.robot[0, 0, [lay.X, lay.Y, lay.YAW, lay.COS, lay.SIN]] = (0, 0, 0, 1, 0)
    s.goal[0, 0, 0, :2] = (4, 4)
    s.circle[0, [lay.C_X, lay.C_Y, lay.C_VX, lay.C_VY, lay.C_SPEED, lay.C_RADIUS], 0] = (0, 1.5, 0, -3.0, 3.0, 0.3)
    worlds.step_command(np.zeros((1, 2)), autoreset=2)
    assert worlds.out.terminated[0]
    assert worlds.out.final_lane[0, 0] == Outcome.COLLISION_DYNAMIC
    assert worlds.out.final_tally[0, lay.T_CLEARANCE] == pytest.approx(-0.55, abs=1e-5)


def test_robots_that_meet_both_collide_and_leave_the_world() -> None:
    worlds = BatchedWorlds(WorldConfig(num_robots=3), (LevelConfig(num_dynamic=0, num_goals=1),), 1, 0, 0.99)
    worlds.reset()
    s = worlds.state
    for r, (x, yaw) in enumerate([(-0.29, 0.0), (0.29, np.pi), (0.0, 0.0)]):
        s.robot[0, r, [lay.X, lay.Y, lay.YAW, lay.COS, lay.SIN]] = (x, 3.0 if r == 2 else 0.0, yaw, np.cos(yaw), 0)
    s.goal[0, :, 0, :2] = (4, -4)
    worlds.step_command(np.tile([1.0, 0.0], (3, 1)))
    assert worlds.out.terminated.tolist() == [True, True, False]
    assert worlds.out.final_lane[:2, 0].tolist() == [Outcome.COLLISION_ROBOT] * 2
    worlds.step_command(np.zeros((3, 2)))
    assert worlds.out.parked.tolist() == [True, True, False]
    assert worlds.out.reward[:2].tolist() == [0, 0]
    scene = worlds.scene(0)
    assert scene.robot_ended.tolist() == [True, True, False]
    assert scene.ranges[2].min() == pytest.approx(2.0, abs=1e-3)  # the wall at y = 5; the other robots are gone
