"""Tables fit 80 columns with every content; ``--json`` is one JSON document on standard output and nothing
else."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from robonav_ray.launch import submit
from robonav_ray.launch.dashboard import NodeFacts
from robonav_ray.launch.local_state import LocalNode
from robonav_ray.launch.submit import JobFacts
from robonav_ray.nodes import doctor
from robonav_ray.nodes.doctor import Finding
from robonav_ray.tuning.search_records import History
from robonav_ray.tuning.views.show import history_dict
from robonav_ray.verbs import cluster_commands
from tests.conftest import Robonav

LONG = "Linux-6.8.0-1021-generic-x86_64-with-glibc2.39 and a text that goes on and on, " * 2
PATH = "/a/path/without/any/space/in/it/" + "x" * 90


@pytest.fixture
def said(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: str, code: int = 0) -> str:
        ended, out, err = robonav_here(*words)
        assert ended == code, err
        if "--json" not in words:
            assert max(map(len, out.splitlines())) <= 80, out
        return out

    return call


def test_env_show(said: Callable[..., str]) -> None:
    for words in ([], ["env.id=CartPole-v1"], ["env.world.lidar.num_beams=72"]):
        said("env", "show", *words)
        assert json.loads(said("env", "show", *words, "--json"))


def test_doctor(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Finding("machine", True, LONG), Finding("kernels", False, PATH, f"{LONG} {PATH}")]
    monkeypatch.setattr(doctor, "look_around", lambda: findings)
    assert "1 problem(s)" in said("doctor", code=1)
    assert [f["ok"] for f in json.loads(said("doctor", "--json", code=1))] == [True, False]


def test_jobs_list(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [
        JobFacts("raysubmit_" + "a" * 40, "running", None, None, f"robonav train {PATH} seed=3"),
        JobFacts("nightly", "succeeded", 0, "2026-11-22 18:15:00", "robonav train quick"),
    ]
    monkeypatch.setattr(submit, "list_jobs", lambda address: ("http://head:8265", jobs))
    assert "nightly" in said("jobs", "list")
    assert [job["exit_code"] for job in json.loads(said("jobs", "list", "--json"))] == [None, 0]


def test_cluster_status(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    names = ["head", "rollout-with-a-very-long-name-1"]
    nodes = [
        LocalNode(index=i, name=name, group="rollout", ip="127.77.0.100", pid=4_194_303) for i, name in enumerate(names)
    ]

    class Cluster:
        name, address, dashboard_url, token_path = "robonav", "127.77.0.1:20001", "http://127.77.0.1:20002", tmp_path
        all_nodes = nodes

        def facts(self) -> list[NodeFacts]:
            return [NodeFacts(node.name, node.ip, node.name == "head", True, {"CPU": 128.0}, {}) for node in nodes]

        def processes(self, name: str) -> list[int]:
            return list(range(100))

    monkeypatch.setattr(cluster_commands, "local_clusters", lambda: ["robonav"])
    monkeypatch.setattr(cluster_commands.LocalCluster, "find", lambda name: Cluster())
    monkeypatch.setattr(cluster_commands, "ask_running_jobs", lambda url, path: ["one"])
    assert "128" in said("cluster", "status")
    status = json.loads(said("cluster", "status", "--json"))
    assert (status["jobs"], status["nodes"][1]["condition"]) == (["one"], "alive")


def test_a_search_as_json() -> None:
    history = History()
    history.take({"event": "trial", "trial": "00000", "params": {"learner.learning_rate": 0.001}})
    told = json.loads(json.dumps(history_dict(history, "runs/asha")))
    assert told["best"] is None
    assert told["trials"][0]["params"] == {"learner.learning_rate": 0.001}
    assert told["trials"][0]["objective"] is None
