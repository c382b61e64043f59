"""Model predictive path integral control (Williams et al. 2017) on what the lidar shows."""

from __future__ import annotations

import numpy as np

from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.planners import foresight as sees
from robonav_ray.planners.commands import Driver, PlannerError
from robonav_ray.planners.foresight import PLAN_COLS, begin_plan, foresee, price, roll
from robonav_ray.planners.sight import ScanSight
from robonav_ray.planners.tracking import Tracker
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels.kernel import F0, F1, kernel

_DEAREST = np.float32(1.0e9)
_NUM_DRAWS = 16
"""Sets of noise that take turns, so that one unlucky set does not stay."""


@kernel
def _sample(wanted, noise, low, scale, draw, k, i, trial):
    """Write sequence ``k`` of lane ``i`` into ``trial`` (T, 2), in SI units: the wanted one plus noise, clipped."""
    for t in range(trial.shape[0]):
        for part in range(2):
            value = wanted[i, t, part] + noise[draw, k, t, part]
            trial[t, part] = min(max(value, low[part]), F1) * scale[part]


@kernel
def _roll_sequence(plan, trial, hold, ahead, num, fixed, num_fixed, goal, leg, path, setting):
    """Roll ``plan`` out under the commands ``trial`` (T, 2); return how it ended."""
    how = sees.ALIVE
    for t in range(trial.shape[0]):
        first, last = t * hold, (t + 1) * hold
        v, o = trial[t, 0], trial[t, 1]
        how = roll(plan, v, o, ahead, num, fixed, num_fixed, goal, leg, path, setting, _DEAREST, first, last)
        if how != sees.ALIVE:
            break
    return how


@kernel
def _blend(wanted, noise, low, cost, temperature, draw, i):
    """Move the wanted sequence of lane ``i`` to the mean of its samples, weighted by exp(-cost / temperature)."""
    least, total = _DEAREST, F0
    for k in range(cost.shape[0]):
        least = min(least, cost[k])
    for k in range(cost.shape[0]):
        cost[k] = np.exp((least - cost[k]) / temperature)
        total += cost[k]
    for t in range(wanted.shape[1]):
        for part in range(2):
            mean = F0
            for k in range(cost.shape[0]):
                value = wanted[i, t, part] + noise[draw, k, t, part]
                mean += cost[k] * min(max(value, low[part]), F1)
            wanted[i, t, part] = mean / total


@kernel
def _plan(
    state, goals, way, twist, begins, drives, wanted, count, noise, low, scale, setting, hold, temperature, shift, work,
    command,
):  # fmt: skip
    """Write the command (L, 2) in SI units that begins the sequence of each lane that ``drives``, and carry ``wanted``
    (L, T, 2) on.

    ``hold``: steps of a plan that a command holds for; ``shift``: the part of that time until the next call.
    """
    ahead, fixed, plan, cost, trial = work
    steps = ahead.shape[0]
    for i in range(command.shape[0]):
        if not drives[i]:
            continue
        goal, path = goals[i], way[i]
        leg = np.sqrt((goal[1, 0] - goal[0, 0]) ** 2 + (goal[1, 1] - goal[0, 1]) ** 2)
        num, num_fixed = foresee(state, i, setting, ahead, fixed)
        if begins[i]:
            wanted[i, :, :] = F0
            count[i] = 0
        draw = count[i] % noise.shape[0]
        count[i] += 1
        for k in range(cost.shape[0]):
            begin_plan(plan, twist, i)
            _sample(wanted, noise, low, scale, draw, k, i, trial)
            how = _roll_sequence(plan, trial, hold, ahead, num, fixed, num_fixed, goal, leg, path, setting)
            cost[k] = price(plan, goal, leg, path, setting, steps, how)
        _blend(wanted, noise, low, cost, temperature, draw, i)
        for part in range(2):
            command[i, part] = wanted[i, 0, part] * scale[part]
            for t in range(wanted.shape[1] - 1):
                wanted[i, t, part] += shift * (wanted[i, t + 1, part] - wanted[i, t, part])


class MppiPlanner:
    """Drives robots by the mean of sampled command sequences, weighted by exp(-cost / ``temperature``).

    ``num_samples`` sequences of commands that hold for ``hold_s``, up to ``horizon_s``, around the last mean; noise of
    either part is ``noise_frac`` of its range and half remembered from one command to the next. Costs and the tracker's
    settings are those of ``DwaPlanner``. The command becomes the nearest action.
    """

    knows = "scan and path"

    def __init__(
        self,
        worlds: BatchedWorlds,
        num_samples: int = 64,
        horizon_s: float = 2.0,
        hold_s: float = 0.2,
        noise_frac: float = 0.5,
        temperature: float = 1.0,
        goal_dist: float = 2.0,
        goal_align: float = 0.5,
        forward_point_distance_m: float = 0.5,
        predicts: bool = True,
        growth_m_per_s: float = 0.0,
        margin_m: float = 0.3,
        nearness: float = 2.0,
        way: float = 1.0,
        noise_m: float = 0.03,
        acceleration: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Plan for ``worlds``; PlannerError for observations without a scan, or a setting that is out of range."""
        given = {name: value for name, value in locals().items() if name not in ("self", "worlds")}
        if min(num_samples, horizon_s, hold_s, noise_frac, temperature, noise_m) <= 0 or min(given.values()) < 0:
            raise PlannerError(
                "planner mppi: num_samples, horizon_s, hold_s, noise_frac, temperature and noise_m must be above 0, "
                "and no setting below it"
            )
        self._driver, self._sight = Driver(worlds), ScanSight(worlds, "mppi")
        self._tracker = Tracker(worlds, self._sight, noise_m, acceleration)
        env_dt = worlds.config.dt_s
        hold = max(round(hold_s / env_dt), 1)
        dt = env_dt * (2 if hold % 2 == 0 else 1)
        per_knot = max(round(hold * env_dt / dt), 1)
        knots = max(round(horizon_s / (hold * env_dt)), 1)
        settings = {
            sees.GOAL_DIST: goal_dist / 2,
            sees.GOAL_ALIGN: goal_align / 2,
            sees.FORWARD: forward_point_distance_m,
            sees.PREDICTS: float(predicts),
            sees.GROWTH: growth_m_per_s,
            sees.MARGIN: margin_m,
            sees.NEARNESS: nearness,
            sees.WAY: way,
        }
        setting = sees.settings_row(worlds, dt, settings)
        low, scale = self._driver.low, self._driver.scale
        noise = noise_frac * _noise(int(num_samples), knots, seed)
        noise[:, 0] = 0.0  # the last mean itself is one of them
        self._wanted = np.zeros((worlds.num_lanes, knots, 2), np.float32)
        self._count = np.zeros(worlds.num_lanes, np.int64)
        shift = np.float32(1.0 / hold)
        self._args = (noise.astype(np.float32), low, scale, setting, per_knot, np.float32(temperature), shift)
        ahead, fixed = sees.scratch(knots * per_knot, self._tracker)
        cost = np.zeros(int(num_samples), np.float32)
        self._work = (ahead, fixed, np.zeros(PLAN_COLS, np.float32), cost, np.zeros((knots, 2), np.float32))
        self._command = np.zeros((worlds.num_lanes, 2), np.float32)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D)."""
        sight = self._sight
        state = self._tracker.see(obs)
        twist = np.ascontiguousarray(sight.twist(obs), np.float32)
        seen = (state, sight.goals(obs), sight.way(obs), twist, self._tracker.begins, self._tracker.drives)
        _plan(*seen, self._wanted, self._count, *self._args, self._work, self._command)
        return self._driver.action(self._command, sight.last_command(obs))


def _noise(num_samples: int, knots: int, seed: int) -> np.ndarray:
    """Return (_NUM_DRAWS, num_samples, knots, 2) standard normal numbers, half of each remembered in the next knot."""
    rng = np.random.default_rng(seed_for(seed, ROLE_EVALUATION))
    noise = rng.standard_normal((_NUM_DRAWS, num_samples, knots, 2))
    for t in range(1, knots):
        noise[:, :, t] = 0.5 * noise[:, :, t - 1] + np.sqrt(0.75) * noise[:, :, t]
    return noise
