"""Look into a running cluster from a process of its own: how soon all CPUs are free, and which placement groups are
left.

    python -m proofs.chaos.cluster_state 127.0.0.1:25001 60 1795728315.8

prints one JSON object; the last word is when the run ended (epoch seconds), the environment must hold the cluster's
token.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from robonav_ray.screen import say


def look(address: str, limit_s: float, since: float) -> dict[str, Any]:
    """Wait until ``limit_s`` after ``since`` for all CPUs to be free; return when they were seen to be (None: never),
    and the placement groups left.
    """
    import ray
    from ray.util import placement_group_table

    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, namespace="chaos")
    free_s = None
    while free_s is None and time.time() - since < limit_s:
        if ray.available_resources().get("CPU", 0.0) >= ray.cluster_resources().get("CPU", 0.0) - 1e-6:
            free_s = round(time.time() - since, 2)
        else:
            time.sleep(0.5)
    groups = [entry for entry in placement_group_table().values() if entry.get("state") != "REMOVED"]
    facts = {
        "free_s": free_s,
        "cpus": ray.cluster_resources().get("CPU", 0.0),
        "free_cpus": ray.available_resources().get("CPU", 0.0),
        "placement_groups": len(groups),
    }
    ray.shutdown()
    return facts


if __name__ == "__main__":
    say(json.dumps(look(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))))
