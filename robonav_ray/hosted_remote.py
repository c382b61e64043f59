"""Small parts that share one actor's process; each is called as an actor of its own is: ``part.method.remote(...)``.

A process with Ray in it takes more than a second of a core to start and 125 MB of memory. Parts that do little, and
whose loss ends the session whichever of them it is, share one. Their methods run on one event loop, so none of them may
block it.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import ray

from robonav_ray.own_processes import SERVES, step_back

MAX_CONCURRENCY = 1000
"""Calls that may wait in one host."""
_LOOK_S = 0.01


class CentralParts:
    """What runs in the actor: the parts by name."""

    def __init__(self) -> None:
        step_back(SERVES)
        self._parts: dict[str, Any] = {}
        self._failed: dict[str, BaseException] = {}

    async def make(self, name: str, part_class: type, arguments: tuple[Any, ...]) -> None:
        """Make a part; what its constructor raises is raised by every call of it."""
        try:
            self._parts[name] = part_class(*arguments)
        except Exception as error:  # noqa: BLE001  it is told to those who call the part
            self._failed[name] = error

    async def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Call a method of a part, and wait for it if it is asynchronous. A call that overtakes ``make`` waits for
        that.
        """
        while name not in self._parts:
            if name in self._failed:
                raise self._failed[name]
            await asyncio.sleep(_LOOK_S)
        result = getattr(self._parts[name], method)(*arguments)
        return await result if inspect.isawaitable(result) else result


class _Method:
    """``part.method``, of which there is only ``remote``."""

    __slots__ = ("_host", "_name", "_part")

    def __init__(self, host: Any, part: str, name: str) -> None:
        self._host, self._part, self._name = host, part, name

    def remote(self, *arguments: Any) -> Any:
        """Call it and return the ObjectRef of the answer; an ObjectRef among the arguments is waited for first."""
        return self._host.call.remote(self._part, self._name, *arguments)


class HostedPart:
    """A handle to a part, to be sent to its callers; stands where a handle to an actor does."""

    def __init__(self, host: Any, name: str) -> None:
        self.host, self.name = host, name

    def __getattr__(self, name: str) -> _Method:
        if name.startswith("_"):  # what pickle and Ray ask for
            raise AttributeError(name)
        return _Method(self.host, self.name, name)

    def __reduce__(self) -> tuple[type[HostedPart], tuple[Any, str]]:
        return (HostedPart, (self.host, self.name))


class Host:
    """The actor that small parts share, in the hands of the one who starts them."""

    def __init__(self, **options: Any) -> None:
        """Start the actor (no CPU reserved, never restarted) without waiting for it; ``options`` are Ray's."""
        actor_class: Any = ray.remote(CentralParts)
        self.actor = actor_class.options(
            num_cpus=0, max_restarts=0, max_concurrency=MAX_CONCURRENCY, **options
        ).remote()

    def start(self, part_class: type, *arguments: Any) -> HostedPart:
        """Make a part in it; does not wait. One of each class."""
        self.actor.make.remote(part_class.__name__, part_class, arguments)
        return HostedPart(self.actor, part_class.__name__)


def end(actor: Any) -> None:
    """End an actor, or the host of a part and with it all that it holds; nothing happens when that is gone already."""
    ray.kill(actor.host if isinstance(actor, HostedPart) else actor)
