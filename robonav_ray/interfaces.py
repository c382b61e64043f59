"""The arrows of the drawing, one Protocol each.

Rooms never import each other: they meet here, and ``runtime/`` introduces them by passing handles. Every protocol has a
plain implementation (same process) and a Ray one (``*/remote.py``); the contract tests run the same suite on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from robonav_ray.commands import Answer, CommandBatch
from robonav_ray.records import (
    Assignment,
    EpisodeFacts,
    EpisodeResults,
    Fragment,
    Metrics,
    PolicySnapshot,
    ReplaySample,
)


@runtime_checkable
class AssignmentSource(Protocol):
    """curriculum <-> rollout."""

    def next_assignment(self, worker: int) -> Assignment:
        """Return what ``worker`` shall practise now. Does not block on other workers."""
        ...

    def report(self, results: EpisodeResults) -> None:
        """Hand over finished episodes (possibly none: the watermark alone moves the gate on)."""
        ...


@runtime_checkable
class TransitionSink(Protocol):
    """rollout -> replay."""

    def insert(self, fragment: Fragment) -> None:
        """Store the fragment once, however often it is retried. Waits while rollouts are too far ahead of the
        learner.
        """
        ...


@runtime_checkable
class BatchSource(Protocol):
    """replay -> learner."""

    def sample(self, batch_size: int, num_batches: int) -> list[ReplaySample] | None:
        """Return ``num_batches`` batches of ``batch_size`` rows drawn from all shards.

        Waits while the replay is too empty or the learner too far ahead, but never for long: None means "not yet", and
        the caller looks at its commands before it asks again.
        """
        ...

    def set_learner_step(self, step: int) -> None:
        """Say which learner step the next batch is for; told before every draw.

        So what depends on the step goes on after a restart, a resume or a ``load``.
        """
        ...

    @property
    def importance_exponent(self) -> float:
        """Exponent of the importance weights of the next batch, beta of the PER paper."""
        ...


@runtime_checkable
class Closes(Protocol):
    """Holds something (a thread, reservations) that its user gives back at the end."""

    def close(self) -> None:
        """Give it back; a second call does nothing."""
        ...


class RankSource(BatchSource, Closes, Protocol):
    """The BatchSource of one learner rank, which may draw ahead in a thread of its own."""


@runtime_checkable
class PrioritySink(Protocol):
    """learner -> replay."""

    def update_priorities(self, item_id: np.ndarray, priority: np.ndarray) -> int:
        """Set the priorities (B,) float32, |td_error| before the exponent, of the items (B,) int64.

        Returns how many updates were dropped because the item had been overwritten. A remote implementation answers at
        once and returns the number that has become known since the last call.
        """
        ...


@runtime_checkable
class WeightSink(Protocol):
    """learner -> weights."""

    def publish(self, snapshot: PolicySnapshot) -> None:
        """Make the snapshot the newest; ValueError when its version does not rise."""
        ...


@runtime_checkable
class WeightSource(Protocol):
    """weights -> rollout, evaluation."""

    def newer_than(self, version: int) -> PolicySnapshot | None:
        """Return the newest snapshot if its version is greater than ``version``, else None. Does not block.

        A remote implementation may answer from an earlier question, of which there is none before the first call.
        """
        ...

    def wait_newer_than(self, version: int) -> PolicySnapshot | None:
        """As ``newer_than`` at this very moment, at the price of a round trip; for those that have no policy yet."""
        ...


class WeightExchange(WeightSink, WeightSource, Protocol):
    """Both ends of the weights in one: a learner that takes up its work asks for the newest version, then publishes."""


@runtime_checkable
class PolicyPool(Protocol):
    """league -> rollout, evaluation: the weights of its members."""

    def snapshot(self, member: str) -> PolicySnapshot | None:
        """Return the weights of ``member``, the same ones always; None where they are missing or damaged."""
        ...


@runtime_checkable
class CommandChannel(Protocol):
    """learner <-> runtime."""

    def exchange(self, metrics: Metrics) -> CommandBatch:
        """Hand over the newest metrics and take the commands that wait. Never blocks for long."""
        ...

    def reply(self, command_id: int, answer: Answer) -> None:
        """Answer a command; ``Refused`` when it failed."""
        ...


@runtime_checkable
class TellsEpisodes(Protocol):
    """worlds -> rollout, evaluation: a vector environment that says itself how its episodes ended."""

    def episode_facts(self, infos: Mapping[str, Any], ended: np.ndarray) -> EpisodeFacts:
        """Return what is known of the episodes ``ended`` (L,) bool, at least one, in the step that returned
        ``infos``.
        """
        ...


@runtime_checkable
class HasLevels(Protocol):
    """curriculum -> worlds: an environment that can be told which level to run."""

    def set_level(self, level: int) -> None:
        """From its next reset on, run ``level``; running episodes finish under their old one."""
        ...


@runtime_checkable
class HasDrivers(Protocol):
    """rollout, evaluation -> worlds: an environment that drives robots itself, so that others meet them."""

    def set_drivers(self, driver: np.ndarray) -> None:
        """From now on let ``driver`` (L,) int8 drive each robot: 0 the action that is given, 1 ORCA, 2 social force, 3
        straight to its goal without reacting, 4 standing, 5 the action that is given, as an obstacle without a goal.
        """
        ...


@runtime_checkable
class ParksLanes(Protocol):
    """worlds -> rollout: a vector environment in which a robot that has ended waits for the others of its world."""

    def waiting(self) -> np.ndarray | None:
        """Return (L,) bool: lanes that take no part in the next step; None where no robot waits for another."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """worlds -> a run's checkpoint: an environment that goes on bit for bit from what it saved."""

    def state_dict(self) -> dict[str, Any]:
        """Return arrays and scalars from which ``load_state_dict`` goes on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned; ValueError, and nothing changed, for anything else."""
        ...


StepInfo = Mapping[str, np.ndarray]
"""What the environment told about each of B steps beside the goals: name -> (B,) array."""


@runtime_checkable
class GoalFunctions(Protocol):
    """worlds -> hindsight in rollout: pure and vectorised over (achieved, desired), each (B, goal_dim) float32.

    ``achieved_goal`` is what was achieved *after* the step that is judged; ``info`` tells what else counts in it and
    has nothing to do with the goal (a collision).
    """

    columns: np.ndarray
    """(F,) int64: where ``goal_features`` stand in a flat observation."""

    def reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: StepInfo | None = None) -> np.ndarray:
        """Return the (B,) float32 reward."""
        ...

    def terminated(
        self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: StepInfo | None = None
    ) -> np.ndarray:
        """Return (B,) bool."""
        ...

    def goal_features(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """Return the goal-dependent part of the observation, (B, F) float32."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """runtime -> disk and dashboards."""

    def log(self, metrics: Metrics, step: int) -> None:
        """Record metrics at ``step`` (env steps so far)."""
        ...

    def save(self, path: Path) -> None:
        """Keep a file with the run (a picture, a report)."""
        ...

    def close(self) -> None:
        """Flush and end; further calls raise RuntimeError, but for another ``close``, which does nothing."""
        ...
