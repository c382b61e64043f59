"""Entrants of an exam: policies, planners and functions, all asked for actions in the same way.

::

    runs/NAME, a checkpoint ---> PolicyEntrant  --+
    ensemble:runs/a,runs/b ----> PolicyEntrant  --+
    a bundle ------------------> BundleEntrant   --+
    dwa, orca:default ---------> PlannerEntrant  --+--> act_for(worlds) --> obs (L, D) -> actions
    module:function, SB3 ... --> FunctionEntrant --+

``find_entrants.py`` makes them of what a user names; ``bundle_entrant.py`` and ``ensemble_entrant.py`` have theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robonav_ray.algo.policy import Policy
from robonav_ray.config.worlds import SHOWN_KEYS, LevelConfig, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import Act
from robonav_ray.evaluation.exam_table import EntrantFacts
from robonav_ray.evaluation.placed_worlds import Body
from robonav_ray.planners.base import make_planner
from robonav_ray.planners.commands import PlannerError
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import NavVectorEnv

LIDAR_ONLY, TRUE_STATE = "lidar only", "true state"
DEFAULT_GAMMA = 0.99
"""Discount of shaped rewards where an entrant has none of its own; it changes no episode."""


class EntrantError(UserError):
    """An entrant is not there, does not fit, or failed; the message names it."""


@dataclass(frozen=True)
class Outfit:
    """Sensor and body, as keys of ``env.world``, with what else belongs to what a policy was trained for."""

    robot: Mapping[str, Any]
    lidar: Mapping[str, Any]
    observation: str
    gamma: float = DEFAULT_GAMMA
    levels: tuple[LevelConfig, ...] = ()
    """Stages of the training: a true-state observation has room for the circles of the fullest one."""
    path: Mapping[str, Any] = field(default_factory=dict)
    """As ``lidar``; empty where its observations show no path."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """Those of ``SHOWN_KEYS`` that are not as usual."""

    @classmethod
    def of(cls, world: WorldConfig, gamma: float, levels: tuple[LevelConfig, ...]) -> Outfit:
        """Return those of a run."""
        path = world.path.model_dump() if world.path.num_points else {}
        return cls(
            world.robot.model_dump(),
            world.lidar.model_dump(),
            world.observation,
            gamma,
            levels,
            path,
            world.model_dump(include=set(SHOWN_KEYS), exclude_defaults=True),
        )

    @property
    def keys(self) -> dict[str, Any]:
        """As ``Scenario.worlds`` takes them."""
        path = {"path": dict(self.path)} if self.path else {}
        return {
            "robot": dict(self.robot),
            "lidar": dict(self.lidar),
            "observation": self.observation,
            **path,
            **self.shown,
        }

    @property
    def body(self) -> Body:
        """What of the robot has a part in how worlds are drawn."""
        return Body(float(self.robot["radius_m"]), float(self.robot["max_speed"]))

    @property
    def knows(self) -> str:
        """What an observation shows."""
        return LIDAR_ONLY if self.observation == "lidar" else TRUE_STATE


@dataclass(frozen=True, kw_only=True)
class Acting:
    """What every entrant says of itself; what it does is in ``refusal`` and ``act_for``."""

    facts: EntrantFacts
    outfit: Outfit | None
    """What it was trained with; of a planner or a function that of the first run, so that it senses and drives as
    that does. None takes
    the scenario's."""
    fingerprint: str
    """Changes when what it does may change."""
    placed_for: Body | None = None
    """Body for which worlds are drawn: the first run's; None for its own."""
    trained_with: tuple[int, ...] = ()
    """Seeds of its training where there are several: an ensemble's."""
    needs_scan: bool = False
    """Whether it wants to see a lidar's scan also where its outfit, or the scenario, shows the true state."""
    is_planner: bool = False
    most_episodes: int | None = None
    """Episodes that it plays of a scenario at most, the first ones, because it is slow; None for all."""

    def refusal(self, obs_dim: int, num_actions: int | None) -> str | None:
        """Return why it cannot act on such observations, with so many actions (None: continuous ones); None when it
        can.
        """
        del obs_dim, num_actions
        return None

    def act_for(self, env: NavVectorEnv) -> Act:
        """Return what acts in ``env``, which has not been reset yet; called once for each batch of worlds.

        Raises:
            PlannerError: When it cannot drive such worlds.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PolicyEntrant(Acting):
    """The greedy policy of a run, of one of its checkpoints, or of an ensemble."""

    policy: Policy

    def refusal(self, obs_dim: int, num_actions: int | None) -> str | None:
        """Hold its own numbers against those here; a set of neighbours may be of any size."""
        seen = obs_dim if self.policy.takes(obs_dim) else self.policy.obs_dim
        why = _mismatch((obs_dim, num_actions), (seen, self.policy.num_actions))
        lists = self.outfit is not None and self.outfit.observation != "lidar"
        if why is None or seen == obs_dim or not lists:
            return why
        return f"{why}; where its encoder is deep_set or attention a policy takes any number of neighbours"

    def act_for(self, env: NavVectorEnv) -> Act:
        """Act greedily; lanes that are through are not decided for. What a row decides does not depend on the
        others.
        """
        ended, action = env.worlds.state.lane[:, :, lay.ENDED], np.zeros(env.num_envs, np.int32)

        def act(obs: np.ndarray) -> np.ndarray:
            running = (ended == 0).ravel()
            if running.all():
                return self.policy.greedy(obs)
            action[running] = self.policy.greedy(obs[running])
            return action

        return act


@dataclass(frozen=True, kw_only=True)
class PlannerEntrant(Acting):
    """A planner by name: tuned (``dwa``), or as it comes (``dwa:default``). What it cannot drive it says itself."""

    name: str

    def act_for(self, env: NavVectorEnv) -> Act:
        """Have it plan for these worlds."""
        return make_planner(self.name, env.worlds).act


@dataclass(frozen=True, kw_only=True)
class FunctionEntrant(Acting):
    """A function obs (N, D) float32 -> actions (N,): the user's own, or another library's policy."""

    function: Callable[[np.ndarray], Any]
    obs_dim: int | None = None
    """Numbers that it takes; None where it does not say."""
    num_actions: int | None = None

    def refusal(self, obs_dim: int, num_actions: int | None) -> str | None:
        """Hold its own numbers against those here."""
        if num_actions is None:
            return "takes discrete actions, and they are continuous here"
        mine = (
            obs_dim if self.obs_dim is None else self.obs_dim,
            num_actions if self.num_actions is None else self.num_actions,
        )
        return _mismatch((obs_dim, num_actions), mine)

    def act_for(self, env: NavVectorEnv) -> Act:
        """Ask the function; EntrantError is raised when it fails, or what it returns are no actions."""
        table = env.worlds.action_table
        num_actions = 0 if table is None else len(table)

        def act(obs: np.ndarray) -> np.ndarray:
            return self._checked(obs.copy(), num_actions)

        return act

    def _checked(self, obs: np.ndarray, num_actions: int) -> np.ndarray:
        try:
            action = np.asarray(self.function(obs))
        except UserError:
            raise
        except Exception as error:  # another's function raises anything; the exam names the entrant
            raise EntrantError(f"{self.facts.name}: failed: {type(error).__name__}: {error}") from error
        if action.shape != (len(obs),) or action.dtype.kind not in "iu":
            raise EntrantError(
                f"{self.facts.name}: returned {action.dtype} {action.shape} for observations {obs.shape}, and "
                f"({len(obs)},) whole "
                "numbers belong there"
            )
        if len(action) and not 0 <= action.min() <= action.max() < num_actions:
            raise EntrantError(
                f"{self.facts.name}: returned the actions {action.min()} to {action.max()}, and there are 0 to "
                f"{num_actions - 1}"
            )
        return action


Entrant = Acting
"""One who acts in our worlds."""


def cannot_drive(entrant: Entrant, env: NavVectorEnv) -> str | None:
    """Return why ``entrant`` cannot drive such worlds as those of ``env``; None when it can."""
    try:
        entrant.act_for(env)
    except PlannerError as error:
        return str(error)
    return None


def _mismatch(given: tuple[int, int | None], mine: tuple[int, int]) -> str | None:
    if given == mine:
        return None
    actions = "continuous actions" if given[1] is None else f"{given[1]} actions"
    return f"takes {mine[0]} observations and {mine[1]} actions, and there are {given[0]} and {actions} here"
