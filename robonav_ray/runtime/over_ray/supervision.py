"""Who watches the parts: asks each of them all the time, never waits, and says what is dead, silent or back.

::

    shards, ledger, curriculum, mailbox, weight store --answers--> [ supervisor ] --events--> RUN/events.jsonl
                                                                        |
                                           a shard that is gone or silent: a new life of it from the last commit
                                           another part that is: PartLostError; the run goes on in a new session

Rollout workers are watched by their fleet, which hears from each of them anyway, and learner ranks by Ray Train.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from robonav_ray.calls import Call, CallFailedError, MetGoneError, PartAwayError, PartGoneError
from robonav_ray.errors import PartLostError, ToldError
from robonav_ray.part_names import Part, event_name
from robonav_ray.records import PartEvent
from robonav_ray.replay.shard_records import ShardStats
from robonav_ray.runtime.over_ray.poll import Poll

ASK_INTERVAL_S = 0.5
"""Seconds between two questions to a shard or the ledger."""
PATIENCE_S = 20.0
"""How long a replacement may be on its way before that is said."""


class WatchedShards(Protocol):
    """What the supervisor does to shards; ``ReplayHandles`` does it over Ray."""

    @property
    def num_shards(self) -> int:
        """How many there are."""
        ...

    def ask(self, index: int) -> Call:
        """Ask a shard for its ShardStats."""
        ...

    def begin_replacing(self, index: int, directory: Path | str | None = None) -> None:
        """Give a shard up and start it anew from what is saved in ``directory``; does not wait."""
        ...

    def begin_again(self, index: int, directory: Path | str | None) -> None:
        """Give up a replacement that is on its way, and start another one; does not wait."""
        ...

    def take_replaced(self, saved: Path | str | None = None) -> list[int]:
        """Put replacements that are up in their places and return their indices; does not wait."""
        ...

    def replacing_s(self, index: int) -> float | None:
        """Return for how long a replacement has been on its way; None when there is none."""
        ...

    def rebase(self, size: int) -> None:
        """Tell how many rows are left of the whole replay."""
        ...


class Supervisor:
    """Watches the shards and the parts of which there is one each."""

    def __init__(
        self,
        replay: WatchedShards,
        ask: Mapping[str, tuple[Callable[[], Call], float]],
        *,
        timeout_s: float,
        start_timeout_s: float,
        note: Callable[[PartEvent], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to ask.

        Args:
            replay: Its shards are watched and replaced.
            ask: By name, how to ask one of the other parts, and how many seconds apart.
            timeout_s: Silence after which a part that had answered is given up.
            start_timeout_s: The same before its first answer.
            note: Gets what happens.
            now: The clock.
        """
        self._replay, self._note, self._now = replay, note, now
        self._timeout_s, self._start_timeout_s = timeout_s, start_timeout_s
        self._parts = {name: Poll(call, interval_s, now) for name, (call, interval_s) in ask.items()}
        self._shards = [self._ask_shard(index) for index in range(replay.num_shards)]
        self._lost: dict[int, tuple[float, int]] = {}
        """When a shard was lost and how many rows it had, until its replacement is up; ``_returning`` until that has
        answered."""
        self._returning: dict[int, tuple[float, int]] = {}
        self._rebase_due = False
        self.message = ""

    def answer(self, name: str) -> Any:
        """Return the newest answer of a part; None before its first."""
        return self._parts[name].answer

    def first_answer(self, name: str) -> Any:
        """Return the newest answer of a part, waiting for its first.

        Raises:
            PartLostError: When it does not come within the time-out of the start.
        """
        try:
            return self._parts[name].wait(self._start_timeout_s)
        except (PartGoneError, CallFailedError) as error:
            raise PartLostError(f"the {name} did not come up: {error}") from error

    def shard_stats(self) -> list[ShardStats]:
        """Return the newest figures of the shards that live."""
        return [q.answer for index, q in enumerate(self._shards) if index not in self._lost and q.num_answers]

    def silent_parts(self, longer_than_s: float) -> list[str]:
        """Return who is being replaced, has not answered yet, or lets a question wait for longer than that."""
        shards = [
            event_name(Part.SHARD, index)
            for index, poll in enumerate(self._shards)
            if index in self._lost or not poll.num_answers or poll.open_s > longer_than_s
        ]
        return shards + [name for name, poll in self._parts.items() if poll.open_s > longer_than_s]

    def look(self, saved: str | None) -> None:
        """Take in what has been answered, and act on what has not.

        Args:
            saved: Directory of the replay in the last committed checkpoint, from which a shard comes back; None begins
                empty.

        Raises:
            PartLostError: When a part of which there is only one is gone, or silent for too long.
            RuntimeError: When a shard does not come up at the start.
        """
        for name, poll in self._parts.items():
            self._look_at_part(name, poll)
        for index in range(len(self._shards)):
            if index not in self._lost:
                self._look_at_shard(index, saved)
        for index in self._replay.take_replaced(saved):
            self._returning[index] = self._lost.pop(index)
            self._shards[index] = self._ask_shard(index)
        if self._rebase_due and not self._lost and all(q.num_answers for q in self._shards):
            self._rebase_due = False
            self._replay.rebase(sum(stats.size for stats in self.shard_stats()))
        late = [i for i in self._lost if (self._replay.replacing_s(i) or 0.0) > PATIENCE_S]
        if late:
            self.message = f"replay shard {late[0]} finds no room yet (`ray status`); the others go on without it"
        for index in late:
            if (self._replay.replacing_s(index) or 0.0) > self._start_timeout_s:  # it may be frozen just as well
                self._replay.begin_again(index, saved)

    def _look_at_part(self, name: str, poll: Poll) -> None:
        try:
            poll.look()
        except PartAwayError:  # Ray is starting it again (the weight store), or will say that it is dead
            return
        except MetGoneError as error:
            raise PartLostError(f"the {name} met a part that is gone: {error.cause}") from error
        except PartGoneError as error:
            raise PartLostError(f"the {name} died: {error}") from error
        limit = self._timeout_s if poll.num_answers else self._start_timeout_s
        if poll.open_s > limit:
            raise PartLostError(f"the {name} has not answered for {poll.open_s:.0f} s")

    def _look_at_shard(self, index: int, saved: str | None) -> None:
        poll = self._shards[index]
        try:
            poll.look()
        except PartAwayError:
            return
        except PartGoneError:  # an error of its own (CallFailedError) is no death: nothing that a new life would mend
            self._lose_shard(index, "lost", "died", saved)
            return
        if poll.num_answers and index in self._returning:
            self._note_back(index, poll.answer)
        if poll.num_answers or index in self._returning:
            if poll.open_s > self._timeout_s:
                self._lose_shard(index, "fenced", f"was silent for {poll.open_s:.0f} s", saved)
        elif poll.open_s > self._start_timeout_s:
            raise ToldError(
                f"replay shard {index} has not come up within runtime.start_timeout_s ({poll.open_s:.0f} s); `ray "
                "status` shows what it waits for: lower replay.num_shards or runtime.cpus_per_shard, or free the "
                "cluster"
            )

    def _lose_shard(self, index: int, event: str, why: str, saved: str | None) -> None:
        had: ShardStats | None = self._shards[index].answer
        self._lost[index] = self._returning.pop(index, (self._now(), had.size if had is not None else 0))
        self.message = f"replay shard {index} {why}; the others go on"
        self._note(PartEvent(event, event_name(Part.SHARD, index), why))
        self._replay.begin_replacing(index, saved)

    def _note_back(self, index: int, stats: ShardStats) -> None:
        lost_at, had = self._returning.pop(index)
        after_s = round(self._now() - lost_at, 3)
        self.message = f"replay shard {index} came back with {stats.size:,} rows"
        self._note(
            PartEvent(
                "back",
                event_name(Part.SHARD, index),
                f"came back with {stats.size} rows",
                after_s,
                max(0, had - stats.size),
            )
        )
        self._rebase_due = True

    def _ask_shard(self, index: int) -> Poll:
        return Poll(lambda: self._replay.ask(index), ASK_INTERVAL_S, self._now)
