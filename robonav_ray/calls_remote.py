"""Calls to Ray's actors; implements what ``calls.py`` promises, and tells Ray's errors apart once for all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from robonav_ray.calls import CallFailedError, MetGoneError, PartAwayError, PartGoneError


class RayCall:
    """Implements Call for one ObjectRef."""

    def __init__(self, ref: Any) -> None:
        self.ref = ref

    def is_done(self, timeout_s: float = 0.0) -> bool:
        """As ``Call.is_done``."""
        return bool(ray.wait([self.ref], timeout=timeout_s)[0])

    def result(self) -> Any:
        """As ``Call.result``."""
        try:
            return ray.get(self.ref)
        except RayTaskError as error:  # first: an error about another actor's death is a RayActorError too
            kind = MetGoneError if isinstance(error.cause, RayActorError) else CallFailedError
            raise kind(error.cause) from error
        except ActorUnavailableError as error:
            raise PartAwayError(str(error)) from error
        except RayError as error:
            raise PartGoneError(f"{type(error).__name__}: {error}") from error


def wait_for_all(calls: Sequence[RayCall], timeout_s: float) -> list[RayCall]:
    """Wait until all of them are done, ``timeout_s`` seconds at most; return those that are."""
    if not calls:
        time.sleep(timeout_s)
        return []
    call_of = {call.ref: call for call in calls}
    done, _ = ray.wait(list(call_of), num_returns=len(call_of), timeout=timeout_s)
    return [call_of[ref] for ref in done]
