"""Episodes of one planner on worlds of the last stage, and a file to which the results are appended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config import RunConfig
from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.evaluation.episodes import evaluate_policy
from robonav_ray.planners.base import find_planner, make_planner
from robonav_ray.records import Outcome
from robonav_ray.worlds.vector_env import NavVectorEnv

STAGE = -1
"""The last stage of the default curriculum: full_challenge."""
HELD_OUT_SEED = RunConfig().evaluation.seed
"""Of the worlds on which planners are judged, and policies too."""


@dataclass(frozen=True)
class Trial:
    """The results of one planner with one set of settings."""

    planner: str
    settings: dict[str, Any]
    """All of them."""
    seed: int
    episodes: int
    success: float
    collision: float
    timeout: float
    time_s: float
    """Mean time of the episodes that were won; NaN when none was."""
    decision_ms: float
    """Per robot and decision, one core, all worlds of a batch at once."""


class _Clocked:
    """Acts in the environment that was made last, and adds up how long that takes."""

    def __init__(self, name: str, settings: dict[str, Any], world: WorldConfig, level: LevelConfig, seed: int) -> None:
        self._name, self._settings, self._world, self._level, self._seed = name, settings, world, level, seed
        self.seconds, self.decisions = 0.0, 0

    def make_env(self, first_world: int, num_worlds: int) -> NavVectorEnv:
        env = NavVectorEnv(
            num_worlds, world=self._world, levels=(self._level,), seed=self._seed, first_world=first_world, copy=False
        )
        self._planner = make_planner(self._name, env.worlds, **self._settings)
        self._planner.act(np.zeros((env.num_envs, env.worlds.obs_dim), np.float32))  # compiled before the clock runs
        self._planner = make_planner(self._name, env.worlds, **self._settings)
        return env

    def act(self, obs: np.ndarray) -> np.ndarray:
        begin = time.perf_counter()
        action = self._planner.act(obs)
        self.seconds += time.perf_counter() - begin
        self.decisions += len(action)
        return action


def try_planner(name: str, settings: dict[str, Any], episodes: int, seed: int, world: WorldConfig) -> Trial:
    """Play the first episode of ``episodes`` worlds under ``seed``; ``name`` as ``make_planner`` takes it."""
    level = CurriculumConfig().stages[STAGE].level
    clocked = _Clocked(name, settings, world, level, seed)
    table = evaluate_policy(clocked.act, clocked.make_env, episodes, num_worlds=256)
    won = table.outcome == Outcome.SUCCESS
    spec, found = find_planner(name)
    return Trial(
        planner=name,
        settings={**spec.defaults, **found, **settings},
        seed=seed,
        episodes=episodes,
        success=float(won.mean()),
        collision=float(((table.outcome != Outcome.SUCCESS) & (table.outcome != Outcome.TIMEOUT)).mean()),
        timeout=float((table.outcome == Outcome.TIMEOUT).mean()),
        time_s=float(table.length[won].mean() * world.dt_s) if won.any() else float("nan"),
        decision_ms=1e3 * clocked.seconds / max(clocked.decisions, 1),
    )


def append_trial(path: Path, trial: Trial) -> None:
    """Add one line to the results file, so that a study that is broken off goes on from there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(trial)) + "\n")


def read_trials(path: Path) -> Iterator[Trial]:
    """Yield what the results file holds; nothing when there is none."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield Trial(**json.loads(line))
