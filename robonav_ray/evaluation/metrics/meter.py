"""What is measured of episodes step by step, beside the loop that plays them: extra columns of an ``EpisodeTable``.

It reads the worlds' state after each step and writes nothing to it, so that a measured episode is the same, bit for
bit. Environments that are not ours have no state that could be read, and their tables no such columns.
"""

from __future__ import annotations

import numpy as np
from gymnasium.vector import VectorEnv

from robonav_ray.evaluation.metrics import meter_kernel as mk
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.kernel import FAR
from robonav_ray.worlds.vector_env import find_own

METER_VERSION = 3
"""Of what the columns mean: raised with every change of one, so that cells of an exam that were measured before are
played again and never stand beside new ones."""
LOOK_TENTHS_S = tuple(round(10 * mk.LOOK_BACK_S * k / (mk.NUM_LOOKS - 1)) for k in range(mk.NUM_LOOKS))
"""The moments of the way into a failure that are kept: tenths of a second before its end (0, 5, 10, 15, 20)."""
STEP_COLUMNS = (
    "near_s",
    "intimate_frac",
    "personal_frac",
    "social_frac",
    "mean_clearance_m",
    "least_time_to_collision_s",
    "heading_change_rad",
    "standing_s",
    "remaining_m",
    "top_speed",
)
"""Columns of every episode. ``near_s``: with less than .45 m to anything. The ``_frac``: parts of the steps with the
nearest moving body in a zone of Hall. ``mean_clearance_m``: to the nearest thing, walls too.
``least_time_to_collision_s``: at constant velocities, NaN where none was ahead. ``heading_change_rad``: sum of absolute
changes of the heading (of the course, for a holonomic drive). ``standing_s``: neither drives nor turns.
``remaining_m``: the way from the end through the goals that are left, along the routes of a map and around inner walls.
``top_speed``: of the robot, m/s."""
END_COLUMNS = (
    "end_bearing_rad",
    "end_other_speed",
    "end_course_rad",
    "end_own_speed",
    "end_own_closing",
    "end_other_closing",
    "end_clearance_before_m",
    "end_density_per_m2",
    "end_standing_frac",
)
"""Columns of episodes that failed, NaN for others; of the thing that was hit, or was nearest. Bearing and course in the
robot's frame (left is positive; the course of what stands still is NaN). ``closing``: each body's own speed (m/s) along
the line of centres at contact. ``end_clearance_before_m``: 1 s before the end, edge to edge. ``end_standing_frac``: of
the last 2 s."""
LOOK_COLUMNS = tuple(
    f"last_{tenths:02d}_{what}" for tenths in LOOK_TENTHS_S for what in ("x_m", "y_m", "speed", "turn_rate")
)
"""The way into a failure: where the thing was in the robot's frame, and how the robot drove (m/s, rad/s), so many
tenths of a second before the end; of a shorter episode its beginning. NaN for successes."""


class Meter:
    """Measures the first episode of every lane of ``worlds``; ``observe`` after each step, before ended worlds begin
    anew.
    """

    def __init__(self, worlds: BatchedWorlds, open_: np.ndarray, cut_off_after: int | None) -> None:
        """Begin with worlds that have just been reset.

        Args:
            worlds: What is read.
            open_: (L,) bool: lanes whose first episode goes on; its owner clears them, and only they are measured.
            cut_off_after: Steps after which an episode is left as it stands.
        """
        lanes, ring = worlds.num_lanes, 1 + max(1, round(mk.LOOK_BACK_S / worlds.config.dt_s))
        self._worlds, self._open, self._cut_off_after = worlds, open_, -1 if cut_off_after is None else cut_off_after
        self._top_speed = worlds.state.robot[..., lay.OWN_SPEED].ravel().astype(np.float64)
        self._sums = np.zeros((lanes, mk.SUM_COLS))
        self._sums[:, mk.S_TTC], self._sums[:, mk.S_COURSE] = FAR, mk.NO_COURSE
        self._end = np.zeros((lanes, mk.END_COLS))
        self._failed = np.zeros(lanes, np.bool_)
        self._past = np.zeros((lanes, ring, mk.PAST_COLS), np.float32)
        self._past_circle = np.zeros((worlds.num_worlds, ring, 2, max(worlds.max_circles, 1)), np.float32)
        mk.begin_batch(worlds.state, worlds.params, self._past, self._past_circle, open_)

    def observe(self) -> None:
        """Take in the step that the worlds have just made."""
        worlds = self._worlds
        mk.measure_batch(
            worlds.state, worlds.params, worlds.out.parked, self._past, self._past_circle, self._open, self._sums,
            self._end, self._failed, self._cut_off_after,
        )  # fmt: skip

    def columns(self) -> dict[str, np.ndarray]:
        """Return ``STEP_COLUMNS``, ``END_COLUMNS`` and ``LOOK_COLUMNS``, each (L,) float64."""
        sums, dt_s = self._sums, self._worlds.config.dt_s
        steps = np.maximum(sums[:, mk.S_STEPS], 1)
        clearance, ttc = sums[:, mk.S_CLEARANCE] / steps, sums[:, mk.S_TTC]
        values = (
            sums[:, mk.S_NEAR] * dt_s,
            sums[:, mk.S_INTIMATE] / steps,
            sums[:, mk.S_PERSONAL] / steps,
            sums[:, mk.S_SOCIAL] / steps,
            np.where(clearance < 0.5 * FAR, clearance, np.nan),
            np.where(ttc < FAR, ttc, np.nan),
            sums[:, mk.S_HEADING],
            sums[:, mk.S_STANDING] * dt_s,
            sums[:, mk.S_REMAINING],
            self._top_speed,
        )
        end = np.where(self._failed[:, None] & (self._end[:, mk.E_WHAT, None] != mk.NOTHING), self._end, np.nan)
        end[end[:, mk.E_COURSE] == mk.NO_COURSE, mk.E_COURSE] = np.nan
        return {
            **dict(zip(STEP_COLUMNS, values, strict=True)),
            **{name: end[:, mk.E_BEARING + k] for k, name in enumerate(END_COLUMNS)},
            **{name: end[:, mk.E_LOOKS + k] for k, name in enumerate(LOOK_COLUMNS)},
        }


def start_meter(env: VectorEnv, open_: np.ndarray, cut_off_after: int | None) -> Meter | None:
    """Measure the first episodes of ``env``, which has just been reset; None where these are not our worlds. See
    ``evaluate_policy``.
    """
    own = find_own(env)
    if own is None:
        return None
    meter = Meter(own.worlds, open_, cut_off_after)
    own.watch = meter.observe
    return meter
