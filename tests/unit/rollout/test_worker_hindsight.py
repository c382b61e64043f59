"""Hindsight in the worker: rows that say where they come from, bounded fragments, splitting worlds, going on with the
same bits."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.hindsight import HindsightConfig
from robonav_ray.config.rollout import RolloutConfig
from robonav_ray.records import Assignment, EpisodeFacts, EpisodeResults, Fragment
from robonav_ray.rollout.recording import HindsightTask
from robonav_ray.rollout.worker import RolloutWorker

GAMMA = 0.5


class TellingGoals:
    """A goal is (world, episode, step); it is reached where all three are equal, which pays 1; every other step costs
    .25."""

    columns = np.arange(3, 6)

    def reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any = None) -> np.ndarray:
        assert (info["told"] == achieved_goal[:, 2]).all(), "the info is of another step than the goal"
        quiet = info.get("quiet", np.zeros(len(achieved_goal)))
        assert ((quiet == 0) | (quiet == achieved_goal[:, 1] + 1)).all(), "the info is of another episode"
        return np.where(self.terminated(achieved_goal, desired_goal), np.float32(1), np.float32(-0.25))

    def terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any = None) -> np.ndarray:
        return (achieved_goal == desired_goal).all(axis=1)

    def goal_features(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        return desired_goal


class TellingEnv(VectorEnv[Any, Any, Any]):
    """obs = (world, episode, step, goal...) with a goal that is never reached; world w's episodes last ``shortest + w %
    5`` steps.

    A world that ended waits for the others of its team of ``robots``, as our robots do for those of their world.
    """

    def __init__(self, first_world: int, num_envs: int, shortest: int = 3, robots: int = 1) -> None:
        self.num_envs, self.shortest, self.robots = num_envs, shortest, robots
        self.waits = np.zeros(num_envs, bool)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (6,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(4)
        self.world = np.arange(first_world, first_world + num_envs)
        self.episode, self.t = np.zeros((2, num_envs), np.int64)

    @property
    def place(self) -> np.ndarray:
        return np.stack([self.world, self.episode, self.t], axis=1).astype(np.float32)

    def obs(self) -> np.ndarray:
        return np.concatenate([self.place, np.full((self.num_envs, 3), -1.0, np.float32)], axis=1)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        return self.obs(), {"achieved_goal": self.place}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        parked = self.waits.copy()
        self.t += ~parked
        ended = ~parked & (self.t == self.shortest + self.world % 5)
        terminated = ended & (self.episode % 2 == 0)
        infos: dict[str, Any] = {"goal_info": {"told": self.t.astype(np.float32)}, "parked": parked}
        if not ended.any():  # what is told of some steps only
            infos["goal_info"]["quiet"] = self.episode + 1
        else:
            last = np.where(ended[:, None], self.obs(), np.float32(np.nan))  # of the others it says nothing
            infos |= {"final_obs": last, "_final_obs": ended, "final_achieved_goal": last[:, :3]}
            self.waits |= ended
            again = np.repeat(self.waits.reshape(-1, self.robots).all(axis=1), self.robots)
            self.episode[again] += 1
            self.t[again], self.waits[again] = 0, False
        infos["achieved_goal"] = self.place
        return self.obs(), np.full(self.num_envs, -0.25, np.float32), terminated, ended & ~terminated, infos

    def waiting(self) -> np.ndarray | None:
        return self.waits.copy() if self.robots > 1 else None

    def episode_facts(self, infos: dict[str, Any], ended: np.ndarray) -> EpisodeFacts:
        return EpisodeFacts()

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"episode": self.episode.copy(), "t": self.t.copy(), "waits": self.waits.copy()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        self.episode[:], self.t[:], self.waits[:] = state["episode"], state["t"], state["waits"]


class Ears:
    """Assignments, sink and weights in one: keeps the fragments."""

    def __init__(self) -> None:
        self.fragments: list[Fragment] = []

    def next_assignment(self, worker: int) -> Assignment:
        return Assignment(stage=0, epsilon=0.5, clock=0, serial=0)

    def report(self, results: EpisodeResults) -> None:
        pass

    def insert(self, fragment: Fragment) -> None:
        self.fragments.append(fragment)

    def newer_than(self, version: int) -> None:
        return None


def make(ears: Ears, first: int = 0, num: int = 6, n_step: int = 3, steps: int = 5, shortest: int = 3,
         computed: bool = False, robots: int = 1, **hindsight: Any) -> RolloutWorker:  # fmt: skip
    algo = AlgoConfig(hidden_dims=(8,), n_step=n_step, gamma=GAMMA, reward_scale=1.0)
    config = HindsightConfig(**{"strategy": "future", "num_goals": 3} | hindsight)
    return RolloutWorker(
        worker=first, life=0, env=TellingEnv(first, num, shortest, robots), policy=Policy(6, 4, algo), algo=algo,
        rollout=RolloutConfig(steps_per_fragment=steps), seed=3, first_world=first, num_lanes_total=6,
        gate_ladder_frac=0.5, assignments=ears, sink=ears, weights=ears,
        hindsight=HindsightTask(TellingGoals(), config, computed),
    )  # fmt: skip


def relabelled(fragments: list[Fragment]) -> tuple[np.ndarray, ...]:
    """Return the columns of the relabelled rows, and their priorities, in a canonical order."""
    columns = [np.concatenate([f.columns[i] for f in fragments]) for i in range(6)]
    columns.append(np.concatenate([f.priority for f in fragments]))
    mine = columns[0][:, 3] >= 0
    columns = [column[mine] for column in columns]
    order = np.lexsort(tuple(columns[0].T))
    return tuple(column[order] for column in columns)


@pytest.mark.parametrize("robots", [1, 3])
@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize("strategy", ["future", "episode", "final"])
def test_every_relabelled_row_is_a_window_of_its_episode(n_step: int, strategy: str, robots: int) -> None:
    ears = Ears()
    worker = make(ears, n_step=n_step, strategy=strategy, robots=robots, num_goals=4 if strategy == "final" else 3)
    for _ in range(40):
        worker.collect()
    obs, _, reward, next_obs, discount, _, priority = relabelled(ears.fragments)
    k = 1 if strategy == "final" else 3
    assert len(obs) > (1000 * k - 200) * (0.7 if robots > 1 else 1)
    begun, given = worker._env.episode, {tuple(key) for key in obs[:, :3].astype(int).tolist()}
    assert {(w, e, 0) for w in range(6) for e in range(begun[w] - 1)} <= given, "the first step of every episode too"
    assert np.isinf(priority).all()
    for o, r, after, d in zip(obs, reward, next_obs, discount, strict=True):
        world, episode, t, *goal = o.astype(int)
        assert goal[:2] == [world, episode]
        length = 3 + world % 5
        assert {"future": t < goal[2] <= length, "episode": 0 < goal[2] <= length, "final": goal[2] == length}[strategy]
        ahead = goal[2] - t if goal[2] > t else 99
        m = min(n_step, length - t, ahead)
        reached = m == ahead
        assert after.astype(int).tolist() == [world, episode, t + m, *goal]
        assert abs(r - sum(GAMMA**i * (1.0 if i + 1 == ahead else -0.25) for i in range(m))) < 1e-6
        assert d == (0.0 if reached else GAMMA**m)


def test_every_step_of_an_ended_episode_gives_k_rows_and_no_fragment_is_too_large() -> None:
    ears = Ears()
    worker = make(ears, shortest=40, steps=4)  # episodes are ten times as long as fragments
    for _ in range(200):
        worker.collect()
        assert worker._recording.hindsight is not None
        assert worker._recording.hindsight.num_waiting <= 3 * 2 * 6 * 44
    assert max(f.num_rows for f in ears.fragments) <= 6 * (4 + 3) * (1 + 3)
    obs = relabelled(ears.fragments)[0]
    step, count = np.unique(obs[:, :3], axis=0, return_counts=True)
    assert len(step) > 4000
    assert (count == 3).sum() >= len(count) - 1, "only the step at which room ran out may be incomplete"


def test_a_long_episode_is_relabelled_in_pieces() -> None:
    ears = Ears()
    worker = make(ears, shortest=100, max_segment=16)
    for _ in range(60):
        worker.collect()
    obs, _, _, next_obs, *_ = relabelled(ears.fragments)
    assert len(obs) > 4000
    piece, goal_piece = (obs[:, 2]) // 16, (obs[:, 5] - 1) // 16
    np.testing.assert_array_equal(piece, goal_piece)
    assert (next_obs[:, 2] > obs[:, 2]).all()
    assert (next_obs[:, 2] <= 16 * (piece + 1)).all()
    np.testing.assert_array_equal(next_obs[:, :2], obs[:, :2])


def test_splitting_the_worlds_changes_no_row() -> None:
    whole, left, right = Ears(), Ears(), Ears()
    for worker in (make(whole), make(left, 0, 4), make(right, 4, 2)):
        for _ in range(30):
            worker.collect()
        assert worker._recording.hindsight is not None
        assert worker._recording.hindsight.num_waiting == 0
    one, two = relabelled(whole.fragments), relabelled(left.fragments + right.fragments)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("shortest", "robots"), [(3, 1), (40, 1), (40, 3)])
def test_a_saved_worker_goes_on_with_the_same_bits(shortest: int, robots: int) -> None:
    ears, later = Ears(), Ears()
    worker = make(ears, shortest=shortest, steps=4, robots=robots)
    for _ in range(23):
        worker.collect()
    state = worker.state_dict()
    again = make(later, shortest=shortest, steps=4, robots=robots)
    again.load_state_dict({name: array.copy() for name, array in state.items()})
    del ears.fragments[:]
    for _ in range(40):
        worker.collect()
        again.collect()
    for one, other in zip(ears.fragments, later.fragments, strict=True):
        for a, b in zip((*one.columns, one.priority), (*other.columns, other.priority), strict=True):
            np.testing.assert_array_equal(a, b)
    assert sum(f.num_rows for f in later.fragments) > 2000


def test_a_state_of_another_hindsight_is_refused() -> None:
    state = make(Ears()).state_dict()
    with pytest.raises(ValueError, match="lanes"):
        make(Ears(), 0, 4).load_state_dict(state)
    without = {name: array for name, array in state.items() if not name.startswith("hindsight_")}
    with pytest.raises(ValueError, match="hindsight is on here"):
        make(Ears()).load_state_dict(without)


def test_computed_priorities_are_td_errors() -> None:
    ears = Ears()
    worker = make(ears, computed=True)
    for _ in range(10):
        worker.collect()
    _, _, reward, _, _, _, priority = relabelled(ears.fragments)
    np.testing.assert_allclose(priority, np.abs(reward), rtol=1e-6)  # an untrained policy is 0 everywhere


@pytest.mark.parametrize("max_segment", [5, 400])
def test_a_resume_may_have_other_pieces(max_segment: int) -> None:
    worker = make(Ears(), shortest=90, max_segment=100)
    while worker.state_dict()["hindsight_length"].max() < 64:
        worker.collect()
    again = make(ears := Ears(), shortest=90, max_segment=max_segment)
    again.load_state_dict(worker.state_dict())
    for _ in range(30):
        again.collect()
    assert sum(f.num_rows for f in ears.fragments) > 500
