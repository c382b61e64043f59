"""A server on Ray Serve, in a Ray of its own.

::

    own Ray on loopback --> Serve: HTTP proxy --> replicas (Door, networks) --sums--> Tally, for /metrics
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import ray
from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve._private import replica
from ray.serve.exceptions import RayServeException
from starlette.requests import Request
from starlette.responses import Response

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.deploy import door
from robonav_ray.deploy.counts import BATCH, Sums
from robonav_ray.deploy.served import Plan, Served, ServeError
from robonav_ray.errors import RunFaultError
from robonav_ray.evaluation.fleet.split import Arm
from robonav_ray.nodes.connection import connected
from robonav_ray.nodes.own_ray import what_died

MAX_BATCH, MAX_ONGOING, MAX_QUEUED = 64, 100, 1000
"""Requests that one call of a network answers; that a replica has under way; that wait for one: more are answered with
503."""
REQUEST_TIMEOUT_S, TALLY_EVERY_S = 10.0, 1.0
_APP = "robonav"


class Tally:
    """The sums of all replicas; those of one that has ended stay, so that none ever falls."""

    def __init__(self) -> None:
        self._sums = dict[str, Sums]()

    def put(self, replica: str, sums: Sums) -> list[Sums]:
        """Take those of one replica, and return those of all."""
        self._sums[replica] = sums
        return list(self._sums.values())


class PolicyReplica:
    """One process that answers requests."""

    def __init__(self, served: Plan, expected: bytes, tally: Any) -> None:
        """Open the networks; ``expected`` is the hash of the token, ``tally`` a handle of the actor."""
        _close_inner_port()
        self._served, self._tally = Served(served), tally
        self._door = door.Door(self._served, expected, self._infer, self._collect)
        self._name = ray_serve.get_replica_context().replica_id.unique_id
        self._will_tell = False

    async def __call__(self, request: Request) -> Response:
        """Answer a request to any path."""
        headers = request.headers
        asked = door.Request(
            request.method,
            request.url.path,
            headers.get("authorization"),
            headers.get("content-length"),
            request.stream(),
        )
        reply = await self._door.answer(asked)
        if not self._will_tell:
            self._will_tell = True
            asyncio.get_running_loop().call_later(TALLY_EVERY_S, self._tell)
        return Response(reply.body, reply.code, reply.headers, media_type=reply.content_type)

    def check_health(self) -> None:
        """Raise where the networks do not answer; Serve starts another replica then."""
        zeros = np.zeros((1, self._served.spec.obs_dim), np.float32)
        self._served.q_values([(arm, zeros) for arm in self._served.names])

    def _tell(self) -> None:
        self._will_tell = False
        self._tally.put.remote(self._name, self._door.counts.sums())

    async def _infer(self, arm: Arm, obs: np.ndarray) -> np.ndarray:
        return await self._together((arm, obs))

    @ray_serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.0)
    async def _together(self, rows: list[tuple[Arm, np.ndarray]]) -> list[np.ndarray]:
        self._door.counts.observe(BATCH, float(sum(len(obs) for _, obs in rows)))
        return self._served.q_values(rows)

    async def _collect(self, sums: Sums) -> list[Sums]:
        return await self._tally.put.remote(self._name, sums)


def _close_inner_port() -> None:
    """Have Serve open no port for calls between deployments in this process: there is one deployment.

    Ray 2.60 listens there at every address of the machine, asks for no token, and unpickles what comes
    (``serve/_private/replica.py``, ``_on_initialized``, which runs after the constructor).
    """
    replica.add_port_to_grpc_server = lambda *_: 0  # pyright: ignore[reportPrivateImportUsage]


@contextlib.contextmanager
def answering(served: Plan, expected: bytes, host: str, port: int, replicas: int) -> Iterator[Callable[[], str | None]]:
    """Have a server answer while the block runs; yields what says which daemon of its Ray has ended, None where none.

    Raises:
        ServeError: When this process has a Ray session already.
        RunFaultError: When Ray Serve does not start.
    """
    if ray.is_initialized():
        raise ServeError("this program has a Ray session already, and a server has one of its own: start it elsewhere")
    with connected(RuntimeConfig(address="local")), _deployed(served, expected, host, port, replicas):
        yield what_died


@contextlib.contextmanager
def _deployed(served: Plan, expected: bytes, host: str, port: int, replicas: int) -> Iterator[None]:
    """Have Serve run in the Ray that there is."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = {"log_level": "WARNING", "enable_access_log": False}
    options = {"host": host, "port": port, "request_timeout_s": REQUEST_TIMEOUT_S}
    try:
        try:
            ray_serve.start(proxy_location="HeadOnly", http_options=options, logging_config=quiet)
            tally = ray.remote(Tally).options(num_cpus=0, max_restarts=-1).remote()
            plain: Any = ray_serve.deployment(PolicyReplica)
            deployment = plain.options(
                num_replicas=replicas,
                ray_actor_options={"num_cpus": 0},
                max_ongoing_requests=MAX_ONGOING,
                max_queued_requests=MAX_QUEUED,
                max_constructor_retry_count=2,
                graceful_shutdown_timeout_s=5.0,
                logging_config=quiet,
            )
            ray_serve.run(deployment.bind(served, expected, tally), name=_APP, logging_config=quiet)
        except (RuntimeError, TimeoutError, RayError, RayServeException) as error:
            raise RunFaultError(f"Ray Serve does not start: {(str(error).splitlines() or [''])[0]}") from error
        yield
    finally:
        ray_serve.shutdown()
