"""The HTTP side of a server, without its server: from method, path, headers and body to a code and an answer.

::

    every path --bearer.py--> 401 | /act --act_request.py--> 4xx | --served.py--> arm --infer--> Q values -> actions
                                  | /health | /metrics | 404 | 405
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robonav_ray.deploy.act_request import RefusedRequest, parse_act, read_body
from robonav_ray.deploy.bearer import lets_in
from robonav_ray.deploy.counts import CONTENT_TYPE, OBSERVATIONS, REQUESTS, SECONDS, Counts, Sums, page
from robonav_ray.deploy.served import Served
from robonav_ray.evaluation.fleet.split import Arm

PATHS = {"/act": "POST", "/health": "GET", "/metrics": "GET"}
Infer = Callable[[Arm, np.ndarray], Awaitable[np.ndarray]]
"""(arm, obs (N, D)) -> Q values (N, A)."""
Collect = Callable[[Sums], Awaitable[Iterable[Sums]]]
"""The sums of this process -> those of all."""


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    authorization: str | None
    content_length: str | None
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class Reply:
    """What it is answered with."""

    code: int
    body: bytes
    content_type: str = "application/json"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of HTTP besides the type."""
        found = {"cache-control": "no-store"}
        return {**found, "www-authenticate": "Bearer"} if self.code == 401 else found


class Door:
    """Answers the requests of one process."""

    def __init__(self, served: Served, expected: bytes, infer: Infer, collect: Collect) -> None:
        """``expected`` is the hash of the token; ``infer`` asks the networks, ``collect`` the other processes."""
        self._served, self._expected, self._infer, self._collect = served, expected, infer, collect
        self.counts = Counts()

    async def answer(self, request: Request) -> Reply:
        """Return the answer; what is wrong with a request is told in one message, ``{"error": "..."}``."""
        start = time.perf_counter()
        try:
            reply = await self._answer(request)
        except RefusedRequest as error:
            reply = _json(error.code, {"error": str(error)})
        known = request.path if request.path in PATHS else "other"
        self.counts.add(REQUESTS, path=known, code=str(reply.code))
        if known == "/act":
            self.counts.observe(SECONDS, time.perf_counter() - start)
        return reply

    async def _answer(self, request: Request) -> Reply:
        if not lets_in(request.authorization, self._expected):
            raise RefusedRequest(401, "the token is missing or wrong; send Authorization: Bearer TOKEN")
        if request.path not in PATHS:
            raise RefusedRequest(404, f"there is no {request.path[:80]}; there are {', '.join(PATHS)}")
        if request.method != PATHS[request.path]:
            raise RefusedRequest(405, f"{request.path} takes {PATHS[request.path]}")
        if request.path == "/act":
            return await self._act(await read_body(request.chunks, request.content_length))
        if request.path == "/health":
            return _json(200, self.health())
        gauges = {"robonav_serve_rolled_back": float(self._served.is_rolled_back)}
        text = page(await self._collect(self.counts.sums()), gauges)
        return Reply(200, text.encode(), CONTENT_TYPE)

    def health(self) -> dict[str, Any]:
        """Return what is served."""
        served = self._served
        versions = {arm: {"name": name, "bundle_sha256": served.sha256[arm]} for arm, name in served.names.items()}
        return {
            "status": "ok",
            "policies": versions,
            "obs_dim": served.spec.obs_dim,
            "num_actions": served.spec.num_actions,
            "is_split": served.splits,
            "is_rolled_back": served.is_rolled_back,
        }

    async def _act(self, body: bytes) -> Reply:
        served = self._served
        asked = parse_act(body, served.spec.obs_dim, splits=served.splits)
        arm = served.arm_of(asked.episode)
        q = await self._infer(arm, asked.obs)
        if not np.isfinite(q).all():
            raise RefusedRequest(422, "the network gives Q values that are not finite for this obs")
        self.counts.add(OBSERVATIONS, float(len(q)), version=served.names[arm], arm=arm)
        first = (lambda rows: rows[0]) if asked.is_single else (lambda rows: rows)
        told: dict[str, Any] = {
            "action": first(q.argmax(axis=1).tolist()),
            "command": first(served.command(q)),
            "version": served.names[arm],
            "arm": arm,
        }
        if asked.q_values:
            told["q_values"] = first(q.tolist())
        return _json(200, told)


def _json(code: int, told: Mapping[str, Any]) -> Reply:
    return Reply(code, (json.dumps(told, allow_nan=False) + "\n").encode())
