"""What an action costs over HTTP: latencies of `robonav serve` over loopback, alone, in batches, and from many clients
at once, beside the same policy in the client's own process.

The server is a process of its own, as people start it; clients keep their connections. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robonav_policy import read_bundle
from robonav_policy.models import open_model
from robonav_ray.screen import say

START_S, END_S = 120.0, 60.0
_SERVING = re.compile(r"serving at http://([^:]+):(\d+):")


@dataclass(frozen=True)
class Address:
    """Where a server listens, and what lets one in."""

    host: str
    port: int
    token: str


@contextmanager
def server(bundle: Path, *options: str) -> Iterator[Address]:
    """Run ``robonav serve`` while the block runs."""
    token = secrets.token_hex(32)
    words = [sys.executable, "-m", "robonav_ray.cli", "serve", str(bundle), "--port", "0", *options]
    environment = {**os.environ, "ROBONAV_SERVE_TOKEN": token}
    start = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        timer = threading.Timer(START_S, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            found = next((match for line in process.stdout if (match := _SERVING.search(line))), None)
            if found is None:
                raise RuntimeError("the server did not start; its last lines say why")
            timer.cancel()
            say(f"started in {time.perf_counter() - start:.1f} s")
            yield Address(found[1], int(found[2]), token)
        finally:
            timer.cancel()
            process.send_signal(signal.SIGTERM)
            code = process.wait(END_S)
            say(f"ended with exit code {code}")


class Client:
    """One connection that is kept."""

    def __init__(self, address: Address) -> None:
        """Connect."""
        self._connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"}

    def act(self, obs: np.ndarray) -> tuple[float, dict[str, Any]]:
        """Return seconds from the observation to the parsed answer, and the answer."""
        start = time.perf_counter()
        self._connection.request("POST", "/act", json.dumps({"obs": obs.tolist()}), self._headers)
        answer = self._connection.getresponse()
        told = json.loads(answer.read())
        seconds = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {told}")
        return seconds, told


def row(seconds: Sequence[float], rows: int, wall_s: float) -> dict[str, float]:
    """Return the figures of one kind of request, each with ``rows`` observations."""
    ms = 1e3 * np.array(seconds)
    return {
        "requests": len(ms),
        "rows": rows,
        "p50_ms": round(float(np.median(ms)), 3),
        "p99_ms": round(float(np.quantile(ms, 0.99)), 3),
        "most_ms": round(float(ms.max()), 3),
        "observations_per_s": round(len(ms) * rows / wall_s, 1),
    }


def one_client(address: Address, obs: np.ndarray, requests: int) -> dict[str, float]:
    """Return the figures of one client that asks for ``obs`` (N, D), one request after another."""
    client = Client(address)
    for _ in range(50):
        client.act(obs)
    start = time.perf_counter()
    seconds = [client.act(obs)[0] for _ in range(requests)]
    return row(seconds, len(obs), time.perf_counter() - start)


def many_clients(address: Address, obs: np.ndarray, requests: int, num: int) -> dict[str, float]:
    """As ``one_client``, of ``num`` clients at once."""
    found: list[list[float]] = [[] for _ in range(num)]

    def work(which: int) -> None:
        client = Client(address)
        found[which] = [client.act(obs)[0] for _ in range(requests // num)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(num)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return row([second for one in found for second in one], len(obs), time.perf_counter() - start)


def in_process(bundle: Path, obs: np.ndarray, requests: int) -> dict[str, float]:
    """Return the figures of the network in this process."""
    model, seconds = open_model(read_bundle(bundle)), []
    for _ in range(requests):
        start = time.perf_counter()
        model(obs).argmax(axis=1)
        seconds.append(time.perf_counter() - start)
    return row(seconds, len(obs), sum(seconds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args(arguments)
    dim = read_bundle(options.bundle).spec.obs_dim
    obs = np.random.default_rng(0).uniform(-1.0, 1.0, (64, dim)).astype(np.float32)
    told = {"in_process": in_process(options.bundle, obs[:1], options.requests)}
    with server(options.bundle) as address:
        for name, rows in (("single", 1), ("batch_16", 16), ("batch_64", 64)):
            told[name] = one_client(address, obs[:rows], options.requests)
            say(f"{name}: {told[name]}")
        for num in (4, 16):
            told[f"clients_{num}"] = many_clients(address, obs[:1], options.requests, num)
            say(f"clients_{num}: {told[f'clients_{num}']}")
    say(json.dumps(told))
