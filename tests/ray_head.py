"""A Ray head of one's own for tests: token authentication, own ports, own home and temporary directory, ended with all
it started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from robonav_ray.errors import UserError
from robonav_ray.launch.processes import MARK, Trace, kill_processes
from robonav_ray.nodes.private_folder import make_private_folder
from robonav_ray.nodes.probe import check_dashboard


@dataclass(frozen=True)
class Head:
    address: str
    dashboard: str
    token: str
    home: Path
    storage: Path

    def environment(self, home: Path, token: str | None = "") -> dict[str, str]:
        """The environment of another machine: its own home, with the token (another one; None: none) and nothing else
        of Ray's."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "ROBONAV_"))}
        if token is not None:
            path = home / ".ray" / "auth_token"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(token or self.token)
            path.chmod(0o600)
        return {**kept, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"}


@contextmanager
def ray_head(first_port: int, num_cpus: int = 4, **environment: str) -> Iterator[Head]:
    """Start a head whose ports are ``first_port`` and up (250 of them); yields when its dashboard answers."""
    folder = make_private_folder("head", below="ray")
    token, storage = uuid.uuid4().hex, folder / "shared"
    storage.mkdir()
    head = Head(f"127.0.0.1:{first_port}", f"http://127.0.0.1:{first_port + 1}", token, folder / "home", storage)
    env = head.environment(folder / "home") | {
        "RAY_AUTH_MODE": "token",
        "RAY_JOB_STOP_WAIT_TIME_S": "45",
        "OMP_NUM_THREADS": "1",
    }
    ports = ("ray-client-server-port", "object-manager-port", "node-manager-port", "metrics-export-port",
             "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port")  # fmt: skip
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats",
        "--node-ip-address", "127.0.0.1", "--port", str(first_port), "--dashboard-host", "127.0.0.1",
        "--dashboard-port", str(first_port + 1),
        *(word for i, name in enumerate(ports) for word in (f"--{name}", str(first_port + 2 + i))), "--min-worker-port",
        str(first_port + 20), "--max-worker-port", str(first_port + 240), "--num-cpus", str(num_cpus),
        "--object-store-memory", "120000000", "--temp-dir", str(folder / "ray"),
    ]  # fmt: skip
    mark = f"test-head:{folder.name}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=env | {"ROBONAV_STORAGE": str(storage), MARK: mark, **environment}, stdout=log,
            stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
        )  # fmt: skip
    trace = Trace(mark, process.pid, psutil.Process(process.pid).create_time())
    try:
        _wait_until_up(head, process, folder / "log")
        yield head
    finally:
        _end(process, trace)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_up(head: Head, process: subprocess.Popen[bytes], log: Path) -> None:
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": head.token})
    until = time.monotonic() + 90
    try:
        while True:
            assert process.poll() is None, log.read_text()
            try:
                return check_dashboard(head.dashboard, "the test's head")
            except UserError:
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.5)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end(process: subprocess.Popen[bytes], trace: Trace) -> None:
    """SIGTERM to the head, SIGKILL to what is left of it; nothing that it started stays, and nothing else is
    touched."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=15)
    assert kill_processes([trace]) == []
    process.wait(timeout=10)
