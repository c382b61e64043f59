"""How full the smallest object store gets under a real run: highest use in percent, spilled and fallback bytes, sampled
ten times a second.

``python -m proofs bench_object_store --seconds 60`` trains with ``runtime.object_store_bytes`` at its minimum (75 MiB)
and the ``section.key=value`` of the command line. It fails when more than 80 % were in use, or anything was spilled or
put on disk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robonav_ray.screen import say
from robonav_ray.verbs.train import train_command

MINIMUM_BYTES = 78_643_200
MOST_FRAC = 0.8
SAMPLE_S = 0.1


class StoreWatch(threading.Thread):
    """Asks the raylet for its store's figures while this process is connected to one."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[Any] = []
        self._end = threading.Event()

    def run(self) -> None:
        """Sample until ``stop``."""
        while not self._end.wait(SAMPLE_S):
            ray: Any = sys.modules.get("ray")  # the run imports it, once it has prepared its environment
            if not getattr(ray, "is_initialized", bool)():
                continue
            import grpc
            from ray._private.internal_api import get_memory_info_reply
            from ray._private.state import state

            try:
                self.samples.append(get_memory_info_reply(state, timeout_seconds=5.0).store_stats)
            except (grpc.RpcError, AssertionError, RuntimeError):  # it is starting, or going
                continue

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self.join(10)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    args = parser.parse_args(arguments)
    watch = StoreWatch()
    watch.start()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"runtime.object_store_bytes={MINIMUM_BYTES}", "tracking.panel=plain",
                     f"budget.max_time_s={args.seconds}", "checkpoint.interval_s=10", f"output_dir={folder}",
                     *args.overrides]  # fmt: skip
        code = train_command(None, overrides, resume=None, directory=None, local=False)
        (run,) = Path(folder).iterdir()
        summary = json.loads((run / "summary.json").read_text())
    watch.stop()
    used = [s.object_store_bytes_used / max(1, s.object_store_bytes_avail) for s in watch.samples]
    last = watch.samples[-1]
    report = {
        "exit_code": code,
        "samples": len(used),
        "store_bytes": int(last.object_store_bytes_avail),
        "used_frac_max": round(max(used), 4),
        "used_frac_median": round(statistics.median(used), 4),
        "objects_max": max(s.num_local_objects for s in watch.samples),
        "created_bytes": int(last.cumulative_created_bytes),
        "spilled_bytes": max(s.spilled_bytes_total for s in watch.samples),
        "fallback_bytes_max": max(s.object_store_bytes_fallback for s in watch.samples),
        "env_steps": summary["env_steps"],
        "learner_steps": summary["learner_steps"],
    }
    say(json.dumps(report, indent=1))
    if code != 75 or not report["learner_steps"]:
        raise SystemExit(f"the run was to train until its time limit, and ended with {code}")
    if report["used_frac_max"] > MOST_FRAC or report["spilled_bytes"] or report["fallback_bytes_max"]:
        raise SystemExit(1)
