"""The curriculum for a training loop of one's own: one environment, one episode after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

import robonav_ray.worlds  # noqa: F401  (registers the environment that the configs are for)
from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.league import check_partner_gates
from robonav_ray.config.load import ConfigError
from robonav_ray.config.worlds import WorldConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.ranges import MAX_COUNT, count
from robonav_ray.records import EpisodeResults, Outcome
from robonav_ray.runs.progress import CurriculumProgress, write_progress
from robonav_ray.screen import plain_screen
from robonav_ray.text import visible

_ALONE = 0
"""The one worker that there is."""


class CurriculumLearningSystem:
    """The same curriculum that a run uses (``curriculum.Curriculum``), reported to by hand.

    ::

        curriculum = CurriculumLearningSystem()
        env = gymnasium.make("robonav_ray/Nav-v0", **curriculum.get_current_env_config())
        ...                                                     # one episode, acting with get_current_epsilon()
        if curriculum.update(episode, reward, success, collisions):
            env = gymnasium.make("robonav_ray/Nav-v0", **curriculum.get_current_env_config())
    """

    def __init__(self, config: CurriculumConfig | None = None, world: WorldConfig | None = None) -> None:
        """Begin with the first stage of ``config`` (None: the four of a run); ``world`` is what all stages share (None:
        the default).

        Raises:
            ConfigError: For a gate that asks how snapshots do beside partners: there is no league here.
        """
        try:
            check_partner_gates(config or CurriculumConfig(), None, 1)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self._curriculum = Curriculum(config or CurriculumConfig())
        self._world = world
        self._clock = self._curriculum.next_assignment(_ALONE).clock
        self._last_episode: int | None = None

    @property
    def stage(self) -> int:
        """Index of the current stage, from 0."""
        return self._curriculum.assignment_of(_ALONE).stage

    @property
    def passed(self) -> bool:
        """Whether the gate of the last stage has opened."""
        return self._curriculum.passed

    @property
    def progress(self) -> CurriculumProgress:
        """Where the curriculum stands: the window, totals per stage, every transition."""
        return self._curriculum.progress()

    def get_current_env_config(self) -> dict[str, Any]:
        """Return the keyword arguments of ``gymnasium.make("robonav_ray/Nav-v0", ...)`` for the current stage, as plain
        data.
        """
        config: dict[str, Any] = {"levels": self._curriculum.stages[self.stage].level.model_dump()}
        if self._world is not None:
            config["world"] = self._world.model_dump()
        return config

    def get_current_epsilon(self) -> float:
        """Return the stage's epsilon now."""
        return self._curriculum.epsilon

    def update(self, episode: int, reward: float, success: bool, collisions: float, env_steps: int = 0) -> bool:
        """Report a finished episode; return whether it opened the stage's gate (the next stage has begun, or the last
        is passed).

        Args:
            episode: Its number; must rise, so that nothing is reported twice.
            reward: What the gate's ``min_return`` is held against: the sum of the task's rewards.
            success: Whether the goals were reached.
            collisions: Collisions in it; without success, one or more make it an episode that ended in a collision.
            env_steps: Its length, for totals and for epsilons that fall with env steps.

        Raises:
            ValueError: When the number does not rise, or a figure is not finite.
        """
        if self._last_episode is not None and episode <= self._last_episode:
            raise ValueError(
                f"episode {episode} was reported after {self._last_episode}: call update once, at the end of each "
                "episode"
            )
        if not np.isfinite(reward) or not collisions >= 0 or env_steps < 0:
            raise ValueError(
                f"reward ({reward}) must be finite, collisions ({collisions}) and env_steps ({env_steps}) not negative"
            )
        self._last_episode = episode
        outcome = Outcome.SUCCESS if success else Outcome.COLLISION_STATIC if collisions > 0 else Outcome.TIMEOUT
        before = len(self.progress.transitions)
        self._curriculum.report(self._results(outcome, reward, env_steps))
        assignment = self._curriculum.next_assignment(_ALONE)
        climbed = len(self.progress.transitions) > before
        self._clock = assignment.clock if climbed else self._clock + 1
        return climbed

    def force_stage(self, stage: int | None) -> None:
        """Go to ``stage`` and stay there; None lets the gates decide again. ValueError when there is no such stage."""
        before = self.stage
        self._curriculum.force(stage)
        if self.stage != before:
            self._clock = self._curriculum.next_assignment(_ALONE).clock

    def print_progress(self, console: Console | None = None) -> None:
        """Print a few lines: the stages, and how each was left."""
        (console or plain_screen()).print(Text(visible(self.progress.summary_text())))

    def save_progress(self, path: str | Path) -> None:
        """Write the progress as JSON, for people and plots; ``state_dict`` is what to go on from."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_progress(self.progress, path)

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as JSON takes it."""
        return {"curriculum": self._curriculum.state_dict(), "clock": self._clock, "last_episode": self._last_episode}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ValueError, and nothing changed, when it is of other stages."""
        if set(state) != {"curriculum", "clock", "last_episode"}:
            raise ValueError(f"expected the keys curriculum, clock and last_episode, got {sorted(state)}")
        count().check("clock", state["clock"])
        if state["last_episode"] is not None:
            count(low=-MAX_COUNT).check("last_episode", state["last_episode"])
        self._curriculum.load_state_dict(state["curriculum"])
        self._clock, self._last_episode = state["clock"], state["last_episode"]

    def _results(self, outcome: Outcome, reward: float, env_steps: int) -> EpisodeResults:
        def one(value: float, dtype: str) -> np.ndarray:
            return np.array([value], dtype=dtype)

        return EpisodeResults(
            worker=_ALONE,
            stage=one(self.stage, "int32"),
            world=one(0, "int32"),
            started_at=one(self._clock, "int64"),
            length=one(env_steps, "int32"),
            outcome=one(outcome, "int8"),
            task_return=one(reward, "float32"),
            total_return=one(reward, "float32"),
            goals_reached=one(0, "int32"),
            path_length_m=one(0.0, "float32"),
            shortest_path_length_m=one(0.0, "float32"),
            min_clearance_m=one(0.0, "float32"),
            on_gate=one(True, "bool"),
            watermark=self._clock + 1,
            watermark_stage=self.stage,
        )
