"""The fleet: keeps the number of rollout workers, and decides which of them is dead, silent, replaced, given up or
moved.

Two calls are under way per worker, so that none waits for the fleet to look; a dead one shows at once, is replaced by a
new life of the same worker, and is counted. One that lives but has gone silent (frozen, or on a node that is) is given
up by ``replace_silent``: it is fenced, then replaced in the same way. The new life begins in a spare process where
there is one (``spares.py``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from robonav_ray.calls import Call, CallFailedError, MetGoneError, PartGoneError
from robonav_ray.errors import EnvironmentFailedError, PartLostError, ToldError, UserError
from robonav_ray.part_names import Part, event_name
from robonav_ray.records import PartEvent
from robonav_ray.rollout.make_worker import WorkerOrder
from robonav_ray.rollout.rollout_stats import RolloutStats
from robonav_ray.rollout.spares import Spares
from robonav_ray.rollout.worker_process import WorkerProcess, WorkerProcesses

SLICE_S = 0.5
"""Seconds of work per call: how often the fleet hears from a worker."""
CALLS_PER_WORKER = 2
MAX_FRUITLESS_LIVES = 5
"""Lives of one worker in a row that may end before they return anything: more of them do not come from outside."""
SHORT_LIFE_S = 60.0
"""A life in a user's environment that has delivered for less than this counts as one that the environment
ended."""
_ONLY_HERE = (
    "The driver can make it, and a rollout worker cannot: what registers it must be a module that every process can "
    "import, named in env.id=module:Id; `robonav submit` brings the current folder to all nodes "
    "(docs/your_environment.md)"
)
QUIET_FACTOR = 5.0
"""A worker is silent when it has not been heard of for so many times its longest fragment (and for the time-out at
least)."""


@dataclass
class _Life:
    """One process, as the fleet sees it."""

    process: WorkerProcess
    calls: deque[Call]
    lost_at: float | None
    """When the life before it was found lost; None for one that replaces none."""
    began: float
    heard: float | None = None
    """When a call last returned."""
    in_spare: bool = False
    """Whether it lives in a process that had waited for it, and reserves no CPU."""
    fragment_s: float = 0.0
    """What making a fragment took when it was last heard of; the first may hold the compilation of kernels, and does
    not count for ever."""


class RolloutFleet:
    """All rollout workers of a run."""

    def __init__(
        self,
        orders: Sequence[WorkerOrder],
        processes: WorkerProcesses,
        *,
        max_restarts: int,
        on_lost: Callable[[int, int], int],
        note: Callable[[PartEvent], None] = lambda event: None,
        nodes: Sequence[str] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start one process per order.

        Args:
            orders: One per worker, in the order of their indices.
            processes: Where processes come from.
            max_restarts: Dead workers that are replaced before the fleet gives up.
            on_lost: Called with (worker, its last life) before a replacement starts; returns the rows that went with
                that life.
            note: Gets what happens.
            nodes: Of each worker; empty lets them be anywhere.
            now: The clock.
        """
        self._orders, self._nodes = list(orders), list(nodes)
        self._processes, self._now = processes, now
        self._max_restarts = max_restarts
        self._on_lost, self._note = on_lost, note
        self.num_replaced = 0
        self.last_loss = ""
        self._fruitless: dict[int, int] = {}
        self._short: dict[int, int] = {}
        self._target: dict[int, WorkerOrder] = {}
        self._lives: list[_Life] = []
        self._newest_life = max(order.life for order in self._orders)
        self._spares = Spares(self._start_spare, now=now)
        self._start()

    @property
    def num_workers(self) -> int:
        """Workers that the fleet keeps alive."""
        return len(self._orders)

    @property
    def most_worlds(self) -> int:
        """Worlds of the worker that has most of them, now or once it has moved on."""
        return max(order.num_worlds for order in (*self._orders, *self._target.values()))

    @property
    def num_running(self) -> int:
        """Workers that have been heard of in their present life."""
        return sum(life.heard is not None for life in self._lives)

    @property
    def num_spares(self) -> int:
        """Spare processes that are ready."""
        return self._spares.num_ready

    def poll(self, timeout_s: float) -> RolloutStats:
        """Wait up to ``timeout_s`` for news and return what has been done since the last poll; replaces the dead.

        Raises:
            ToldError, UserError: When a worker raised an error of its own, or more workers died than ``max_restarts``
            allows. PartLostError: When a worker met the death of a part that is not replaced.
        """
        total = RolloutStats()
        if not self._lives:  # they have been ended
            self._processes.wait((), timeout_s)
            return total
        index_of = {id(life.calls[0]): index for index, life in enumerate(self._lives)}
        for call in self._processes.wait([life.calls[0] for life in self._lives], timeout_s):
            index = index_of[id(call)]
            try:
                done: RolloutStats = call.result()
            except MetGoneError as error:
                raise PartLostError(f"rollout worker {index} met a part that is gone: {error.cause}") from error
            except CallFailedError as error:
                raise _told(index, error) from error
            except PartGoneError as error:
                self._replace(index, "lost", "died", error)
            else:
                total = total.plus(done)
                self._heard(index, done.fragment_s)
        self._move_on()
        return total

    def replace_silent(
        self, quiet_s: Callable[[int], tuple[float, float] | None], timeout_s: float, start_timeout_s: float
    ) -> None:
        """Give up the workers that have been silent for too long, and replace them.

        ``quiet_s`` tells how long the ledger has not heard of a worker and how long its fragments take, None for one
        that it does not know; a worker counts as silent only when its calls have not returned either. Before its first
        has, it is given up only in a spare, which has a process and need not wait for room, after ``start_timeout_s``.
        """
        for index, life in enumerate(self._lives):
            if life.heard is None and life.in_spare and self._now() - life.began > start_timeout_s:
                life.process.kill()
                self._replace(index, "fenced", f"has not begun within {start_timeout_s:.0f} s", None)
                continue
            quiet = quiet_s(index)
            if life.heard is None or quiet is None:
                continue
            silent_s = min(quiet[0], self._now() - life.heard)
            if silent_s > max(timeout_s, QUIET_FACTOR * max(quiet[1], life.fragment_s)) and not life.calls[0].is_done():
                life.process.kill()
                self._replace(index, "fenced", f"was silent for {silent_s:.0f} s", None)

    def resize(self, orders: Sequence[WorkerOrder], nodes: Sequence[str] = ()) -> None:
        """Share the worlds out over as many workers as ``orders`` are, one after the other, so that the rest goes on
        acting.

        Workers that are too many end at once, those that are new begin at once. The others begin a new life with their
        new worlds one by one, in later polls, each when all workers have been heard of; until then a world may be
        played twice. What was not shipped is lost. ``nodes`` are those of the workers, or none.
        """
        before = len(self._orders)
        for index in range(len(orders), before):
            self._lives[index].process.kill()
            self._on_lost(index, self._orders[index].life)
        del self._orders[len(orders) :], self._lives[len(orders) :]
        self._nodes = list(nodes)
        self._target = dict(enumerate(orders[:before]))
        for index in range(before, len(orders)):
            self._orders.append(replace(orders[index], life=self._next_life()))
            self._lives.append(self._begin(index, None))

    def keep_spares(self) -> None:
        """See to one spare process per node, once all workers have been heard of; never waits."""
        if all(life.heard is not None for life in self._lives):
            self._spares.keep(self._nodes)

    def restart(self) -> None:
        """Begin a new life of every worker at once: what they have not shipped is lost, and they ask for an assignment
        anew.
        """
        self._kill_lives()
        for index in range(len(self._orders)):
            self._end_life(index)
        self._start()

    def kill(self) -> None:
        """End all workers at once, and the spares; what they have not shipped is lost, which costs at most a fragment
        each.
        """
        self._spares.kill()
        self._kill_lives()

    def _kill_lives(self) -> None:
        for life in self._lives:
            life.process.kill()
        self._lives = []

    def _end_life(self, index: int) -> int:
        """Have the present life of a worker forgotten, and let the next one have the worlds that are meant for it;
        return rows lost.
        """
        rows = self._on_lost(index, self._orders[index].life)
        target = self._target.pop(index, self._orders[index])
        self._orders[index] = replace(target, life=self._next_life())
        return rows

    def _next_life(self) -> int:
        """Return an life that no worker of this fleet has had: one that was fenced, also of a worker that is no more,
        stays so.
        """
        self._newest_life += 1
        return self._newest_life

    def _move_on(self) -> None:
        """Give one more worker its new worlds, or one in a spare its own process, when no worker is on its way up."""
        self._target = {
            i: w for i, w in self._target.items() if self._lives[i].in_spare or not _same_worlds(w, self._orders[i])
        }
        if self._target and all(life.heard is not None for life in self._lives):
            index = min(self._target)
            self._lives[index].process.kill()
            self._end_life(index)
            self._lives[index] = self._begin(index, None)

    def _start(self) -> None:
        self._lives = [self._begin(index, None) for index in range(len(self._orders))]

    def _begin(self, index: int, lost_at: float | None, *, in_spare: bool = False) -> _Life:
        node = self._nodes[index] if self._nodes else ""
        spare = self._spares.take(node) if in_spare else None
        if spare is not None:
            spare.begin(self._orders[index])
        process = spare or self._processes.start(self._orders[index], node)
        slices = [0.0] + [SLICE_S] * (CALLS_PER_WORKER - 1)  # the first fragment of a life is news at once
        calls = deque(process.run(seconds) for seconds in slices)
        return _Life(process, calls, lost_at, self._now(), in_spare=spare is not None)

    def _start_spare(self, node: str) -> tuple[WorkerProcess, Call]:
        process = self._processes.start(None, node)
        return process, process.rehearse(self._orders[0])

    def _heard(self, index: int, fragment_s: float) -> None:
        life = self._lives[index]
        life.fragment_s = fragment_s
        life.calls.popleft()
        life.calls.append(life.process.run(SLICE_S))
        if life.heard is None and life.lost_at is not None:
            after_s = self._now() - life.lost_at
            self._note(PartEvent("back", event_name(Part.WORKER, index), "delivers again", after_s=round(after_s, 3)))
        life.heard = self._now()
        self._fruitless.pop(index, None)

    def _replace(self, index: int, event: str, why: str, error: PartGoneError | None) -> None:
        life = self._lives[index]
        self.num_replaced += 1
        self.last_loss = f"rollout worker {index} {why} and was replaced"
        self._fruitless[index] = self._fruitless.get(index, 0) + (life.heard is None)
        self._check_environment(index, why, error)
        if self.num_replaced > self._max_restarts:
            raise ToldError(
                f"{self.num_replaced} rollout workers died, more than rollout.max_restarts allows; last: {error}"
            ) from error
        if self._fruitless[index] > MAX_FRUITLESS_LIVES:
            raise ToldError(
                f"rollout worker {index} died {self._fruitless[index]} times in a row before it had delivered "
                f"anything; last: {error}"
            ) from error
        self._note(PartEvent(event, event_name(Part.WORKER, index), why, rows_lost=self._end_life(index)))
        # A life that did not begin shall say why in a process of its own. Another environment than ours may hold a port
        # or a display, and what was fenced a moment ago may not have let go of it.
        in_spare = life.heard is not None and (event == "lost" or self._orders[index].config.env.is_native)
        self._lives[index] = self._begin(index, self._now(), in_spare=in_spare)

    def _check_environment(self, index: int, why: str, error: PartGoneError | None) -> None:
        """Give up an environment, not ours, that ends or blocks its process again and again: it would do so for
        ever.
        """
        env, life = self._orders[index].config.env, self._lives[index]
        is_short = life.heard is None or life.heard - life.began < SHORT_LIFE_S
        self._short[index] = self._short.get(index, 0) + 1 if is_short and not env.is_native else 0
        if self._short[index] > MAX_FRUITLESS_LIVES:
            raise EnvironmentFailedError(
                f"your environment failed: {self._short[index]} times in a row the rollout worker {index} of "
                f"env.id={env.id!r} {why} soon after it had begun: the environment ends its process (a crash in native "
                "code, a signal, out of memory) or blocks in a call; `robonav train --local` shows it "
                f"alone{'' if error is None else f'. Last: {error}'}"
            ) from error


def _told(index: int, error: CallFailedError) -> Exception:
    """Return what to tell of an error that worker ``index`` has raised."""
    if isinstance(error.cause, ToldError):
        return error.cause
    if isinstance(error.cause, UserError):  # the driver has made such an environment: it has what they have not
        return UserError(f"{error.cause}. {_ONLY_HERE}")
    return ToldError(f"rollout worker {index} failed: {error.cause!r}")


def _same_worlds(one: WorkerOrder, other: WorkerOrder) -> bool:
    return (one.first_world, one.num_worlds) == (other.first_world, other.num_worlds)
