"""A real server: `robonav serve` on Ray Serve, asked over loopback, until a signal ends it and its Ray."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from robonav_policy import Policy, read_bundle
from robonav_policy.models import open_model
from robonav_ray.deploy.export import export
from robonav_ray.evaluation.fleet.split import FleetSplit
from tests.made_up_runs import make_run
from tests.two_models import models_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    """A server, and what is said to it."""

    process: subprocess.Popen[str]
    port: int
    token: str

    def send(self, method: str, path: str, body: object = None, token: str | None = None, **headers: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        bearer = {"Authorization": f"Bearer {self.token if token is None else token}"} | headers
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body), bearer)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data[:1] == b"{" else data.decode()

    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running(tmp_path: Path, *words: object, number: int = signal.SIGTERM, **environment: str) -> Iterator[Running]:
    """Run ``robonav serve`` and end it by a signal: with 0, and with nothing left."""
    token = secrets.token_hex(32)
    file = tmp_path / "serve.token"
    file.touch(0o600)
    file.write_text(token)
    command = [sys.executable, "-m", "robonav_ray.cli", "serve", *map(str, words), "--port", "0"]
    with subprocess.Popen(
        [*command, "--token-file", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    ) as process:
        timer = threading.Timer(200, process.kill)
        timer.start()
        assert process.stdout is not None
        lines = list[str]()
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"serving at http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            pytest.fail("".join(lines))
        server = Running(process, int(found[1]), token)
        try:
            yield server
        finally:
            left = server.below()
            process.send_signal(number)
            rest = process.stdout.read()
            code = process.wait(60)
            timer.cancel()
        assert (code, "Traceback" in rest) == (0, False), rest
        _, alive = psutil.wait_procs(left, timeout=10)
        assert [one.cmdline() for one in alive] == []


def test_a_server_answers_as_the_policy_does_and_ends_with_its_ray(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ("algo.hidden_dims=[16]",), steps=(100,))
    bundle = export(run.path, out=tmp_path / "bundle").folder
    spec = read_bundle(bundle).spec
    obs = np.random.default_rng(0).uniform(-1, 1, (32, spec.obs_dim)).astype(np.float32)
    with running(tmp_path, bundle, "--replicas", 2, number=signal.SIGINT) as server:
        code, told = server.send("POST", "/act", {"obs": obs.tolist(), "q_values": True})
        q = np.array(told["q_values"], np.float32)
        assert code == 200
        assert np.allclose(q, open_model(read_bundle(bundle))(obs), atol=1e-5)

        # a robot's own package makes the observation and keeps the limits; the network is asked over HTTP
        def q_values(rows: np.ndarray) -> np.ndarray:
            told = server.send("POST", "/act", {"obs": rows.tolist(), "q_values": True})[1]
            return np.array(told["q_values"], np.float32)

        robot = Policy(spec, q_values)
        mine, ranges = Policy.load(bundle), np.full(spec.scan.num_beams, 2.0)
        for pose in ((0.0, 0.0, 0.0), (0.1, 0.0, 0.1)):
            assert robot.act(ranges, pose, (3.0, 1.0)) == mine.act(ranges, pose, (3.0, 1.0))
        for path in ("/act", "/health", "/metrics", "/docs", "/"):
            assert server.send("GET", path, token="x" * 64)[0] == 401
        assert server.send("GET", "/health")[1]["obs_dim"] == spec.obs_dim
        assert server.send("POST", "/act", b'{"obs": [NaN]}')[0] == 400
        assert server.send("POST", "/act", {"obs": [1.0]})[0] == 422
        assert server.send("POST", "/act", b" " * 4_000_001)[0] == 413
        threads = [threading.Thread(target=server.send, args=("POST", "/act", {"obs": obs[0].tolist()}))
                   for _ in range(60)]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted, until = 'robonav_serve_requests_total{path="/act",code="422"} 1\n', time.monotonic() + 30
        while wanted not in server.send("GET", "/metrics")[1]:  # a replica tells of its requests within a second
            assert time.monotonic() < until
            time.sleep(0.2)
        listening = {
            one.laddr.ip
            for process in server.below()
            for one in process.net_connections("tcp")
            if one.status == "LISTEN"
        }
        assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_a_split_drives_its_share(tmp_path: Path) -> None:
    registry = models_in(tmp_path / "models")
    split = FleetSplit("robot_nav", "1", "2", 0.5, "salt")
    split.save(tmp_path / "fleet")
    words = ("robot_nav@champion", "--split", tmp_path / "fleet")
    with running(tmp_path, *words, ROBONAV_REGISTRY=str(registry.location)) as server:
        dim = server.send("GET", "/health")[1]["obs_dim"]
        for episode in range(10):
            asked = {"obs": [0.0] * dim, "robot": "AMR-7", "episode": episode}
            code, told = server.send("POST", "/act", asked)
            assert (code, told["arm"]) == (200, split.arm_of("AMR-7", episode))
            assert told["version"] == f"robot_nav@{split.version_of(told['arm'])}"
    assert len((tmp_path / "fleet" / "exposures.jsonl").read_text().splitlines()) == 10
