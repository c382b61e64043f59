"""The local cluster without Ray: what is refused, what nodes are told, and that a failed start leaves nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import stat
import sys
from pathlib import Path

import psutil
import pytest

from robonav_ray.errors import UserError
from robonav_ray.launch import local_cluster as module
from robonav_ray.launch import local_places, local_state, namespaces
from robonav_ray.launch.local_cluster import (
    LocalCluster,
    LocalGroup,
    LocalNode,
    LocalOptions,
    local_clusters,
    local_options,
)
from robonav_ray.launch.local_state import LAST_PORT, PORTS_PER_NODE, LocalState, StateFile
from robonav_ray.launch.namespaces import Bridge
from robonav_ray.launch.node_start import start_command
from robonav_ray.launch.processes import MARK
from robonav_ray.nodes import private_folder
from robonav_ray.screen import Screen
from robonav_ray.verbs import cluster_commands

GROUPS = {"head": LocalGroup("head"), "rollout": LocalGroup("rollout", count=2, labels={"zone": "a"})}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    return tmp_path


@pytest.fixture
def nodes_that_only_sleep(monkeypatch):
    """Processes in place of Ray, and a head that knows all of them at once."""
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(module, "start_command", lambda state, node, address: sleep)
    monkeypatch.setattr(
        LocalCluster,
        "facts",
        lambda self: [module.NodeFacts(n.name, n.ip, n.index == 0, True, {}, {}) for n in self.nodes],
    )


def test_the_definition_says_what_one_machine_runs(definition):
    options = local_options(definition)
    assert options.head == "head"
    assert {name: group.count for name, group in options.groups.items()} == {"head": 1, "rollout": 1, "learner": 1}
    assert options.network == "loopback"


def test_a_cluster_is_written_down_found_and_leaves_nothing(nodes_that_only_sleep, home):
    cluster = LocalCluster.start(LocalOptions("unit", GROUPS))
    folder = home / ".robonav" / "clusters" / "unit"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.token_path.stat().st_mode) == 0o600
    assert len(cluster.token_path.read_text()) == 64
    assert cluster.token_path.read_text() not in (folder / "cluster.json").read_text()
    assert [node.name for node in cluster.nodes] == ["head", "rollout-1", "rollout-2"]
    assert len({node.ip for node in cluster.nodes}) == 3
    pids = [node.pid for node in cluster.nodes]
    temporary = json.loads((folder / "cluster.json").read_text())["folder"]

    other = LocalCluster.find("unit")
    assert other.address == cluster.address
    other.kill_node("rollout-1")
    assert not psutil.pid_exists(pids[1]) or psutil.Process(pids[1]).status() == psutil.STATUS_ZOMBIE
    cluster.freeze_node("rollout-2")
    assert cluster.node("rollout-2").condition == "frozen"
    cluster.thaw_node("rollout-2")
    added = cluster.add_node("rollout")
    assert added.name == "rollout-3"
    assert [node.name for node in cluster.nodes] == ["head", "rollout-2", "rollout-3"]
    cluster.stop()
    assert local_clusters() == []
    assert not folder.exists()
    assert not os.path.exists(temporary)
    assert not any(psutil.pid_exists(pid) for pid in [*pids, added.pid])


def test_a_start_that_fails_says_why_and_leaves_nothing(monkeypatch, home):
    monkeypatch.setattr(
        module,
        "start_command",
        lambda state, node, address: [sys.executable, "-c", "print('no such option'); raise SystemExit(3)"],
    )
    monkeypatch.setattr(LocalCluster, "facts", lambda self: None)
    with pytest.raises(
        UserError, match=r"'head' of cluster 'unit' ended at its start \(exit code 3\):\n  no such option"
    ):
        LocalCluster.start(LocalOptions("unit", GROUPS))
    assert local_clusters() == []
    assert list((home / ".robonav" / "clusters").iterdir()) == []


def test_a_head_that_never_answers_is_given_up(monkeypatch):
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(module, "start_command", lambda state, node, address: sleep)
    monkeypatch.setattr(LocalCluster, "facts", lambda self: None)
    with pytest.raises(UserError, match="head did not answer within"):
        LocalCluster.start(LocalOptions("unit", GROUPS), timeout_s=0.5)
    assert local_clusters() == []


def test_the_same_name_twice_is_refused_and_remains_are_cleared(nodes_that_only_sleep):
    first = LocalCluster.start(LocalOptions("unit", GROUPS))
    with pytest.raises(UserError, match="a local cluster 'unit' runs"):
        LocalCluster.start(LocalOptions("unit", GROUPS))
    for node in first.nodes:
        os.kill(node.pid, 9)
        first._children[node.pid].wait()
    again = LocalCluster.start(LocalOptions("unit", GROUPS))  # its processes are gone, its folder is not
    again.stop()
    assert local_clusters() == []


def test_a_name_that_is_being_started_is_refused_and_the_first_keeps_its_files(
    nodes_that_only_sleep, monkeypatch, home
):
    first = StateFile("unit")
    seen: list[str] = []
    wait_for = LocalCluster._wait_for

    def start_again(self, nodes, timeout_s):
        with pytest.raises(UserError, match=r"'unit' is being started by another process: .*name=OTHER"):
            LocalCluster.start(LocalOptions("unit", GROUPS))
        seen.append(first.token_path.read_text())
        return wait_for(self, nodes, timeout_s)

    monkeypatch.setattr(LocalCluster, "_wait_for", start_again)
    with LocalCluster.start(LocalOptions("unit", GROUPS)) as cluster:
        assert seen == [cluster.token_path.read_text()] * 2
        assert [path.name for path in (home / ".robonav" / "clusters").iterdir()] == ["unit"]


def test_a_name_is_refused_when_its_lock_was_removed_between_opening_and_locking(monkeypatch):
    file = StateFile("unit")
    flock = local_state.fcntl.flock

    def late(descriptor, how):
        (file.folder.parent / "unit.starting").unlink()  # what another process does when it has started its cluster
        flock(descriptor, how)

    monkeypatch.setattr(local_state.fcntl, "flock", late)
    with pytest.raises(UserError, match="is being started by another process"), file.starting():
        pass


@pytest.fixture
def bridges(monkeypatch):
    """Bridges and namespaces that are only noted."""
    there: set[str] = set()
    monkeypatch.setattr(namespaces, "check_allowed", lambda: None)
    monkeypatch.setattr(namespaces, "make_bridge", lambda tag: there.add(tag) or Bridge(tag, 7))
    monkeypatch.setattr(namespaces, "add_namespace", lambda bridge, index: there.add(bridge.namespace(index)))
    monkeypatch.setattr(namespaces, "remove_namespace", lambda bridge, index: there.discard(bridge.namespace(index)))

    def remove_bridge(bridge):
        there.difference_update({name for name in there if bridge.tag in name})
        return []

    monkeypatch.setattr(namespaces, "remove_bridge", remove_bridge)
    return there


@pytest.mark.parametrize("broken", ["make_private_folder", "create", "write", "_start_process", "starting"])
def test_a_start_without_room_is_refused_and_leaves_nothing(
    broken, nodes_that_only_sleep, bridges, monkeypatch, home, tmp_path
):
    def no_room(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full")

    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(private_folder, "_LONGEST_SOCKET", 1000)
    if broken == "starting":
        (home / ".robonav").write_text("a file where the folder should be")
    else:
        where = (
            local_places
            if broken == "make_private_folder"
            else LocalCluster
            if broken == "_start_process"
            else StateFile
        )
        monkeypatch.setattr(where, broken, no_room)
    with pytest.raises(UserError, match=r"cannot be started.*(No space left on device: '/full'|\.robonav/clusters)"):
        LocalCluster.start(LocalOptions("unit", GROUPS, network="namespaces"))
    assert bridges == set()
    assert list((tmp_path / "t").iterdir()) == []
    if broken != "starting":
        assert list((home / ".robonav" / "clusters").iterdir()) == []


@pytest.mark.parametrize("name", ["a/b", "../x", "A", "", "a b", "a\n", "-a", "a" * 32])
def test_a_name_that_is_none_makes_no_node(name, nodes_that_only_sleep, bridges):
    with LocalCluster.start(LocalOptions("unit", GROUPS, network="namespaces")) as cluster:
        before = set(bridges), cluster.all_nodes
        with pytest.raises(UserError, match="is no name of a node"):
            cluster.add_node("rollout", name)
        assert (set(bridges), LocalCluster.find("unit").all_nodes) == before


def test_a_node_that_cannot_be_started_is_forgotten(nodes_that_only_sleep, bridges, monkeypatch):
    with LocalCluster.start(LocalOptions("unit", GROUPS, network="namespaces")) as cluster:
        before = set(bridges), cluster.all_nodes
        with monkeypatch.context() as patch:
            patch.setattr(module, "start_command", lambda state, node, address: ["/no/such/program"])
            with pytest.raises(
                UserError, match=r"node 'rollout-3' of cluster 'unit' cannot be started: .*/no/such/program"
            ):
                cluster.add_node("rollout")
        assert (set(bridges), LocalCluster.find("unit").all_nodes) == before
        assert cluster.add_node("rollout").name == "rollout-3"


def test_down_says_how_a_job_is_stopped(nodes_that_only_sleep, monkeypatch):
    monkeypatch.setattr(cluster_commands, "ask_running_jobs", lambda url, token_path: ["nightly"])
    with LocalCluster.start(LocalOptions("unit", GROUPS)) as cluster:
        with pytest.raises(UserError) as caught:
            cluster_commands.down_command(None, False, Screen(file=io.StringIO()))
        command = (
            f"`RAY_AUTH_TOKEN_PATH={cluster.token_path} robonav jobs stop nightly --address {cluster.dashboard_url}`"
        )
        assert command in str(caught.value)


def test_nodes_are_told_the_token_and_not_the_callers(nodes_that_only_sleep, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the caller's own")
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with LocalCluster.start(LocalOptions("unit", GROUPS)) as cluster:
        environment = psutil.Process(cluster.node("rollout-1").pid).environ()
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN_PATH"] == str(cluster.token_path)
        assert environment[MARK].endswith(":rollout-1")
        assert environment["RAY_health_check_failure_threshold"] == "3"
        assert "RAY_AUTH_TOKEN" not in environment
        assert "RAY_ADDRESS" not in environment
        assert (
            environment["PATH"] == f"{Path(sys.executable).parent}:/usr/bin:/bin"
        )  # jobs find `robonav` without an activated venv
        assert cluster.driver_environment()["RAY_ADDRESS"] == cluster.address


def test_the_command_of_a_node(nodes_that_only_sleep, monkeypatch):
    with LocalCluster.start(LocalOptions("unit", GROUPS)) as cluster:
        monkeypatch.undo()
        head, worker = (
            start_command(cluster._state, cluster.node(name), cluster.address) for name in ("head", "rollout-2")
        )
    assert {"--head", "--block", "--dashboard-host=127.77.0.1"} <= set(head)
    assert {"--labels=robonav.group=rollout,robonav.role=rollout,zone=a", f"--address={cluster.address}"} <= set(worker)
    assert "--head" not in worker

    def ports(command: list[str]) -> list[int]:
        return [int(word.split("=")[1]) for word in command if "-port=" in word and "worker" not in word]

    def workers(command: list[str]) -> range:
        first, last = (int(word.split("=")[1]) for word in command if "worker-port" in word)
        return range(first, last + 1)

    every = ports(head) + ports(worker)
    assert len(set(every)) == len(every)
    assert not any(port in workers(head) or port in workers(worker) for port in every)
    assert not set(workers(head)) & set(workers(worker))
    assert max(workers(worker)) < LAST_PORT


def test_ports_that_are_taken_are_refused_or_passed_over(nodes_that_only_sleep):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        port = busy.getsockname()[1]
        while not 20_000 <= port <= 30_000:
            busy.close()
            busy = socket.socket()
            port = 20_000 + os.urandom(2)[0] * 30
            try:
                busy.bind(("127.0.0.1", port))
            except OSError:
                port = 0
        with pytest.raises(UserError, match=f"port {port} is taken"):
            LocalCluster.start(LocalOptions("unit", GROUPS, port_base=port))
        busy.close()


def test_too_many_nodes_for_the_ports():
    with pytest.raises(UserError, match="port_base"):
        LocalCluster.start(
            LocalOptions("unit", {"head": LocalGroup("head"), "rollout": LocalGroup("rollout", 40)}, port_base=30_000)
        )


def test_a_long_run_goes_back_to_blocks_of_the_dead():
    state = LocalState("unit", "m", "/tmp/x", 31_000, GROUPS, {})
    for index in range((LAST_PORT - 31_000) // PORTS_PER_NODE):
        assert state.free_index() == index
        state = state.changed(
            LocalNode(f"n{index}", "rollout", index, "127.77.0.9", 1, condition="killed" if index == 3 else "up")
        )
    assert state.free_index() == 3
    state = state.changed(LocalNode("n3", "rollout", 3, "127.77.0.9", 1))
    with pytest.raises(UserError, match="no ports are left"):
        state.free_index()


def test_unknown_nodes_and_groups_are_named_with_the_known(nodes_that_only_sleep):
    with LocalCluster.start(LocalOptions("unit", GROUPS)) as cluster:
        with pytest.raises(UserError, match="has no node 'rollout-9'; its nodes are head, rollout-1"):
            cluster.kill_node("rollout-9")
        with pytest.raises(UserError, match="has no group 'gpu'; its groups are head, rollout"):
            cluster.add_node("gpu")
        with pytest.raises(UserError, match="has its head"):
            cluster.add_node("head")
        with pytest.raises(UserError, match="has or had a node 'rollout-1'"):
            cluster.add_node("rollout", "rollout-1")
        with pytest.raises(UserError, match="has no network to cut"):
            cluster.partition("rollout-1")
    with pytest.raises(UserError, match="there is no local cluster 'unit'"):
        LocalCluster.find("unit")


def test_namespaces_need_root_and_linux(monkeypatch):
    options = LocalOptions("unit", GROUPS, network="namespaces")
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="only root may make"):
        LocalCluster.start(options)
    monkeypatch.setattr(namespaces.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="needs Linux with the command `ip`"):
        LocalCluster.start(options)
    assert local_clusters() == []


def test_a_damaged_note_is_named():
    file = StateFile("unit")
    file.create()
    file.path.write_text("{")
    with pytest.raises(UserError, match=r"cluster\.json: is not the JSON"):
        file.read()


def test_a_cluster_is_named_as_it_was_when_it_was_started(nodes_that_only_sleep):
    console = Screen(file=io.StringIO())
    with LocalCluster.start(LocalOptions("lab", GROUPS)) as cluster:
        assert (
            cluster_commands.address_command("lab", console)
            == cluster_commands.address_command("name=lab", console)
            == 0
        )
        assert cluster_commands.address_command(None, console) == 0
        assert console.file.getvalue().split() == [cluster.address] * 3
        with pytest.raises(UserError, match=r"no local cluster 'labb'; there is lab$"):
            cluster_commands.address_command("labb", console)
    with pytest.raises(UserError, match="no local cluster 'lab'; `robonav cluster up` starts one"):
        cluster_commands.address_command("lab", console)
