"""Planners by name: classical navigation that acts as a policy does, each saying what it knows."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from robonav_ray.planners.apf import ApfPlanner
from robonav_ray.planners.commands import PlannerError
from robonav_ray.planners.dwa import DwaPlanner
from robonav_ray.planners.lookahead import LookaheadPlanner
from robonav_ray.planners.mppi import MppiPlanner
from robonav_ray.planners.orca import OrcaPlanner
from robonav_ray.planners.orca_lidar import OrcaLidarPlanner
from robonav_ray.planners.pure_pursuit import PurePursuitPlanner
from robonav_ray.planners.simple import GoToGoalPlanner, RandomPlanner, StopAndGoPlanner
from robonav_ray.planners.social_force import SocialForcePlanner
from robonav_ray.planners.tuned import TUNED, TUNED_ON_MAPS, Tuning
from robonav_ray.worlds.batched import BatchedWorlds

SCAN_AND_PATH = "scan and path"
"""What a planner knows that acts on what a policy sees: goal, lidar, odometry, and the way ahead where it is shown."""
DEFAULT = "default"
"""``NAME:default`` is a planner with its own defaults; ``NAME`` alone has the tuned settings."""

MOST_S = 60.0
"""Seconds that a setting may be at most: a plan's arrays are as long as it is."""
_KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: (int | float, "a finite number"),
}


class Planner(Protocol):
    """Acts as a policy does. It may remember what it saw: call it once per step, and make one for each batch of
    worlds.
    """

    knows: str
    """What it acts on: "nothing", "goal", "scan and path" (goal, lidar, odometry and the way ahead as observations show
    them), "true state".
    """

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for the observations (L, D) of all lanes: (L,) int64, or (L, 2) where they are continuous."""
        ...


@dataclass(frozen=True)
class PlannerSpec:
    """A planner that can be made by its name."""

    name: str
    make: Callable[..., Planner]
    """(worlds, settings by name) -> planner."""
    knows: str
    text: str
    """What it does, in a few words, for tables."""

    @property
    def defaults(self) -> dict[str, Any]:
        """Its settings and their defaults; PlannerError is raised for others."""
        parameters = inspect.signature(self.make).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}

    @property
    def tuning(self) -> Tuning:
        """The settings that were tuned, and how."""
        return TUNED.get(self.name, Tuning(how="it has nothing to tune"))

    @property
    def map_tuning(self) -> Tuning:
        """What differs from these in worlds with a map."""
        return TUNED_ON_MAPS.get(self.name, Tuning(how="as without a map"))


def _spec(name: str, make: Callable[..., Planner], text: str) -> PlannerSpec:
    return PlannerSpec(name, make, make.knows, text)  # type: ignore[attr-defined]  # a class that has it


PLANNERS: dict[str, PlannerSpec] = {
    spec.name: spec
    for spec in (
        _spec("random", RandomPlanner, "any action, by chance"),
        _spec("go_to_goal", GoToGoalPlanner, "straight to the goal, through everything"),
        _spec("stop_and_go", StopAndGoPlanner, "straight to the goal, and stands while something is in the way"),
        _spec("pure_pursuit", PurePursuitPlanner, "follows the path on arcs, slows down and stands (Coulter 1992)"),
        _spec("apf", ApfPlanner, "artificial potential field (Khatib 1986)"),
        _spec("orca_lidar", OrcaLidarPlanner, "ORCA among circles clustered from the scan and tracked"),
        _spec("dwa", DwaPlanner, "dynamic window with the critics of Nav2's DWB (Fox et al. 1997)"),
        _spec("mppi", MppiPlanner, "model predictive path integral control (Williams et al. 2017)"),
        _spec("social_force", SocialForcePlanner, "social force model (Helbing and Molnar 1995)"),
        _spec("orca", OrcaPlanner, "optimal reciprocal collision avoidance (van den Berg et al. 2011)"),
        _spec("lookahead", LookaheadPlanner, "searches pairs of commands among circles whose ways it knows"),
    )
}
"""All planners, from those that know least."""


def find_planner(name: str) -> tuple[PlannerSpec, dict[str, Any]]:
    """Return the planner called ``name`` and its settings: the tuned ones, or none for ``NAME:default``.

    Raises:
        PlannerError: For a name that is none, naming the nearest one.
    """
    plain, colon, variant = name.partition(":")
    spec = PLANNERS.get(plain)
    if spec is None:
        near = difflib.get_close_matches(plain, PLANNERS, n=1, cutoff=0.0)[0]
        raise PlannerError(f"there is no planner {plain!r}; did you mean {near!r}? There are {', '.join(PLANNERS)}")
    if colon and variant != DEFAULT:
        raise PlannerError(
            f"planner {name!r}: {plain!r} has the tuned settings, {plain}:{DEFAULT} its own; leave out the rest"
        )
    return spec, {} if colon else dict(spec.tuning.settings)


def make_planner(name: str, worlds: BatchedWorlds, **settings: Any) -> Planner:
    """Return the planner ``name`` (``orca``: tuned, in worlds with a map also for those, ``orca:default``: as it comes)
    for ``worlds``; ``settings`` win.

    Raises:
        PlannerError: For a name or a setting that is none, a setting out of its range, or worlds that it cannot drive.
    """
    spec, found = find_planner(name)
    unknown = sorted(settings.keys() - spec.defaults.keys())
    if unknown:
        known = ", ".join(spec.defaults) or "none"
        raise PlannerError(f"planner {spec.name}: there is no setting {unknown[0]!r}; its settings are {known}")
    for key, value in settings.items():
        kind, wanted = _KINDS[type(spec.defaults[key])]
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool) or not math.isfinite(value):
            raise PlannerError(f"planner {spec.name}: {key} must be {wanted}, got {value!r}")
        if key.endswith("_s") and value > MOST_S:
            raise PlannerError(f"planner {spec.name}: {key} must be at most {MOST_S:g}, got {value:g}")
    if worlds.config.map is not None and ":" not in name:
        found |= spec.map_tuning.settings
    return spec.make(worlds, **{**found, **settings})
