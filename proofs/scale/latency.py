"""Workers: how env steps/s grow from 1 to 64 workers whose worlds sleep, through the whole system.

One run grows from point to point, so that every process is started once. The learner and its pacing are at work too:
what is inserted is sampled ``replay.samples_per_insert`` times.
"""

from __future__ import annotations

from typing import Any

from proofs.scale.system import ray_nodes, running
from proofs.scale.worlds import CONFIG_ID
from robonav_ray.screen import say

WORKERS = (1, 2, 4, 8, 16, 32, 64)
STEP_S, WORLDS_PER_WORKER, STEPS_PER_FRAGMENT = 0.1, 8, 32


def bench_workers(workers: tuple[int, ...] = WORKERS, seconds: float = 12.0, step_s: float = STEP_S) -> dict[str, Any]:
    """Return the points: per number of workers the figures of a window of ``seconds``."""
    overrides = [
        f"env.id={CONFIG_ID}", f"env.kwargs={{step_s: {step_s}}}",
        f"rollout.num_worlds={WORLDS_PER_WORKER * max(workers)}",
        f"rollout.steps_per_fragment={STEPS_PER_FRAGMENT}", "replay.min_size=512", "replay.capacity=100000",
        "replay.samples_per_insert=1", "learner.batch_size=256", "learner.batches_per_call=2",
        "algo.hidden_dims=[64,64]", "runtime.cpus_per_rollout_worker=0.5",
    ]  # fmt: skip
    points = []
    with ray_nodes(), running(overrides, workers=max(workers), start_workers=workers[0]) as system:
        for count in workers:
            system.grow_to(count)
            system.wait_running(240.0)
            window = system.measure(seconds)
            points.append({"workers": count, **window.as_dict()})
            say(
                f"{count:3d} workers: {window.env_steps_per_s:9,.0f} env steps/s, CPU {window.cpu_frac:.0%}, "
                f"{window.cpu_cores}"
            )
        row_bytes = system.row_bytes
    return {
        "points": points, "step_s": step_s, "worlds_per_worker": WORLDS_PER_WORKER,
        "steps_per_fragment": STEPS_PER_FRAGMENT, "samples_per_insert": 1.0, "row_bytes": row_bytes,
    }  # fmt: skip
