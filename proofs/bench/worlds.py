"""Env steps per second of the simulator on one core: random actions, auto-reset on, stacked observations written
(``--align``: aligned).

1,024 worlds, 36 beams, 10 circles (3 static, 7 moving) unless told otherwise. ``--map office`` has the worlds take
place in 32 generated floors of offices, 20 x 20 m in cells of 5 cm, with the 7 moving circles alone, and times beside
them the lidar alone and a ray caster that visits every cell of the same grid, from the same poses. Repeats alternate
with nothing else, and the median counts; on a busy machine ``--cpu-time`` counts the process's own time instead of the
clock's.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence

import numpy as np

from proofs.bench.map_lidar import compare_lidars
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.screen import say
from robonav_ray.worlds.vector_env import NavVectorEnv


def measure(envs: NavVectorEnv, num_steps: int, repeats: int, cpu_time: bool) -> list[float]:
    """Return env steps per second of every repeat."""
    clock = time.process_time if cpu_time else time.perf_counter
    num_actions = int(envs.single_action_space.n)  # type: ignore[attr-defined]
    actions = np.random.default_rng(0).integers(0, num_actions, (64, envs.num_envs))
    envs.reset()
    for i in range(64):
        envs.step(actions[i])
    rates = []
    for _ in range(repeats):
        start = clock()
        for i in range(num_steps):
            envs.step(actions[i % 64])
        rates.append(num_steps * envs.num_envs / (clock() - start))
    return rates


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--map", choices=("office",), help="have the worlds take place in floor plans")
    parser.add_argument("--worlds", type=int, default=1024)
    parser.add_argument("--beams", type=int, default=36)
    parser.add_argument("--field-of-view", type=float, default=360.0, help="degrees that the beams stand for")
    parser.add_argument("--static", type=int, help="circles that stand still (3; on a map none)")
    parser.add_argument("--dynamic", type=int, default=7)
    parser.add_argument("--behaviour", default="waypoint")
    parser.add_argument("--stack", type=int, default=3)
    parser.add_argument(
        "--align", action="store_true", help="show older scans from where the robot is now, as the default config does"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--cpu-time", action="store_true", help="count the process's CPU time")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args(arguments)
    lidar = {"num_beams": args.beams, "stack": args.stack, "align": args.align}
    lidar["field_of_view_rad"] = math.radians(args.field_of_view)
    world = WorldConfig.model_validate({"lidar": lidar} | ({"map": {"generator": "rooms"}} if args.map else {}))
    num_static = args.static if args.static is not None else 0 if args.map else 3
    level = LevelConfig(num_static=num_static, num_dynamic=args.dynamic, behaviours=(args.behaviour,))
    start = time.perf_counter()
    envs = NavVectorEnv(args.worlds, world=world, levels=(level,), copy=False)
    envs.reset()
    envs.step(np.zeros(args.worlds, np.int64))
    ready_s = time.perf_counter() - start
    rates = measure(envs, args.steps, args.repeats, args.cpu_time)
    result = {
        "env_steps_per_s": statistics.median(rates),
        "env_steps_per_s_min": min(rates),
        "env_steps_per_s_max": max(rates),
        "worlds": args.worlds,
        "beams": args.beams,
        "circles": num_static + args.dynamic,
        "stack": args.stack,
        "align": args.align,
        "clock": "cpu" if args.cpu_time else "wall",
        "ready_s": ready_s,
        **({"map": args.map, **compare_lidars(envs.worlds, args.cpu_time)} if args.map else {}),
    }
    say(f"{result['env_steps_per_s'] / 1e6:.2f} M env steps/s (from {min(rates) / 1e6:.2f} to {max(rates) / 1e6:.2f})")
    if args.map:
        say(
            f"the lidar alone {result['lidar_ns_per_beam']:.0f} ns a beam, a ray caster that visits every cell "
            f"{result['ray_caster_ns_per_beam']:.0f} ns: {result['ray_caster_per_lidar']:.1f} times as long"
        )
    if args.json:
        say(json.dumps(result))
