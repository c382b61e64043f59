"""Workers that die, fall silent, are moved or given up: the fleet with processes that the test answers for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from robonav_ray.calls import CallFailedError, MetGoneError, PartGoneError
from robonav_ray.errors import EnvironmentFailedError, PartLostError, ToldError, UserError
from robonav_ray.rollout.fleet import MAX_FRUITLESS_LIVES, QUIET_FACTOR, SHORT_LIFE_S, RolloutFleet
from robonav_ray.rollout.rollout_stats import RolloutStats
from tests.part_fakes import Clock, Events, FakeProcess, FakeProcesses


@dataclass(frozen=True)
class Env:
    is_native: bool = True
    id: str = "theirs"


@dataclass(frozen=True)
class Config:
    env: Env = field(default_factory=Env)


@dataclass(frozen=True)
class Wiring:
    """What the fleet looks at of a WorkerOrder."""

    worker: int
    first_world: int
    num_worlds: int
    life: int = 0
    config: Config = field(default_factory=Config)


def shares(num_workers: int, is_native: bool = True) -> list[Any]:
    size = 8 // num_workers
    return [Wiring(i, i * size, size, config=Config(Env(is_native))) for i in range(num_workers)]


class Workers:
    """A fleet, what it was told and what it has noted."""

    def __init__(
        self, num_workers: int = 2, *, is_native: bool = True, max_restarts: int = 1000, nodes: tuple[str, ...] = ()
    ) -> None:
        self.clock, self.processes, self.events, self.lost = Clock(), FakeProcesses(), Events(), list[tuple[int, int]]()
        self.fleet = RolloutFleet(
            shares(num_workers, is_native), self.processes, max_restarts=max_restarts, on_lost=self.on_lost,
            note=self.events, nodes=nodes, now=self.clock,
        )  # fmt: skip

    def on_lost(self, worker: int, life: int) -> int:
        self.lost.append((worker, life))
        return 32

    def deliver(self, fragment_s: float = 0.1) -> RolloutStats:
        for process in self.of_workers:
            process.deliver(RolloutStats(env_steps=10, fragments=1, fragment_s=fragment_s))
        return self.fleet.poll(0.0)

    @property
    def of_workers(self) -> list[FakeProcess]:
        return [life.process for life in self.fleet._lives]  # type: ignore[misc]

    def kill(self, index: int) -> None:
        self.of_workers[index].fail(PartGoneError("killed"))
        self.fleet.poll(0.0)


def quiet_for(seconds: float, longest_s: float = 0.1) -> Any:
    return lambda index: (seconds, longest_s)


def test_news_of_all_workers_are_added_up_and_two_calls_stay_under_way() -> None:
    workers = Workers()
    assert workers.fleet.num_running == 0
    assert workers.deliver().env_steps == 20
    assert workers.fleet.num_running == 2
    assert [len(process.runs) - process.taken for process in workers.of_workers] == [2, 2]


def test_a_dead_worker_begins_a_later_life_and_is_counted() -> None:
    workers = Workers()
    workers.deliver()
    workers.kill(1)
    assert workers.lost == [(1, 0)]
    assert workers.fleet.num_replaced == 1
    assert (workers.of_workers[1].wiring.worker, workers.of_workers[1].wiring.life) == (1, 1)
    assert workers.events[-1].rows_lost == 32
    workers.clock.pass_(2.5)
    workers.deliver()
    assert workers.events.kinds == [("lost", "rollout/1"), ("back", "rollout/1")]
    assert workers.events[-1].after_s == 2.5


def test_a_silent_worker_is_fenced_by_its_own_pace() -> None:
    workers = Workers()
    workers.deliver(fragment_s=4.0)
    workers.clock.pass_(QUIET_FACTOR * 4.0 - 1)
    workers.fleet.replace_silent(quiet_for(1e9), 10.0, 120.0)
    assert workers.events == []
    workers.clock.pass_(2.0)
    workers.fleet.replace_silent(quiet_for(1.0), 10.0, 120.0)
    assert workers.events == [], "the ledger has heard of it a second ago"
    workers.of_workers[0].deliver(RolloutStats())
    frozen = workers.of_workers[1]
    workers.fleet.replace_silent(quiet_for(1e9), 10.0, 120.0)
    assert workers.events.kinds == [("fenced", "rollout/1")], "worker 0 has answered, it was not yet looked at"
    assert frozen.killed


def test_one_that_has_not_begun_is_waited_for_unless_it_lives_in_a_spare() -> None:
    workers = Workers(1)
    workers.clock.pass_(1e6)
    workers.fleet.replace_silent(quiet_for(1e6), 10.0, 120.0)
    assert workers.events == []
    workers.deliver()
    workers.fleet.keep_spares()
    spare = workers.processes.started[-1]
    spare.rehearsal.answer()
    workers.fleet.keep_spares()
    assert workers.fleet.num_spares == 1
    workers.kill(0)
    assert workers.of_workers == [spare]
    workers.clock.pass_(121.0)
    workers.fleet.replace_silent(lambda index: None, 10.0, 120.0)
    assert spare.killed
    assert workers.events.kinds == [("lost", "rollout/0"), ("fenced", "rollout/0")]
    workers.deliver()
    assert workers.of_workers[0].wiring.life == 2


def test_a_life_in_a_spare_moves_to_a_process_of_its_own_only_when_its_worlds_change() -> None:
    workers = Workers(2, nodes=("a", "b"))
    workers.deliver()
    for _ in range(2):
        workers.fleet.keep_spares()
        workers.processes.started[-1].rehearsal.answer()
    workers.fleet.keep_spares()
    assert [process.node for process in workers.processes.started] == ["a", "b", "a", "b"]
    workers.kill(1)
    assert workers.of_workers[1] is workers.processes.started[3]
    workers.deliver()
    workers.fleet.resize(shares(2), ("a", "b"))
    workers.fleet.poll(0.0)
    assert workers.of_workers[1].node == "b"
    assert workers.of_workers[1] is workers.processes.started[-1]


def test_worlds_move_one_worker_after_the_other_and_only_when_all_act() -> None:
    workers = Workers(2)
    workers.deliver()
    before = [order.life for order in workers.fleet._orders]
    workers.fleet.resize(shares(4))
    assert workers.fleet.num_workers == 4
    assert [w.wiring.num_worlds for w in workers.of_workers] == [4, 4, 2, 2], (
        "they keep their worlds until the new ones act"
    )
    assert workers.fleet.most_worlds == 4
    for moved in (0, 1):
        workers.deliver()
        assert [w.wiring.num_worlds for w in workers.of_workers] == [2] * (moved + 1) + [4] * (1 - moved) + [2, 2]
        workers.fleet.poll(0.0)
        assert sum(w.wiring.num_worlds == 4 for w in workers.of_workers) == 1 - moved, "one is on its way up"
    lives = [order.life for order in workers.fleet._orders]
    assert len(set(lives)) == 4
    assert min(lives) > max(before), "a life that was fenced, also of another worker, stays so"
    workers.deliver()
    workers.fleet.resize(shares(1))
    assert [process.wiring.worker for process in workers.processes.alive] == [0]
    assert {worker for worker, _ in workers.lost[-3:]} == {1, 2, 3}
    workers.fleet.poll(0.0)
    assert workers.of_workers[0].wiring.num_worlds == 8


def test_all_begin_anew_at_once_when_asked() -> None:
    workers = Workers(2)
    workers.deliver()
    first = workers.of_workers
    workers.fleet.restart()
    assert all(process.killed for process in first)
    assert [process.wiring.life for process in workers.of_workers] == [1, 2]
    workers.fleet.kill()
    assert workers.processes.alive == []
    assert workers.fleet.poll(0.0) == RolloutStats()


def test_too_many_deaths_end_the_session_and_fruitless_ones_sooner() -> None:
    workers = Workers(1, max_restarts=2)
    workers.deliver()
    for _ in range(2):
        workers.kill(0)
        workers.deliver()
    with pytest.raises(ToldError, match=r"rollout\.max_restarts"):
        workers.kill(0)
    workers = Workers(1)
    for _ in range(MAX_FRUITLESS_LIVES):
        workers.kill(0)
    with pytest.raises(ToldError, match="before it had delivered anything"):
        workers.kill(0)


def test_an_environment_that_ends_its_process_again_and_again_is_told_as_the_users() -> None:
    workers = Workers(1, is_native=False)
    for _ in range(MAX_FRUITLESS_LIVES):
        workers.deliver()
        workers.clock.pass_(SHORT_LIFE_S / 2)
        workers.kill(0)
    workers.deliver()
    with pytest.raises(EnvironmentFailedError, match=r"env\.id='theirs'"):
        workers.kill(0)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (MetGoneError(RuntimeError("the ledger")), PartLostError, "met a part that is gone"),
        (CallFailedError(ToldError("your environment failed")), ToldError, "^your environment failed$"),
        (CallFailedError(UserError("env.id: no such")), UserError, r"no such\. The driver can make it"),
        (CallFailedError(ValueError("a bug")), ToldError, "rollout worker 0 failed: ValueError"),
    ],
)
def test_what_a_worker_raises_is_told(error: Exception, kind: type[Exception], text: str) -> None:
    workers = Workers(1)
    workers.of_workers[0].fail(error)
    with pytest.raises(kind, match=text):
        workers.fleet.poll(0.0)
