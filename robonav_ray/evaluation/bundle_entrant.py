"""A bundle as an entrant: as it would drive on the robot.

In worlds whose lidar is that of its training it decides on their observations. Where a scenario names
another lidar, each robot has a ``robonav_policy.Policy`` of its own, which is given scan, pose and goals, and makes of
the scans what it can: so that a table says what a lidar that sees less costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robonav_policy.bundle import MANIFEST, SPEC, Bundle, read_bundle
from robonav_policy.errors import PolicyError
from robonav_policy.models import Model, open_model
from robonav_policy.policy import Policy
from robonav_policy.scans import Lidar
from robonav_ray.config import RunConfig
from robonav_ray.config.load import check_run_config
from robonav_ray.evaluation.entrants import Acting, EntrantError, Outfit
from robonav_ray.evaluation.episodes import Act
from robonav_ray.evaluation.exam_table import EntrantFacts
from robonav_ray.planners.commands import PlannerError
from robonav_ray.text import path_word
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.randomization import NUM_GOALS, OBS_LATENCY, ODOMETRY_NOISE
from robonav_ray.worlds.scan_contract import scan_contract
from robonav_ray.worlds.vector_env import NavVectorEnv


@dataclass(frozen=True, kw_only=True)
class BundleEntrant(Acting):
    """The policy in a bundle."""

    bundle: Bundle
    model: Model

    def refusal(self, obs_dim: int, num_actions: int | None) -> str | None:
        """Hold its actions against those here; scans it makes its own of."""
        del obs_dim
        mine = self.bundle.spec.num_actions
        return (
            None
            if num_actions == mine
            else f"has {mine} actions, and there are {num_actions or 'continuous ones'} here"
        )

    def act_for(self, env: NavVectorEnv) -> Act:
        """Act greedily; PlannerError where no robot could make its observation of these worlds."""
        world, spec = env.worlds.config, self.bundle.spec
        if scan_contract(world) == spec.scan:
            return _Many(env, self.model)
        levels = env.worlds.params.level[:, [OBS_LATENCY, ODOMETRY_NOISE]]
        if levels.any():
            raise PlannerError(
                "drives with another lidar than that of its training by scans and poses, and in these worlds they are "
                "spoilt behind the lidar (observation_latency, odometry_noise)"
            )
        return _Robots(env, self.bundle, self.model)


class _Many:
    """Acts on the worlds' own observations, one row at a time as on a robot: what onnxruntime says of a row may hang on
    the other rows. Lanes that are through are not decided for.
    """

    def __init__(self, env: NavVectorEnv, model: Model) -> None:
        self._ended = env.worlds.state.lane[:, :, lay.ENDED]
        self._action, self._model = np.zeros(env.num_envs, np.int64), model

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        for lane in np.flatnonzero((self._ended == 0).ravel()).tolist():
            self._action[lane] = self._model(obs[lane : lane + 1])[0].argmax()
        return self._action


class _Robots:
    """One policy for each robot, which is given what a robot has."""

    def __init__(self, env: NavVectorEnv, bundle: Bundle, model: Model) -> None:
        self._worlds = env.worlds
        contract = scan_contract(env.worlds.config)
        lidar = Lidar(contract.num_beams, contract.angle_min, contract.angle_increment, contract.range_max)
        self._policies = [Policy(bundle.spec, model, lidar=lidar, allow_less=True) for _ in range(env.num_envs)]
        self._action = np.zeros(env.num_envs, np.int64)

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        del obs
        for lane, policy in enumerate(self._policies):
            self._decide(lane, policy)
        return self._action

    def _decide(self, lane: int, policy: Policy) -> None:
        state = self._worlds.state
        w, r = divmod(lane, self._worlds.num_robots)
        robot, counts = state.robot[w, r].astype(float), state.lane[w, r]
        if counts[lay.ENDED] or counts[lay.STEP_LIMIT] == 0:
            return
        if counts[lay.STEP] == 0:
            policy.reset(int(counts[lay.STEP_LIMIT]))
        pose = (
            robot[lay.X] + robot[lay.DRIFT_X],
            robot[lay.Y] + robot[lay.DRIFT_Y],
            math.atan2(robot[lay.SIN], robot[lay.COS]) + robot[lay.DRIFT_YAW],
        )
        num_goals = int(self._worlds.params.level[self._worlds.level[w], NUM_GOALS])
        goals = state.goal[w, r, counts[lay.GOAL_INDEX] : num_goals, :2]
        ranges = state.scan[w, r, counts[lay.HEAD]] * np.float32(self._worlds.config.lidar.range_max_m)
        path = None if policy.spec.path is None else self._worlds.route(w, r)
        policy.act(ranges, pose, goals, (robot[lay.V], robot[lay.W]), path)
        if policy.last.action is not None:
            self._action[lane] = policy.last.action


def is_bundle(path: Path) -> bool:
    """Whether a folder looks like a bundle; what is in it is not looked at."""
    return (path / MANIFEST).is_file() and (path / SPEC).is_file()


def bundle_entrant(path: Path, name: str | None) -> BundleEntrant:
    """Return the entrant in a folder; EntrantError when it is no whole bundle."""
    shown = path_word(path)
    try:
        bundle = read_bundle(path)
        model = open_model(bundle)
    except PolicyError as error:
        raise EntrantError(str(error)) from None
    config = training_config(bundle, shown)
    provenance = bundle.spec.document.get("provenance")
    origin = provenance if isinstance(provenance, dict) else {}
    told = {key: str(origin[key]) for key in ("run", "checkpoint", "env_steps", "git_revision") if key in origin}
    facts = EntrantFacts(
        name=name or path.name,
        kind="bundle",
        knows=Outfit.of(config.env.world, config.algo.gamma, ()).knows,
        method=name or path.name,
        train_seed=config.seed,
        source=shown,
        provenance={**told, "bundle_sha256": bundle.sha256},
    )
    levels = tuple(stage.level for stage in config.curriculum.stages)
    outfit = Outfit.of(config.env.world, config.algo.gamma, levels)
    return BundleEntrant(facts=facts, outfit=outfit, fingerprint=bundle.sha256, bundle=bundle, model=model)


def training_config(bundle: Bundle, shown: str) -> RunConfig:
    """Return the config of the training; EntrantError when the spec tells of another robot than it does."""
    training = bundle.spec.document.get("training")
    found = training.get("config") if isinstance(training, dict) else None
    if not isinstance(found, dict):
        raise EntrantError(f"{shown}/{SPEC}: training.config: is missing; export the run again")
    config = check_run_config(found, f"{shown}/{SPEC}: training.config")
    if not config.env.is_native or scan_contract(config.env.world) != bundle.spec.scan:
        raise EntrantError(f"{shown}/{SPEC}: training.config: is of another lidar than the scan; export the run again")
    return config
