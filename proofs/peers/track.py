"""What all learners share: the stage's worlds, the greedy evaluation on held-out ones, and a clock that stops for
it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from gymnasium.vector import VectorEnv

from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.evaluation.episodes import evaluate_policy
from robonav_ray.records import Outcome
from robonav_ray.worlds.make import make_vector_env

Act = Callable[[np.ndarray], np.ndarray]
POINTS = "points.jsonl"
_FIRST_S, _GROWTH = 8.0, 1.05


@dataclass(frozen=True)
class Point:
    """One greedy evaluation during training."""

    seconds: float
    """Since the process started; time spent on evaluating is not counted."""
    env_steps: int
    updates: int
    success: float


@dataclass(frozen=True)
class Task:
    """What a learner is asked for."""

    stage: int
    seed: int
    target: float
    """Success rate at which it may stop."""
    limit_s: float
    num_episodes: int
    output: Path

    @property
    def config(self) -> RunConfig:
        """The run config whose worlds, reward, network size and discount all learners share."""
        return load_run_config(None, (f"seed={self.seed}",))

    def held_out_success(self, act: Act) -> float:
        """Return the success rate of greedy episodes on the stage's held-out worlds, the same for every learner."""
        config = self.config
        levels = tuple(stage.level for stage in config.curriculum.stages)
        seed = seed_for(config.evaluation.seed, ROLE_EVALUATION, self.stage)

        def make(first: int, count: int) -> VectorEnv[Any, Any, Any]:
            env = make_vector_env(
                config.env, levels, num_envs=count, first_world=first, seed=seed, gamma=config.algo.gamma
            )
            env.set_level(self.stage)  # type: ignore[attr-defined]
            return env

        table = evaluate_policy(act, make, self.num_episodes, num_worlds=256, max_steps=levels[self.stage].max_steps)
        return float((table.outcome == Outcome.SUCCESS).mean())


class Track:
    """Writes a point whenever an evaluation is due; says when to stop."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._began = psutil.Process().create_time()
        self._away_s, self._due_s = 0.0, _FIRST_S
        task.output.mkdir(parents=True, exist_ok=True)
        (task.output / POINTS).write_text("", encoding="utf-8")

    @property
    def seconds(self) -> float:
        """Seconds since the process started, evaluations not counted."""
        return time.time() - self._began - self._away_s

    def is_over(self, env_steps: int, updates: int, act: Act) -> bool:
        """Evaluate when that is due (8 s after the start, then ever 5 % later); return whether target or limit is
        reached.
        """
        seconds = self.seconds
        if seconds < self._due_s and seconds < self._task.limit_s:
            return False
        start = time.time()
        point = Point(round(seconds, 2), env_steps, updates, self._task.held_out_success(act))
        write_point(self._task.output, point)
        self._away_s += time.time() - start
        self._due_s = max(seconds * _GROWTH, seconds + _FIRST_S / 4)
        return point.success >= self._task.target or seconds >= self._task.limit_s


def write_point(output: Path, point: Point) -> None:
    """Append one line."""
    with (output / POINTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(point)) + "\n")


def read_points(output: Path) -> list[Point]:
    """Return the points of a learner that has run."""
    return [Point(**json.loads(line)) for line in (output / POINTS).read_text(encoding="utf-8").splitlines()]


def parse_task(doc: str | None) -> Task:
    """Read a task from the command line."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--stage", type=int, required=True, help="index of the stage, from 0")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--target", type=float, required=True)
    parser.add_argument("--limit-s", type=float, required=True)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    return Task(args.stage, args.seed, args.target, args.limit_s, args.episodes, args.output)
