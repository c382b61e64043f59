"""A clock that stands still until it is moved, and parts that answer when the test says so: for policies that need no
process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from robonav_ray.records import PartEvent


class Clock:
    """``now`` for what takes one."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds


class FakeCall:
    """Implements Call: open until ``answer`` or ``fail``."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._done, self._answer, self._error, self._clock = False, None, None, clock

    def answer(self, value: Any = None) -> FakeCall:
        self._done, self._answer = True, value
        return self

    def fail(self, error: Exception) -> FakeCall:
        self._done, self._error = True, error
        return self

    def is_done(self, timeout_s: float = 0.0) -> bool:
        if not self._done and self._clock is not None:
            self._clock.pass_(timeout_s)  # who waits in vain has waited
        return self._done

    def result(self) -> Any:
        assert self._done, "asked before it was done"
        if self._error is not None:
            raise self._error
        return self._answer


class Asked:
    """What a Poll asks: keeps all calls; the newest is answered by hand, or each at once with ``at_once``."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.at_once: Any = None

    def __call__(self) -> FakeCall:
        self.calls.append(FakeCall())
        if self.at_once is not None:
            self.calls[-1].answer(self.at_once)
        return self.calls[-1]

    @property
    def newest(self) -> FakeCall:
        return self.calls[-1]


class Events(list[PartEvent]):
    """``note`` for what takes one."""

    def __call__(self, event: PartEvent) -> None:
        self.append(event)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(event.event, event.part) for event in self]


@dataclass
class FakeProcess:
    """Implements WorkerProcess."""

    wiring: Any
    node: str
    runs: list[FakeCall] = field(default_factory=list)
    rehearsal: FakeCall = field(default_factory=FakeCall)
    pings: list[FakeCall] = field(default_factory=list)
    answers_pings: bool = True
    killed: bool = False
    taken: int = 0

    def begin(self, wiring: Any) -> None:
        self.wiring = wiring

    def run(self, seconds: float) -> FakeCall:
        self.runs.append(FakeCall())
        return self.runs[-1]

    def rehearse(self, wiring: Any) -> FakeCall:
        return self.rehearsal

    def ping(self) -> FakeCall:
        self.pings.append(FakeCall().answer() if self.answers_pings else FakeCall())
        return self.pings[-1]

    def kill(self) -> None:
        self.killed = True

    def deliver(self, stats: Any) -> None:
        """Answer the oldest open run."""
        self.runs[self.taken].answer(stats)
        self.taken += 1

    def fail(self, error: Exception) -> None:
        self.runs[self.taken].fail(error)
        self.taken += 1


class FakeProcesses:
    """Implements WorkerProcesses: keeps all that it has started."""

    def __init__(self) -> None:
        self.started: list[FakeProcess] = []

    def start(self, wiring: Any, node: str) -> FakeProcess:
        self.started.append(FakeProcess(wiring, node))
        return self.started[-1]

    def wait(self, calls: Sequence[FakeCall], timeout_s: float) -> list[FakeCall]:
        return [call for call in calls if call.is_done()]

    @property
    def alive(self) -> list[FakeProcess]:
        return [process for process in self.started if not process.killed]
