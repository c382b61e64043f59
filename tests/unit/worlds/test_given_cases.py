"""Cases from a file: which one a world runs, and what is no case."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.worlds import EVERETT_LEVEL, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.cases import case_stride
from robonav_ray.worlds.kernels import layout as lay

CASES = [
    [[-3, 0, 3, 0, 1.0, 0.3], [3, 0.5, -3, 0, 1.5, 0.5]],
    [[0, -3, 0, 3, 0.7, 0.2], [3, 0, -3, 0, 0.9, 0.4], [-3, 0, 3, 0, 2.5, 0.9]],
    [[1, 1, 5, 5, 1.2, 0.25]],
]


def worlds_of(path: Path, num_worlds: int = 4, **world) -> BatchedWorlds:
    config = WorldConfig.model_validate({"profile": "everett", "num_robots": 3, "cases": str(path), **world})
    worlds = BatchedWorlds(config, (EVERETT_LEVEL,), num_worlds, 0, 0.99)
    worlds.reset()
    return worlds


@pytest.fixture
def as_json(tmp_path: Path) -> Path:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(CASES))
    return path


def which(worlds: BatchedWorlds) -> list[int]:
    """Return the case that each world runs, told by its first robot's speed."""
    speed = [case[0][4] for case in CASES]
    return [int(np.argmin(np.abs(np.array(speed) - s))) for s in worlds.state.robot[:, 0, lay.OWN_SPEED]]


def test_every_world_comes_through_all_cases(as_json: Path) -> None:
    worlds, stride = worlds_of(as_json, 5), case_stride(3)
    for episode in range(4):
        assert which(worlds) == [(i + episode * stride) % 3 for i in range(5)]
        robot, lane = worlds.state.robot, worlds.state.lane
        for w, i in enumerate(which(worlds)):
            n, case = len(CASES[i]), np.array(CASES[i], np.float32)
            np.testing.assert_array_equal(
                robot[w, :n][:, [lay.X, lay.Y, lay.OWN_SPEED, lay.OWN_RADIUS]], case[:, [0, 1, 4, 5]]
            )
            np.testing.assert_array_equal(worlds.state.goal[w, :n, 0, :2], case[:, 2:4])
            assert (lane[w, n:, lay.GONE] == 1).all()
            assert (lane[w, :n, lay.STEP_LIMIT] > 0).all()
        worlds.reset()
    part = BatchedWorlds(worlds.config, worlds.levels, 1, 0, 0.99, first_world=4)
    part.reset()
    assert which(part) == [4 % 3]
    part.choose(np.array([2]))
    part.reset()
    assert which(part) == [2]


def test_a_robot_may_be_faster_and_larger_than_those_that_are_drawn(as_json: Path) -> None:
    worlds = worlds_of(as_json)
    worlds.step(np.full(12, 2), DISABLED)
    assert np.hypot(*worlds.state.robot[1, 2, [lay.VX, lay.VY]]) == pytest.approx(2.5)


@pytest.mark.parametrize("several", [False, True])
def test_an_npz_holds_the_same(tmp_path: Path, as_json: Path, several: bool) -> None:
    path = tmp_path / "cases.npz"
    arrays = [np.array(case) for case in CASES]
    if several:
        np.savez(path, *arrays)
    else:
        np.savez(path, cases=np.array([CASES[0], CASES[0]]))
    worlds = worlds_of(path)
    assert which(worlds) == (which(worlds_of(as_json)) if several else [0] * 4)


def test_strides_come_through_all() -> None:
    for n in (1, 2, 3, 7, 12, 500):
        assert {(case_stride(n) * e) % n for e in range(n)} == set(range(n))


def test_what_a_robot_sees_does_not_depend_on_the_order_of_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    case = np.array([[8 * np.cos(a), 8 * np.sin(a), *rng.uniform(-9, 9, 2), 1.0, 0.5] for a in range(6)])
    case[:, 4:] = rng.uniform((0.5, 0.2), (1.5, 0.8), (6, 2))
    orders = [[0, *(1 + rng.permutation(5))] for _ in range(8)]
    np.savez(tmp_path / "orders.npz", cases=np.stack([case[order] for order in orders]))
    worlds = worlds_of(tmp_path / "orders.npz", 8, num_robots=7)
    action = rng.integers(0, 11, 7)
    for _ in range(10):
        for w in range(1, 8):
            np.testing.assert_array_equal(worlds.out.obs[7 * w], worlds.out.obs[0])
        worlds.step(np.concatenate([action[[*order, 6]] for order in orders]), DISABLED)
    items = worlds.out.obs[0, lay.OWN_PART :].reshape(6, lay.NEIGHBOR_PART)
    assert items[:, 0].tolist() == [1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[]", "no case"),
        ("{}", "a list of cases"),
        ("[1", "JSON"),
        ("[[1, 2]]", "case 0"),
        ('[[["a", 0, 1, 1, 1, 1]]]', "numbers"),
        ("[[[0, 0, 1, 1, 1]]]", "6"),
        ("[[[0, 0, 1, 1, 1, NaN]]]", "number 5"),
        ("[[[0, 0, 1, 1, -1, 0.3]]]", "number 4"),
        ("[[[0, 1e9, 1, 1, 1, 0.3]]]", "number 1"),
        ("[[[0, 0, 1, 1, 1, 0.3], [0.1, 0, 1, 5, 1, 0.3]]]", "overlap"),
        (json.dumps([[[3 * i, 0, 3 * i, 9, 1, 0.3] for i in range(4)]]), "num_robots=4"),
    ],
)
def test_what_is_no_case_is_named(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "cases.json"
    path.write_text(content)
    with pytest.raises(UserError, match=named) as refused:
        worlds_of(path)
    assert str(path) in str(refused.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(UserError, match=str(path)):
            worlds_of(path)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(UserError, match="npz"):
        worlds_of(tmp_path / "text.npz")


def test_the_number_of_robots_comes_from_the_case(as_json: Path) -> None:
    config = WorldConfig(profile="everett", num_robots=3, cases=str(as_json))
    with pytest.raises(ValueError, match="num_robots would be ignored"):
        BatchedWorlds(config, (EVERETT_LEVEL.model_copy(update={"num_robots": 2}),), 1, 0, 0.99)
