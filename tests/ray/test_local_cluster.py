"""A local cluster of real Ray nodes: one is killed, one frozen, one added; without the token no caller gets in; at the
end nothing is left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from robonav_ray.launch.local_cluster import LocalCluster, LocalGroup, LocalOptions, local_clusters

pytestmark = [pytest.mark.ray, pytest.mark.slow]

DRIVER = """
import ray
ray.init(logging_level="ERROR")
@ray.remote(num_cpus=1, label_selector={"robonav.role": "rollout"})
def where():
    return ray.util.get_node_ip_address()
print(ray.get(where.remote()))
"""
OPTIONS = {"head": LocalGroup("head", num_cpus=1), "rollout": LocalGroup("rollout", num_cpus=1, count=2)}


def wait_until(holds: Callable[[], bool], timeout_s: float) -> float:
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < timeout_s
        time.sleep(0.2)
    return time.monotonic() - begin


def alive(cluster: LocalCluster) -> set[str]:
    return {fact.name for fact in cluster.facts() or () if fact.is_alive}


def drive(cluster: LocalCluster, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **cluster.driver_environment(), **changes}
    return subprocess.run(
        [sys.executable, "-c", DRIVER], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "network",
    ["loopback", pytest.param("namespaces", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root"))],
)
def test_nodes_die_freeze_and_join_and_nothing_is_left(network, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", "")
    with LocalCluster.start(LocalOptions(f"test-{network}", OPTIONS, network)) as cluster:
        note = json.loads((tmp_path / ".robonav/clusters" / cluster.name / "cluster.json").read_text())
        temporary, mark = Path(note["folder"]), note["mark"].split("-")[1]
        assert alive(cluster) == {"head", "rollout-1", "rollout-2"}
        addresses = {node.name: node.ip for node in cluster.nodes}
        assert len(set(addresses.values())) == 3

        done = drive(cluster)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() in (addresses["rollout-1"], addresses["rollout-2"])
        assert drive(cluster, RAY_AUTH_TOKEN="0" * 64).returncode != 0
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{cluster.dashboard_url}/api/jobs/", timeout=10)

        cluster.kill_node("rollout-1")
        wait_until(lambda: "rollout-1" not in alive(cluster), 15.0)
        assert cluster.add_node("rollout").name in alive(cluster)
        if network == "namespaces":
            cluster.partition("rollout-2")
        else:
            cluster.freeze_node("rollout-2")
        wait_until(lambda: "rollout-2" not in alive(cluster), 15.0)
        assert cluster.processes("rollout-2") != []  # it is there, and no part counts on it
        done = drive(cluster)
        assert done.stdout.strip() == cluster.node("rollout-3").ip, done.stderr
    assert local_clusters() == []
    assert not temporary.exists()
    assert [process.pid for process in psutil.process_iter() if str(temporary) in " ".join(_command(process))] == []
    for words in (["ip", "netns", "list"], ["ip", "-o", "link"]) if network == "namespaces" else ():
        listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert f"robonav-{mark}" not in listed
        assert f"rn{mark}" not in listed


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
