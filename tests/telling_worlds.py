"""Worlds whose observations say where they come from, and what a worker needs around it to be run alone."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from robonav_ray.algo.policy import Policy, parameter_shapes
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.rollout import RolloutConfig
from robonav_ray.records import Assignment, EpisodeFacts, EpisodeResults, Fragment, Outcome, PolicySnapshot
from robonav_ray.rollout.partners import PartnersTask
from robonav_ray.rollout.worker import RolloutWorker

OBS_DIM, NUM_ACTIONS = 6, 4
ALGO = AlgoConfig(hidden_dims=(16,), n_step=3, gamma=0.9, reward_scale=0.5)


class TellingEnv(VectorEnv[Any, Any, Any]):
    """obs = (world, episode, step in the episode, last action, level, 1); world w's episodes last 3 + w % 5 steps.

    Even episodes end by termination, odd ones by truncation; the reward is the step's number. A world that ended waits
    for the others of its team of ``robots`` as our robots do for those of their world: it is parked, and all begin
    again together. A lane that is driven is as if its action were 100 + the driver's number.
    """

    def __init__(self, first_world: int, num_envs: int, robots: int = 1) -> None:
        self.num_envs, self.robots = num_envs, robots
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBS_DIM,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)
        self.world = np.arange(first_world, first_world + num_envs)
        self.episode = np.zeros(num_envs, np.int64)
        self.t = np.zeros(num_envs, np.int64)
        self.level = np.zeros(num_envs, np.int64)
        self.waits = np.zeros(num_envs, bool)
        self.next_level = 0
        self.driver = np.zeros(num_envs, np.int8)

    def set_level(self, level: int) -> None:
        self.next_level = level

    def set_drivers(self, driver: np.ndarray) -> None:
        self.driver[:] = driver

    def waiting(self) -> np.ndarray | None:
        return self.waits.copy() if self.robots > 1 else None

    def _obs(self, action: np.ndarray) -> np.ndarray:
        ones = np.ones(self.num_envs)
        return np.stack([self.world, self.episode, self.t, action, self.level, ones], axis=1).astype(np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.level[:] = self.next_level
        return self._obs(np.zeros(self.num_envs)), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        parked = self.waits.copy()
        actions = np.where(self.driver > 0, 100 + self.driver, actions)
        self.t += ~parked
        reward = np.where(parked, 0, self.t).astype(np.float32)
        obs = self._obs(actions)
        ended = ~parked & (self.t == 3 + self.world % 5)
        terminated, truncated = ended & (self.episode % 2 == 0), ended & (self.episode % 2 == 1)
        info: dict[str, Any] = {"parked": parked}
        if ended.any():
            info["final_obs"], info["_final_obs"] = obs.copy(), ended
            outcome = np.where(terminated, Outcome.SUCCESS, Outcome.TIMEOUT).astype(np.int8)
            info["final_info"] = {"outcome": outcome, "task_return": np.full(self.num_envs, 7.0, np.float32)}
            self.waits |= ended
            again = np.repeat(self.waits.reshape(-1, self.robots).all(axis=1), self.robots)
            self.episode[again] += 1
            self.t[again], self.waits[again] = 0, False
            self.level[again] = self.next_level
            obs[again] = self._obs(np.zeros(self.num_envs))[again]
        return obs, reward, terminated, truncated, info

    def episode_facts(self, infos: dict[str, Any], ended: np.ndarray) -> EpisodeFacts:
        return EpisodeFacts(infos["final_info"])

    def state_dict(self) -> dict[str, np.ndarray]:
        return {k: getattr(self, k).copy() for k in ("episode", "t", "level", "waits", "driver")}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        for k, v in state.items():
            getattr(self, k)[:] = v


class Ears:
    """Assignments, sink and weights in one: keeps what it hears."""

    def __init__(self, snapshot: PolicySnapshot | None = None) -> None:
        self.assignment = Assignment(stage=0, epsilon=0.5, clock=0, serial=0)
        self.fragments: list[Fragment] = []
        self.results: list[EpisodeResults] = []
        self.snapshot = snapshot

    def next_assignment(self, worker: int) -> Assignment:
        return self.assignment

    def report(self, results: EpisodeResults) -> None:
        self.results.append(results)

    def insert(self, fragment: Fragment) -> None:
        self.fragments.append(fragment)

    def newer_than(self, version: int) -> PolicySnapshot | None:
        return self.snapshot if self.snapshot and self.snapshot.version > version else None

    wait_newer_than = newer_than


def snapshot(seed: int = 0, version: int = 1) -> PolicySnapshot:
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(OBS_DIM, NUM_ACTIONS, ALGO)
    return PolicySnapshot(
        version, 0, tuple(shapes), tuple(rng.standard_normal(s).astype(np.float32) for s in shapes.values())
    )


def make(
    ears: Ears,
    first: int = 0,
    num: int = 8,
    total: int = 8,
    steps: int = 5,
    worker: int = 0,
    robots: int = 1,
    partners: PartnersTask | None = None,
) -> RolloutWorker:
    return RolloutWorker(
        worker=worker, life=0, env=TellingEnv(first, num, robots), policy=Policy(OBS_DIM, NUM_ACTIONS, ALGO), algo=ALGO,
        rollout=RolloutConfig(steps_per_fragment=steps), seed=3, first_world=first, num_lanes_total=total,
        gate_ladder_frac=0.5, assignments=ears, sink=ears, weights=ears,
        partners=partners,
    )  # fmt: skip


def rows_of(ears: Ears) -> dict[str, np.ndarray]:
    names = ("obs", "action", "reward", "next_obs", "discount", "policy_version")
    return {n: np.concatenate([f.columns[i] for f in ears.fragments]) for i, n in enumerate(names)}
