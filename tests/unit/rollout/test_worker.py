"""Rollout: rows say where they come from, splitting worlds changes nothing, a saved worker goes on with the same
bits."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from robonav_ray.algo.policy import Policy, parameter_shapes
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.rollout import RolloutConfig
from robonav_ray.records import Assignment, Outcome, PolicySnapshot
from robonav_ray.rollout.episode_book import EpisodeBook
from robonav_ray.rollout.worker import RolloutWorker
from tests.telling_worlds import ALGO, NUM_ACTIONS, OBS_DIM, Ears, make, rows_of, snapshot


@pytest.mark.parametrize("robots", [1, 4])
def test_every_row_is_a_window_of_one_episode(robots: int) -> None:
    ears = Ears(snapshot())
    worker = make(ears, robots=robots)
    for _ in range(30):
        worker.collect()
    rows = rows_of(ears)
    assert len(rows["reward"]) > 700
    for obs, action, reward, next_obs, discount in zip(
        *(rows[k] for k in ("obs", "action", "reward", "next_obs", "discount")), strict=True
    ):
        world, episode, t = obs[:3].astype(int)
        assert tuple(next_obs[:2]) == (world, episode), "a row never crosses an episode's end"
        length = int(next_obs[2]) - t
        assert 1 <= length <= ALGO.n_step
        assert reward == pytest.approx(0.5 * sum(0.9**i * (t + 1 + i) for i in range(length)), rel=1e-6)
        end = 3 + world % 5
        terminated = next_obs[2] == end and episode % 2 == 0
        assert discount == (0.0 if terminated else pytest.approx(0.9**length))
        if length < ALGO.n_step:
            assert next_obs[2] == end, "only an episode's end makes a window short"
        assert 0 <= action < NUM_ACTIONS


@pytest.mark.parametrize("robots", [1, 2, 4])
def test_each_env_step_becomes_exactly_one_row(robots: int) -> None:
    ears = Ears(snapshot())
    worker = make(ears, robots=robots)
    env_steps = sum(worker.collect().env_steps for _ in range(20))
    keys = [tuple(key) for key in rows_of(ears)["obs"][:, :3].astype(int).tolist()]
    assert len(set(keys)) == len(keys) == env_steps - worker._recording.folder.num_waiting
    begun = worker._env.episode
    ended = {(w, e, t) for w in range(8) for e in range(begun[w]) for t in range(3 + w % 5)}
    assert len(ended) > 300
    assert ended <= set(keys), "the first step of an episode too"
    assert all(t < 3 + w % 5 for w, _, t in keys), "a robot that waits makes no rows"


def test_the_episodes_of_robots_that_begin_together_are_booked_from_then_on() -> None:
    ears = Ears(snapshot())
    worker = make(ears, robots=4)
    for _ in range(20):
        worker.collect()
    world, length, started = (
        np.concatenate([getattr(r, k) for r in ears.results]) for k in ("world", "length", "started_at")
    )
    np.testing.assert_array_equal(length, 3 + world % 5)
    for w in range(8):
        slowest = max(3 + other % 5 for other in range(w // 4 * 4, w // 4 * 4 + 4))
        np.testing.assert_array_equal(started[world == w], slowest * np.arange((world == w).sum()))


def test_a_state_that_says_which_robots_took_part_before_is_gone_on_from() -> None:
    """As programs wrote it that went by the parked lanes of the step before."""
    ears = Ears(snapshot())
    worker = make(ears, robots=4, steps=1)
    for _ in range(23):
        worker.collect()
    state = worker.state_dict()
    before = state["env_waits"].copy()  # those that wait took part, the others did not: they have begun anew
    assert 0 < before.sum() < 8
    state["active"], state["book_started_at"] = before, np.where(before, 5, np.iinfo(np.int64).max)
    again = make(later := Ears(snapshot()), robots=4, steps=1)
    again.load_state_dict(state)
    for _ in range(20):
        worker.collect()
        again.collect()
    for one, other in zip(ears.fragments[23:], later.fragments, strict=True):
        for a, b in zip(one.columns, other.columns, strict=True):
            np.testing.assert_array_equal(a, b)
    assert max(r.started_at.max(initial=0) for r in later.results) < 100


def test_priorities_are_td_errors_of_the_acting_policy() -> None:
    ears = Ears(snapshot())
    worker, judge = make(ears), Policy(OBS_DIM, NUM_ACTIONS, ALGO)
    judge.load(snapshot())
    for _ in range(4):
        worker.collect()
    rows = rows_of(ears)
    q = judge.q_values(rows["obs"])[np.arange(len(rows["action"])), rows["action"]]
    target = rows["reward"] + rows["discount"] * judge.q_values(rows["next_obs"]).max(axis=1)
    priority = np.concatenate([f.priority for f in ears.fragments])
    np.testing.assert_allclose(priority, np.abs(target - q), rtol=2e-4, atol=2e-4)


def test_a_row_with_an_error_that_is_not_finite_enters_at_the_highest_priority() -> None:
    """So that the learner meets it, which counts it and says what is wrong; a shard would refuse NaN."""
    ears = Ears(snapshot())
    worker = make(ears)
    step = worker._env.step

    def bad_step(actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any, Any, dict[str, Any]]:
        obs, reward, *rest = step(actions)
        reward[1], reward[2], obs[3, 2] = np.nan, np.inf, np.nan
        return obs, reward, *rest

    worker._env.step = bad_step
    for _ in range(3):
        worker.collect()
    rows, priority = rows_of(ears), np.concatenate([f.priority for f in ears.fragments])
    finite = (
        np.isfinite(rows["reward"]) & np.isfinite(rows["obs"]).all(axis=1) & np.isfinite(rows["next_obs"]).all(axis=1)
    )
    assert 0 < finite.sum() < len(finite)
    np.testing.assert_array_equal(np.isfinite(priority), finite)
    assert (priority >= 0.0).all()


@pytest.mark.parametrize("num_workers", [2, 4])
def test_sharing_worlds_out_differently_changes_nothing(num_workers: int) -> None:
    def rows_sorted(workers: int) -> tuple[np.ndarray, ...]:
        ears = Ears(snapshot())
        each = 8 // workers
        for w in range(workers):
            worker = make(ears, first=w * each, num=each, worker=w)
            for _ in range(12):
                worker.collect()
        rows = rows_of(ears)
        order = np.lexsort(rows["obs"][:, :3].T)
        return tuple(rows[k][order] for k in ("obs", "action", "reward", "next_obs", "discount"))

    for one, many in zip(rows_sorted(1), rows_sorted(num_workers), strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("robots", [1, 4])
def test_a_saved_worker_goes_on_with_the_same_bits(robots: int) -> None:
    straight, first, second = Ears(snapshot()), Ears(snapshot()), Ears(snapshot())
    worker = make(straight, robots=robots)
    for _ in range(10):
        worker.collect()
    half = make(first, robots=robots)
    for _ in range(5):
        half.collect()
    rest = make(second, robots=robots)
    rest.load_state_dict(half.state_dict())
    for _ in range(5):
        rest.collect()
    for a, b in zip(straight.fragments[5:], second.fragments, strict=True):
        assert a.sequence == b.sequence
        for x, y in zip((*a.columns[:5], a.priority), (*b.columns[:5], b.priority), strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_state_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="8 lanes"):
        make(Ears(snapshot()), num=4).load_state_dict(make(Ears(snapshot())).state_dict())


def test_running_episodes_finish_under_the_old_stage() -> None:
    ears = Ears(snapshot())
    worker = make(ears, steps=4)
    worker.collect()
    ears.assignment = Assignment(stage=1, epsilon=0.1, clock=0, serial=1)
    for _ in range(5):
        worker.collect()
    rows = rows_of(ears)
    assert np.all(rows["obs"][:, 4] == rows["next_obs"][:, 4])
    stage = np.concatenate([r.stage for r in ears.results])
    started = np.concatenate([r.started_at for r in ears.results])
    assert set(stage) == {0, 1}
    assert started[stage == 1].min() >= 0
    assert ears.results[1].watermark_stage == 1


def test_watermark_never_passes_a_running_gate_episode() -> None:
    ears = Ears(snapshot())
    worker = make(ears, steps=1)
    seen: set[tuple[int, int]] = set()
    for _ in range(60):
        worker.collect()
    watermark = 0
    for result in ears.results:
        assert result.watermark >= watermark, "the watermark only rises within a stage"
        for world, started, gate in zip(result.world, result.started_at, result.on_gate, strict=True):
            if gate:
                assert started >= watermark, "an episode that had begun before the watermark would have been missed"
            assert (world, started) not in seen
            seen.add((int(world), int(started)))
        watermark = result.watermark
    assert watermark > 40


def test_parked_lanes_make_no_rows_and_wait_for_their_world() -> None:
    book = EpisodeBook(0, np.arange(2), np.array([True, True]))
    both, first = np.array([True, True]), np.array([True, False])
    book.step(np.ones(2), np.array([False, True]), both, first, {})  # lane 1 ends and is parked
    book.step(np.ones(2), np.array([False, False]), first, first, {})
    book.step(np.ones(2), np.array([True, False]), first, both, {})  # lane 0 ends, the world begins again for both
    result = book.take()
    assert result.length.tolist() == [1, 3]
    assert result.total_return.tolist() == [1.0, 3.0]
    assert book.watermark == 3


@pytest.mark.parametrize("name", ["CartPole-v1"])
def test_a_gymnasium_environment_of_somebody_else(name: str) -> None:
    env = gymnasium.make_vec(
        name, 4, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}
    )
    algo = AlgoConfig(hidden_dims=(8,))
    shapes = parameter_shapes(4, 2, algo)
    weights = PolicySnapshot(1, 0, tuple(shapes), tuple(np.ones(s, np.float32) for s in shapes.values()))
    ears = Ears(weights)
    worker = RolloutWorker(
        worker=0, life=0, env=env, policy=Policy(4, 2, algo), algo=algo, rollout=RolloutConfig(steps_per_fragment=50),
        seed=1, first_world=0, num_lanes_total=4, gate_ladder_frac=0.5, assignments=ears, sink=ears, weights=ears,
    )  # fmt: skip
    for _ in range(4):
        worker.collect()
    returns = np.concatenate([r.task_return for r in ears.results])
    assert len(returns) > 10
    np.testing.assert_array_equal(returns, np.concatenate([r.length for r in ears.results]))
    assert set(np.concatenate([r.outcome for r in ears.results])) == {Outcome.NONE}
