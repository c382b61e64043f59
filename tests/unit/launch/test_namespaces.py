"""Network namespaces of a local cluster: what is named, and what is removed when a bridge is half made."""

from __future__ import annotations

import re
import subprocess

import pytest

from robonav_ray.launch import namespaces
from robonav_ray.launch.namespaces import Bridge
from robonav_ray.verbs.cluster import cluster_app


def test_a_bridge_that_is_half_made_is_removed_whatever_went_wrong(monkeypatch):
    removed: list[Bridge] = []

    def ip(*words, check=True):
        if "addr" in words and "add" in words:
            raise subprocess.TimeoutExpired("ip", 20)
        return subprocess.CompletedProcess(words, 0, stdout="[]", stderr="")

    monkeypatch.setattr(namespaces, "_ip", ip)
    monkeypatch.setattr(namespaces, "remove_bridge", removed.append)
    with pytest.raises(subprocess.TimeoutExpired):
        namespaces.make_bridge("abcdef")
    assert [bridge.tag for bridge in removed] == ["abcdef"]


def test_who_becomes_root_names_the_program_whole():
    """`sudo` has a PATH of its own, which does not hold a virtual environment's programs."""
    shown = [
        word for command in cluster_app.registered_commands for word in re.findall("`(.*?)`", command.epilog or "")
    ]
    assert [word for word in shown if "sudo" in word] == [
        'sudo "$(command -v robonav)" cluster up local.network=namespaces'
    ]


def test_names_of_interfaces_fit_into_15_characters():
    bridge = Bridge("abcdef", 254)
    assert max(len(name) for name in (bridge.name, bridge.link(250), f"rn{bridge.tag}p250")) <= 15
    assert bridge.address(0) == "10.200.254.1"
    assert bridge.address(250) == "10.200.254.251"
