"""Episodes of an exam once more, bit for bit, with everything kept that a film or a page shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import Act
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import Scene
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import NavVectorEnv

SIDE_BY_SIDE = 64
"""Episodes that are replayed together, where the entrant's actions do not hang on its neighbours."""


class ReplayError(UserError):
    """An episode came out otherwise than in the exam; the message says what differs."""


class Plays(Protocol):
    """Who replays."""

    def act_for(self, env: NavVectorEnv) -> Act:
        """Return what acts in ``env``, which has not been reset yet."""
        ...


class Worlds(Protocol):
    """Where."""

    def make_env(self, first_world: int, num_worlds: int) -> NavVectorEnv:
        """Return worlds that stay as they are when an episode has ended."""
        ...


Ending = tuple[Outcome, int, float]
"""How an episode ended, after how many steps, and how far was driven, m."""
QValues = Callable[[np.ndarray], np.ndarray]
"""obs (N, D) float32 -> value of each action (N, A) float32."""


@dataclass
class Recording:
    """One episode of one robot; T steps give T + 1 moments."""

    world: int
    """Index of the world (of the lane, with several robots in a world)."""
    robot: int
    """Which of the world's robots it is about."""
    dt_s: float
    max_steps: int
    outcome: Outcome = Outcome.NONE
    path_length_m: float = 0.0
    scenes: list[Scene] = field(default_factory=list)
    q_values: list[np.ndarray] = field(default_factory=list)
    """(A,) float32 of each step's decision; empty where the entrant has none."""
    actions: list[np.ndarray] = field(default_factory=list)
    """() int or (2,) float32 of each step."""
    action_table: np.ndarray | None = None
    """(A, 2) float32: what each action asks for; None where actions are continuous."""

    @property
    def num_steps(self) -> int:
        """Env steps."""
        return len(self.scenes) - 1


def replay(
    entrant: Plays,
    seat: Worlds,
    lanes: Sequence[int],
    *,
    cut_off_after: int,
    q_values: QValues | None = None,
    batch: int | None = None,
    num_worlds: int | None = None,
) -> list[Recording]:
    """Return the first episodes of ``lanes`` (indices as in an exam's table), in that order.

    Args:
        entrant: Who acts.
        seat: Makes the worlds of the exam.
        lanes: Which.
        cut_off_after: Steps after which an episode is left as it stands.
        q_values: What the entrant thinks of each action, where it can be asked.
        batch: Worlds side by side in the exam: they are played as they were there, with their neighbours, for an
            entrant whose actions may hang on them. None plays the episodes alone, many at once: the same bits where
            a row's action hangs on its own observations only.
        num_worlds: Worlds of the exam in all, where ``batch`` is given: its last batch may have been a smaller one.
    """
    found: dict[int, Recording] = {}
    probe = seat.make_env(0, 1)
    robots = probe.num_robots
    probe.close()
    worlds = sorted({lane // robots for lane in lanes})
    if batch is None:
        parts = [worlds[i : i + SIDE_BY_SIDE] for i in range(0, len(worlds), SIDE_BY_SIDE)]
    else:
        end = worlds[-1] + batch if num_worlds is None else num_worlds
        firsts = sorted({world - world % batch for world in worlds})
        parts = [list(range(first, min(first + batch, end))) for first in firsts]
    for part in parts:
        env = seat.make_env(part[0], len(part))
        try:
            act = entrant.act_for(env)
            wanted = {
                (part.index(lane // robots) * robots + lane % robots): lane for lane in lanes if lane // robots in part
            }
            found |= _play(env, act, np.array(part), wanted, cut_off_after, q_values)
        finally:
            env.close()
    return [found[lane] for lane in lanes]


def _play(
    env: NavVectorEnv, act: Act, index: np.ndarray, wanted: dict[int, int], cut_off_after: int, q_values: QValues | None
) -> dict[int, Recording]:
    worlds, robots = env.worlds, env.num_robots
    obs, _ = env.reset()
    if (index != np.arange(index[0], index[0] + len(index))).any():
        worlds.choose(index)
        obs, _ = env.reset()
    level = worlds.levels[int(worlds.level[0])]
    kept = {
        i: Recording(lane, i % robots, worlds.config.dt_s, level.max_steps, action_table=worlds.action_table)
        for i, lane in wanted.items()
    }
    for i, recording in kept.items():
        recording.scenes.append(worlds.scene(i // robots))
    running = dict(kept)
    while running:
        rows = np.array(list(running))
        action = act(obs)
        values = None if q_values is None else q_values(obs[rows])
        for k, (i, recording) in enumerate(running.items()):
            recording.actions.append(np.array(action[i]))
            if values is not None:
                recording.q_values.append(values[k])
        obs, *_ = env.step(action)
        for i, recording in list(running.items()):
            recording.scenes.append(worlds.scene(i // robots))
            outcome = int(worlds.state.lane[i // robots, i % robots, lay.OUTCOME])
            if outcome != Outcome.NONE or recording.num_steps >= cut_off_after:
                recording.outcome = Outcome(outcome) if outcome != Outcome.NONE else Outcome.CUT_OFF
                recording.path_length_m = float(worlds.state.tally[i // robots, i % robots, lay.T_PATH])
                del running[i]
    return {recording.world: recording for recording in kept.values()}


def check_same(recording: Recording, outcome: int, length: int, path_length_m: float, case: str) -> None:
    """Raise ReplayError unless a replayed episode is the one that the exam told of."""
    got = (recording.outcome, recording.num_steps, recording.path_length_m)
    check_ending(got, (Outcome(outcome), length, path_length_m), case)


def check_ending(got: Ending, told: Ending, case: str) -> None:
    """Raise ReplayError unless what came of an episode is what the exam ``told`` of it."""
    if told != got:
        words = [f"{o.name.lower()} after {n} steps and {p:.6f} m" for o, n, p in (told, got)]
        raise ReplayError(
            f"{case}: ended with {words[0]} in the exam and with {words[1]} here; the entrant, the worlds or the "
            "program have changed, or it does not decide twice alike"
        )
