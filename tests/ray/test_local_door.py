"""The Ray that a run starts for itself: on loopback only, closed to who has no token, gone with the run."""

from __future__ import annotations

import http.client
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from robonav_ray.nodes.auth import Token
from robonav_ray.nodes.probe import ClusterError, check_cluster
from tests.e2e.test_local_wiring import SMALL

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(700)]


def listening(process: psutil.Process) -> dict[int, tuple[str, str]]:
    """Port -> (address, process) of everything that listens below ``process``."""
    found = {}
    for one in [process, *process.children(recursive=True)]:
        try:
            for connection in one.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found[connection.laddr.port] = (connection.laddr.ip, one.name())
        except psutil.Error:
            continue
    return found


def test_a_local_ray_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"HOME": str(home)}
    command = [sys.executable, "-m", "robonav_ray.cli", "train", *SMALL, "tracking.interval_s=0.2",
               "tracking.panel=plain", "runtime.object_store_bytes=100000000", "runtime.num_cpus=4",
               "runtime.dashboard=true"]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        process = psutil.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 400
        while not any("learner/loss" in p.read_text() for p in tmp_path.glob("runs/*/metrics.jsonl")):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.3)
        ports = listening(process)
        everybody = process.children(recursive=True)
        assert {ip.removeprefix("::ffff:") for ip, _ in ports.values()} == {"127.0.0.1"}, ports
        token = home / ".ray" / "auth_token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert stat.S_IMODE(token.parent.stat().st_mode) & 0o022 == 0

        (gcs,) = (port for port, (_, name) in ports.items() if name.startswith("gcs_server"))
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        check_cluster(f"127.0.0.1:{gcs}", "test")  # with the token it answers
        monkeypatch.setenv("RAY_AUTH_TOKEN", "guessed-0123456789abcdef")
        with pytest.raises(ClusterError, match="refuses the token"):
            check_cluster(f"127.0.0.1:{gcs}", "test")
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        with pytest.raises(ClusterError, match="asks for a token"):
            check_cluster(f"127.0.0.1:{gcs}", "test")
        assert statuses_of_dashboards(ports) == {(401, 403)}
        secret = token.read_text()
        assert not any(secret.encode() in p.read_bytes() for p in (tmp_path / "runs").rglob("*") if p.is_file())
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=90)
    assert code == 75, (tmp_path / "log").read_text()
    _, alive = psutil.wait_procs(everybody, timeout=30)
    assert [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def statuses_of_dashboards(ports: dict[int, tuple[str, str]]) -> set[tuple[int, ...]]:
    """What the dashboards' job API answers without a token, and with a wrong one."""
    found = set()
    for port, (_, name) in ports.items():
        if "gcs_server" in name or "raylet" in name:
            continue
        answers = []
        for headers in ({}, Token(None, "").headers | {"Authorization": "Bearer guessed-0123456789abcdef"}):
            try:
                asked = urllib.request.Request(f"http://127.0.0.1:{port}/api/jobs/", headers=headers)
                with urllib.request.urlopen(asked, timeout=5) as answer:
                    # metrics, which Ray shows to everybody who reaches the port
                    if answer.read(200).startswith(b"# HELP "):
                        break
                    answers.append(answer.status)
            except urllib.error.HTTPError as error:
                answers.append(error.code)
                error.close()
            except (OSError, ValueError, http.client.HTTPException):  # it speaks gRPC, or closes
                break
        if len(answers) == 2 and answers != [404, 404]:
            found.add(tuple(answers))
    return found
