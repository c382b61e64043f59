"""Cases that several players share: who sits where, what each decides, and how a case is scored."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.algo.policy import Policy, parameter_shapes
from robonav_ray.algo.structure import structure_of
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.worlds import EVERETT_LEVEL, EnvConfig, LevelConfig, WorldConfig
from robonav_ray.evaluation.episodes import Act, EvaluationProgress
from robonav_ray.evaluation.together import (
    CaseTable,
    Player,
    TogetherError,
    play_together,
    read_cases,
    seats_of,
)
from robonav_ray.records import Outcome, PolicySnapshot
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import NavVectorEnv

WORLD = WorldConfig(profile="everett", num_robots=4)
SHORT = EVERETT_LEVEL.model_copy(update={"max_steps": 60})
ALGO = AlgoConfig(encoder="deep_set", hidden_dims=(8,), set_dims=(8,))


def policy(seed: int, world: WorldConfig = WORLD, algo: AlgoConfig = ALGO) -> Policy:
    """Return a policy with weights drawn by ``seed``."""
    worlds = BatchedWorlds(world, (SHORT,), 1, 0, 0.99)
    structure = structure_of(EnvConfig(world=world), worlds.obs_dim)
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(worlds.obs_dim, 11, algo, structure)
    arrays = tuple(rng.uniform(-0.8, 0.8, shape).astype(np.float32) for shape in shapes.values())
    made = Policy(worlds.obs_dim, 11, algo, structure)
    made.load(PolicySnapshot(1, 0, tuple(shapes), arrays))
    return made


def slow_twin(cast: list[Policy | str], num_cases: int, seed: int) -> list[list[tuple[int, int, int]]]:
    """Return (player, outcome, steps) of each robot, case by case and robot by robot."""
    rows = []
    for case in range(num_cases):
        worlds = BatchedWorlds(WORLD, (SHORT,), 1, seed, 0.99, first_world=case)
        worlds.reset()
        order = seats_of(np.array([4]), 4, case, seed)[0]
        sits = [cast[i] for i in order]
        worlds.set_drivers(np.array([lay.DRIVERS.index(p) if isinstance(p, str) else 0 for p in sits], np.int8))
        lane = worlds.state.lane[0]
        while (lane[:, lay.ENDED] == 0).any():
            action = [
                0 if isinstance(p, str) else int(p.greedy(worlds.out.obs[r : r + 1])[0]) for r, p in enumerate(sits)
            ]
            worlds.step(np.array(action), DISABLED)
        known = list(dict.fromkeys(cast))
        rows.append([(known.index(p), *lane[r, [lay.OUTCOME, lay.STEP]].tolist()) for r, p in enumerate(sits)])
    return rows


def test_each_seat_is_decided_for_by_its_player_as_if_it_were_alone() -> None:
    a, b = policy(0), policy(1)
    cast: list[Policy | str] = [a, b, "orca", a]
    table = play_together(WORLD, [SHORT], cast, 10, 3, num_worlds=4)
    steps = np.rint(table.time_s / WORLD.dt_s).astype(int)
    rows = np.stack([table.player, table.outcome, steps], axis=2).tolist()
    assert [[tuple(robot) for robot in row] for row in rows] == slow_twin(cast, 10, 3)
    assert table.case.tolist() == list(range(10))


def test_a_case_may_end_with_the_robots_of_one_player() -> None:
    """Which changes nothing of them, and leaves the others where they are."""
    a = policy(0)
    whole = play_together(WORLD, [SHORT], [a, "stand", a, "stand"], 12, 3, num_worlds=5)
    short = play_together(WORLD, [SHORT], [a, "stand", a, "stand"], 12, 3, num_worlds=5, ends_with=0)
    own = whole.player == 0
    for name in ("outcome", "time_s", "path_m", "clearance_m"):
        np.testing.assert_array_equal(vars(whole)[name][own], vars(short)[name][own], err_msg=name)
    np.testing.assert_array_equal(whole.player, short.player)
    assert (short.outcome[~own] == Outcome.NONE).any()
    assert np.nanmax(short.time_s[~own]) <= np.nanmax(short.time_s[own])


def same_cases(one: CaseTable, other: CaseTable) -> bool:
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in ("way_m", "speed", "radius_m"))


def test_one_seed_has_one_set_of_cases_and_one_order_of_seats_for_every_cast() -> None:
    a = policy(0)
    table = play_together(WORLD, [SHORT], ["orca", "straight", "stand", a], 24, 7, num_worlds=5)
    other = play_together(WORLD, [SHORT], [a, "orca", "straight", "stand"], 24, 7)
    assert same_cases(table, other)
    np.testing.assert_array_equal(table.player, other.player)
    assert all(set(Counter(table.player[:, seat].tolist())) == {0, 1, 2, 3} for seat in range(4)), (
        "each sits everywhere"
    )
    assert not same_cases(table, play_together(WORLD, [SHORT], ["stand"] * 4, 24, 8))
    later = play_together(WORLD, [SHORT], ["orca", "straight", "stand", a], 4, 7, first_case=20)
    np.testing.assert_array_equal(later.outcome, table.outcome[20:])
    fixed = play_together(WORLD, [SHORT], ["orca", "straight", "orca", a], 3, 7, permute=False)
    assert fixed.player.tolist() == [[0, 1, 0, 2]] * 3


def test_a_policy_is_asked_once_a_step_however_many_seats_it_has() -> None:
    asked = list[int]()
    a, b = policy(0), policy(1)
    greedy = b.greedy

    def noted(obs: np.ndarray) -> np.ndarray:
        asked.append(len(obs))
        return greedy(obs)

    b.greedy = noted  # type: ignore[method-assign]
    told = list[EvaluationProgress]()
    table = play_together(WORLD, [SHORT], [a, b, b, b], 6, 0, progress=told.append)
    assert asked[0] == 18
    assert len(asked) <= len(told)
    assert sum(asked) == round(float(table.time_s[table.player == 1].sum()) / WORLD.dt_s), "none that has ended"
    assert told[-1] == (6, 6, round(float(table.time_s.sum()) / WORLD.dt_s))


def test_cases_of_a_file_are_played_once_and_the_first_of_the_cast_are_there(tmp_path: Path) -> None:
    cases = [
        [[-3, 0, 3, 0, 1.0, 0.3], [3, 0.5, -3, 0, 1.5, 0.5]],
        [[0, -3, 0, 3, 0.7, 0.2], [3, 0, -3, 0, 0.9, 0.4], [-3, 0, 3, 0, 2.5, 0.9]],
    ]
    (path := tmp_path / "cases.json").write_text(json.dumps(cases))
    world = WorldConfig(profile="everett", num_robots=4, cases=str(path))
    table = play_together(world, [EVERETT_LEVEL], ["orca", "straight", "stand", "stand"], 900, 1)
    assert table.num_cases == 2
    assert [sorted(row) for row in table.player.tolist()] == [[-1, -1, 0, 1], [-1, 0, 1, 2]]
    assert np.isnan(table.time_s[~table.there]).all()
    assert np.isfinite(table.time_s[table.there]).all()
    assert table.radius_m[1, :3] == pytest.approx([0.2, 0.4, 0.9])
    assert play_together(world, [EVERETT_LEVEL], ["stand"] * 4).stuck.tolist() == [True, True]


def test_a_case_is_solved_collided_or_stuck_by_all_of_its_robots() -> None:
    level = EVERETT_LEVEL.model_copy(update={"num_robots": 2})
    worlds = BatchedWorlds(WorldConfig(profile="everett", num_robots=3), (level,), 3, 0, 0.99)
    worlds.reset()
    lane, success = worlds.state.lane, Outcome.SUCCESS
    lane[:, :2, lay.OUTCOME] = [[success] * 2, [success, Outcome.COLLISION_ROBOT], [Outcome.TIMEOUT, success]]
    lane[:, :2, lay.STEP] = [[70, 90], [5, 5], [9, 9]]
    worlds.state.tally[0, :2, lay.T_SHORTEST] = 4.2, 6.2
    worlds.state.robot[0, :2, lay.OWN_SPEED] = 1.0, 1.5
    table = read_cases(worlds, np.array([[0, 1, 0]] * 3))
    assert table.solved.tolist() == [True, False, False]
    assert table.collided.tolist() == [False, True, False]
    assert table.stuck.tolist() == [False, False, True]
    assert table.extra_s[0] == pytest.approx(((7.0 - 4.0) + (9.0 - 4.0)) / 2, abs=1e-4)
    assert np.isnan(table.extra_s[1:]).all()
    assert table.player.tolist() == [[0, 1, -1]] * 3
    assert table.share_arrived(0).tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(table.share_arrived(2)).all()


class Planned:
    """Any player that is no policy: here all lanes stand."""

    def act_for(self, env: NavVectorEnv) -> Act:
        return lambda obs: np.full(len(obs), 9)


def test_what_plans_for_all_lanes_acts_in_its_own_alone() -> None:
    world = WorldConfig(profile="everett", num_robots=2)
    table = play_together(world, [EVERETT_LEVEL], [Planned(), "straight"], 12, 0)
    assert (table.outcome[table.player == 0] != Outcome.SUCCESS).all()
    assert (table.outcome[table.player == 1] == Outcome.SUCCESS).any()


def test_our_own_worlds_with_obstacles_are_shared_too() -> None:
    world = WorldConfig(num_robots=3)
    level = LevelConfig(num_static=1, num_dynamic=2, num_goals=2, max_steps=300)
    table = play_together(world, [level], ["orca", "social_force", "stand"], 8, 0)
    assert (table.outcome[table.player == 2] != Outcome.SUCCESS).all()
    assert table.arrived[table.player < 2].mean() > 0.4


@pytest.mark.parametrize(
    ("cast", "named"),
    [
        (["orca"] * 3, "3 players for 4 robots"),
        (["orca", "orka", "stand", "stand"], "did you mean 'orca'.*social_force"),
        ([policy(0, algo=AlgoConfig(hidden_dims=(8,)), world=WorldConfig(profile="everett", num_robots=3))] * 4,
         "takes 22 observations.*deep_set or attention"),
    ],
)  # fmt: skip
def test_players_that_do_not_fit_are_refused_by_name(cast: list[Player], named: str) -> None:
    with pytest.raises(TogetherError, match=named):
        play_together(WORLD, [EVERETT_LEVEL], cast, 4, 0)


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        play_together(WORLD, [EVERETT_LEVEL], ["orca"] * 4, 0)
    with pytest.raises(ValueError, match="at least 1"):
        play_together(WORLD, [EVERETT_LEVEL], ["orca"] * 4, num_worlds=0)
