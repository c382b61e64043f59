"""Parts that share a process: each answers as an actor of its own would, waits do not hold the others up, and all end
together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import ray

from robonav_ray import hosted_remote
from robonav_ray.hosted_remote import CentralParts, Host, HostedPart, end

pytestmark = pytest.mark.ray


class Counter:
    def __init__(self, first: int) -> None:
        if first < 0:
            raise ValueError("no such count")
        self.count = first

    def add(self, more: int) -> int:
        self.count += more
        return self.count


class Gate:
    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def wait(self) -> str:
        await self.opened.wait()
        return "through"

    def open(self) -> None:
        self.opened.set()


def test_a_call_that_overtakes_the_making_waits_and_a_part_that_failed_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosted_remote, "step_back", lambda niceness: None)  # it would be the suite that steps back

    async def scenario() -> None:
        parts = CentralParts()
        early = asyncio.create_task(parts.call("counter", "add", 2))
        await asyncio.sleep(0)
        await parts.make("counter", Counter, (40,))
        assert await early == 42
        await parts.make("broken", Counter, (-1,))
        with pytest.raises(ValueError, match="no such count"):
            await parts.call("broken", "add", 1)

    asyncio.run(scenario())


def test_parts_in_one_process_end_together(ray_session: None) -> None:
    ray.cloudpickle.register_pickle_by_value(
        __import__(__name__, fromlist=["Counter"])
    )  # Ray's processes cannot import this file
    host = Host()
    counter, gate = host.start(Counter, 40), host.start(Gate)

    class Caller:
        def add(self, counter: Any, more: Any) -> int:
            return ray.get(counter.add.remote(more))

    waiting = gate.wait.remote()
    caller: Any = ray.remote(num_cpus=0)(Caller).remote()
    assert ray.get(caller.add.remote(counter, 2)) == 42
    assert ray.get(counter.add.remote(ray.put(1))) == 43, "a reference is fetched"
    assert not ray.wait([waiting], timeout=0)[0]
    ray.get(gate.open.remote())
    assert ray.get(waiting) == "through"
    assert isinstance(counter, HostedPart)
    end(counter)
    end(gate)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(gate.open.remote())
    ray.kill(caller)
