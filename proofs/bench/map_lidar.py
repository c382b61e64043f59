"""The lidar in maps beside a ray caster over the same grid, and nothing else: what skipping empty space is worth."""

from __future__ import annotations

import statistics
import time

import numba
import numpy as np

from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.site import tables as at
from robonav_ray.worlds.kernels.site.map_lidar import look_at_map

_REPEATS = 15


@numba.njit(error_model="numpy", fastmath=True)
def _lidar(site, robot, const, beam, rays):
    for w in range(robot.shape[0]):
        c, s = robot[w, 0, lay.COS], robot[w, 0, lay.SIN]
        for b in range(rays.shape[1]):
            rays[0, b], rays[1, b] = c * beam[0, b] - s * beam[1, b], s * beam[0, b] + c * beam[1, b]
            rays[2, b] = const[lay.RANGE_MAX]
        look_at_map(site, robot, const, rays, robot[w, 0, lay.X], robot[w, 0, lay.Y], w, 0)


@numba.njit(error_model="numpy", fastmath=True)
def _visit_every_cell(site, robot, const, beam, rays):
    """Amanatides and Woo 1987."""
    for w in range(robot.shape[0]):
        m, c, s = site.map_of[w], robot[w, 0, lay.COS], robot[w, 0, lay.SIN]
        begin, nx, per_m = site.grid[m, at.CELL_AT], site.grid[m, at.CELL_NX], site.frame[m, at.PER_M]
        u, v = (
            (robot[w, 0, lay.X] - site.frame[m, at.CELL_X]) * per_m,
            (robot[w, 0, lay.Y] - site.frame[m, at.CELL_Y]) * per_m,
        )
        for b in range(rays.shape[1]):
            dx, dy = (
                c * beam[0, b] - s * beam[1, b] + np.float32(1e-9),
                s * beam[0, b] + c * beam[1, b] + np.float32(1e-9),
            )
            i, j, step_i, step_j = np.int64(u), np.int64(v), 1 if dx > 0 else -1, 1 if dy > 0 else -1
            tx, ty = (np.float32(i + (dx > 0)) - u) / dx, (np.float32(j + (dy > 0)) - v) / dy
            per_x, per_y = abs(np.float32(1) / dx), abs(np.float32(1) / dy)
            t, limit = np.float32(0), const[lay.RANGE_MAX] * per_m
            while t < limit and site.rings[begin + j * nx + i] != 0:
                if tx < ty:
                    t, tx, i = tx, tx + per_x, i + step_i
                else:
                    t, ty, j = ty, ty + per_y, j + step_j
            rays[2, b] = min(t, limit) / per_m


def compare_lidars(worlds: BatchedWorlds, cpu_time: bool) -> dict[str, float]:
    """Return the nanoseconds that a beam takes in either way, from where the robots are now, taken in turns."""
    clock = time.process_time if cpu_time else time.perf_counter
    given = worlds.params.site, worlds.state.robot, worlds.params.const[0], worlds.params.beam
    rays = np.zeros((4, worlds.params.beam.shape[1]), np.float32)
    taken: dict[str, list[float]] = {"lidar": [], "ray_caster": []}
    for repeat in range(_REPEATS + 1):
        for name, way in (("lidar", _lidar), ("ray_caster", _visit_every_cell)):
            start = clock()
            way(*given, rays)
            if repeat:  # the first one compiles
                taken[name].append((clock() - start) / worlds.num_worlds / rays.shape[1] * 1e9)
    lidar, caster = (statistics.median(taken[name]) for name in ("lidar", "ray_caster"))
    return {"lidar_ns_per_beam": lidar, "ray_caster_ns_per_beam": caster, "ray_caster_per_lidar": caster / lidar}
