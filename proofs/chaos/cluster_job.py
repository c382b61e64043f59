"""The whole way at once: a cluster of three nodes, a run as a Ray job with a token, a node killed, another added, the
curriculum passed.

    python -m proofs prove_cluster                     # network namespaces, each node its own address (root)
    python -m proofs prove_cluster --network loopback

The job is submitted by Ray's own tool from another directory and HOME, with the token's file and the dashboard's
address as the only things it knows. Printed is what was seen and how long it took; exit code 0 says that the job
succeeded with the curriculum passed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from proofs.common.checkout import ROOT
from robonav_ray.config.load import load_cluster_definition
from robonav_ray.launch.local_cluster import LocalCluster
from robonav_ray.screen import say

POLL_S = 0.5


def job(cluster: LocalCluster, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``ray job ...`` as another user on another machine would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(cluster.token_path)}
    command = [
        str(Path(sys.executable).with_name("ray")),
        "job",
        arguments[0],
        "--address",
        cluster.dashboard_url,
        *arguments[1:],
    ]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=120)


def events_of(runs: Path) -> list[dict[str, object]]:
    """Return what has happened to the parts of the run so far."""
    return [json.loads(line) for path in runs.glob("*/events.jsonl") for line in path.read_text().splitlines()]


def grown(events: list[dict[str, object]]) -> bool:
    """Whether the worlds have been shared out over more workers since a node joined last."""
    joined = max(i for i, event in enumerate(events) if event["event"] == "joined")
    return any((event["event"], event["part"]) == ("restarted", "rollout") for event in events[joined:])


def learner_steps(runs: Path) -> int:
    """Return how far the learner has come."""
    for path in runs.glob("*/summary.json"):
        return int(json.loads(path.read_text())["learner_steps"])
    return 0


def wait_until(what: str, true: Callable[[], object], timeout_s: float) -> float:
    """Wait until ``true()``; return the seconds that it took; RuntimeError when it does not come."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > timeout_s:
            raise RuntimeError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    return time.monotonic() - began


def prove(network: str, timeout_s: float) -> int:
    """Go the whole way; return the exit code."""
    definition = load_cluster_definition(
        ROOT / "cluster" / "cluster.yaml", [f"name=proof-{os.getpid()}", f"local.network={network}"]
    )
    with tempfile.TemporaryDirectory(prefix="robonav-proof-") as folder:
        home, runs = Path(folder) / "home", Path(folder) / "runs"
        home.mkdir()
        began = time.monotonic()
        cluster = LocalCluster.start(definition)
        try:
            nodes = ", ".join(f"{node.name} {node.ip}" for node in cluster.nodes)
            say(f"{time.monotonic() - began:6.1f} s  up: {nodes}")
            refused = subprocess.run(
                [str(Path(sys.executable).with_name("ray")), "job", "list", "--address", cluster.dashboard_url],
                env={**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32},
                capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            say(f"{time.monotonic() - began:6.1f} s  with another token: exit code {refused.returncode}")
            done = job(
                cluster, home, "submit", "--submission-id", "proof", "--no-wait", "--working-dir", str(ROOT), "--",
                "robonav", "train", "configs/run/quick.yaml", f"output_dir={runs}", "rollout.num_worlds=128",
                "checkpoint.interval_s=10", "tracking.interval_s=0.5",
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)

            def first_checkpoint() -> bool:
                if "failed" in job(cluster, home, "status", "proof").stdout.lower():
                    raise RuntimeError("the job failed")
                return any(runs.glob("*/checkpoints/env-*"))

            wait_until("the first checkpoint", first_checkpoint, timeout_s)
            say(f"{time.monotonic() - began:6.1f} s  first checkpoint")
            victim = next(node for node in cluster.nodes if node.group == "rollout")
            steps, lost_at = learner_steps(runs), time.monotonic()
            cluster.kill_node(victim.name)
            say(f"{lost_at - began:6.1f} s  killed {victim.name} at learner step {steps}")
            wait_until("the node is missed", lambda: any(e["event"] == "left" for e in events_of(runs)), 60)
            steps = learner_steps(runs)
            wait_until("the learner goes on", lambda: learner_steps(runs) > steps + 100, 60)
            say(f"{time.monotonic() - began:6.1f} s  missed, and the learner has gone on")
            added = cluster.add_node("rollout")
            wait_until("the new node is used", lambda: any(e["event"] == "joined" for e in events_of(runs)), 60)
            wait_until("workers are on it", lambda: grown(events_of(runs)), 60)
            say(f"{time.monotonic() - began:6.1f} s  {added.name} {added.ip} joined")
            status = ""

            def ended() -> bool:
                nonlocal status
                status = job(cluster, home, "status", "proof").stdout
                return "succeeded" in status or "failed" in status or "stopped" in status

            wait_until("the job ends", ended, timeout_s)
            run = next(iter(runs.iterdir()))
            summary = json.loads((run / "summary.json").read_text())
            last = json.loads((run / "evaluation.json").read_text())["levels"][-1]
            say(
                f"{time.monotonic() - began:6.1f} s  job {'succeeded' if 'succeeded' in status else 'FAILED'}; "
                f"curriculum passed: {summary['passed']} after {summary['env_steps']:,} env steps; stage 4 on held-out "
                f"worlds: {last['summary']['success']['frac']:.1%}"
            )
            for event in events_of(runs):
                if event["event"] != "saved":
                    say(
                        f"          {event['event']} {event['part']} {event.get('detail', '')} "
                        f"{event.get('after_s', '')}"
                    )
            return 0 if "succeeded" in status and summary["passed"] and refused.returncode else 1
        except (RuntimeError, OSError, LookupError, subprocess.TimeoutExpired):
            say(f"{time.monotonic() - began:6.1f} s  what the job had said:")
            say(job(cluster, home, "logs", "proof").stdout[-8000:])
            raise
        finally:
            cluster.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and prove; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", choices=["namespaces", "loopback"], default="namespaces")
    parser.add_argument("--timeout-s", type=float, default=300.0, help="longest wait for each step")
    args = parser.parse_args(arguments)
    return prove(args.network, args.timeout_s)
