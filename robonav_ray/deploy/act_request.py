"""A request to ``/act``: read within bounds, and vetted by value before a network sees it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from robonav_ray.evaluation.fleet.split import FleetError, check_episode, check_word

MAX_BODY_BYTES = 4_000_000
MAX_ROWS = 1024
"""Observations in one request."""
_KEYS = ("obs", "q_values", "robot", "episode")


class RefusedRequest(Exception):
    """A request that is answered with a code of HTTP and one message."""

    def __init__(self, code: int, message: str) -> None:
        """``code``: 400 to 499."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ActRequest:
    """What a client asks for."""

    obs: np.ndarray
    """(N, D) float32, finite."""
    is_single: bool
    """Whether it gave one observation (D,), and is answered with one action."""
    q_values: bool
    episode: tuple[str, int] | None
    """Robot and its episode; None where none was told."""


async def read_body(chunks: AsyncIterator[bytes], declared: str | None) -> bytes:
    """Return the whole body.

    Raises:
        RefusedRequest: When it has more than MAX_BODY_BYTES, by its header (nothing is read then) or by what comes.
    """
    if declared is not None and declared.isdigit() and int(declared[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(data)


def parse_act(body: bytes, obs_dim: int, *, splits: bool) -> ActRequest:
    """Return what a body asks for: ``{"obs": [...], "q_values": false, "robot": "AMR-7", "episode": 12}``.

    Args:
        body: JSON; ``obs`` is (D,) or (N, D).
        obs_dim: D.
        splits: Whether robot and episode are needed.

    Raises:
        RefusedRequest: 400 for what is no JSON object, or holds NaN or an infinity; 413 for too many rows; 422 for
            another key, another shape, or a value that cannot be.
    """
    try:
        told: Any = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RefusedRequest(400, 'the body is no JSON; send {"obs": [[...], ...]}') from None
    if not isinstance(told, dict):
        raise RefusedRequest(400, 'the body is no JSON object; send {"obs": [[...], ...]}')
    if unknown := [key for key in told if key not in _KEYS]:
        raise RefusedRequest(422, f"there is no key {unknown[0][:40]!r}; there are {', '.join(_KEYS)}")
    if "obs" not in told:
        raise RefusedRequest(422, f"obs is missing: numbers, ({obs_dim},) or (N, {obs_dim})")
    wants = told.get("q_values", False)
    if not isinstance(wants, bool):
        raise RefusedRequest(422, "q_values must be true or false")
    obs = _observations(told["obs"], obs_dim)
    return ActRequest(np.atleast_2d(obs), obs.ndim == 1, wants, _episode(told, splits))


def _observations(given: Any, obs_dim: int) -> np.ndarray:
    if isinstance(given, list) and len(given) > max(MAX_ROWS, obs_dim):
        raise RefusedRequest(413, f"obs has {len(given)} rows, and a request has at most {MAX_ROWS}")
    try:
        found = np.array(given)
    except (ValueError, OverflowError, RecursionError):
        found = np.zeros(0)
    if found.dtype.kind not in "fiu" or found.ndim not in (1, 2) or found.shape[-1] != obs_dim or not len(found):
        shape = f"{found.shape}" if found.dtype.kind in "fiu" and found.size else "something else"
        raise RefusedRequest(422, f"obs must be numbers, ({obs_dim},) or (N, {obs_dim}); it is {shape}")
    if found.ndim == 2 and len(found) > MAX_ROWS:
        raise RefusedRequest(413, f"obs has {len(found)} rows, and a request has at most {MAX_ROWS}")
    with np.errstate(over="ignore"):
        obs = found.astype(np.float32)
    if not np.isfinite(obs).all():
        raise RefusedRequest(422, "obs holds a number that is not finite in float32")
    return obs


def _episode(told: dict[str, Any], splits: bool) -> tuple[str, int] | None:
    if "robot" not in told and "episode" not in told:
        if splits:
            raise RefusedRequest(422, "robot and episode are missing: by them it is decided which version drives")
        return None
    try:
        return check_word(told.get("robot"), "robot"), check_episode(told.get("episode"))
    except FleetError as error:
        raise RefusedRequest(422, str(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise RefusedRequest(400, f"the body holds {name}, which is no JSON and no number that a policy can act on")


def _too_large() -> RefusedRequest:
    return RefusedRequest(413, f"the body has more than {MAX_BODY_BYTES} bytes")
