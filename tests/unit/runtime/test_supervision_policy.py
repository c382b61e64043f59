"""Who is dead, silent, back or given up: the supervisor, its polls and the learner's watch, with a clock that the test
moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from robonav_ray.calls import CallFailedError, MetGoneError, PartAwayError, PartGoneError
from robonav_ray.errors import PartLostError, ToldError, UserError
from robonav_ray.replay.shard_records import ShardStats
from robonav_ray.runtime.over_ray import learner_watch
from robonav_ray.runtime.over_ray.learner_watch import LearnerWatch
from robonav_ray.runtime.over_ray.mailbox import MetricsPost
from robonav_ray.runtime.over_ray.poll import Poll
from robonav_ray.runtime.over_ray.supervision import ASK_INTERVAL_S, PATIENCE_S, Supervisor
from tests.part_fakes import Asked, Clock, Events, FakeCall

TIMEOUT_S, START_S = 10.0, 120.0


def stats_of(size: int) -> ShardStats:
    return ShardStats(**dict.fromkeys(ShardStats._fields, 0) | {"size": size})


def test_a_poll_asks_one_thing_at_a_time_and_keeps_the_newest_answer() -> None:
    clock, asked = Clock(), Asked()
    poll = Poll(asked, 0.5, clock)
    assert (len(asked.calls), poll.answer, poll.look()) == (1, None, False)
    clock.pass_(3.0)
    assert poll.open_s == 3.0
    asked.newest.answer(7)
    assert poll.look()
    assert (poll.answer, poll.num_answers, len(asked.calls)) == (7, 1, 2), "due, so it asks again at once"
    asked.newest.answer(8)
    assert poll.look()
    assert len(asked.calls) == 2, "not yet due"
    assert poll.open_s == 0.0
    clock.pass_(0.5)
    assert not poll.look()
    assert len(asked.calls) == 3
    asked.newest.fail(PartGoneError("dead"))
    with pytest.raises(PartGoneError):
        poll.look()
    assert poll.answer == 8
    clock.pass_(0.5)
    assert not poll.look()
    assert len(asked.calls) == 4, "what failed is asked again"


def test_the_first_answer_of_a_poll_is_waited_for_with_a_bound() -> None:
    asked = Asked()
    poll = Poll(asked)
    with pytest.raises(PartGoneError, match="within 2 s"):
        poll.wait(2.0)
    asked.newest.answer("here")
    assert poll.wait(2.0) == "here"


@dataclass
class FakeShards:
    """Implements WatchedShards."""

    num_shards: int
    asked: list[Asked] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    did: list[tuple[object, ...]] = field(default_factory=list)
    coming_s: float | None = None

    def __post_init__(self) -> None:
        self.asked = [Asked() for _ in range(self.num_shards)]

    def ask(self, index: int) -> FakeCall:
        return self.asked[index]()

    def begin_replacing(self, index: int, directory: Path | str | None = None) -> None:
        self.did.append(("replace", index, directory))
        self.coming_s = 0.0

    def begin_again(self, index: int, directory: Path | str | None) -> None:
        self.did.append(("again", index, directory))
        self.coming_s = 0.0

    def take_replaced(self, saved: Path | str | None = None) -> list[int]:
        up, self.up = self.up, []
        return up

    def replacing_s(self, index: int) -> float | None:
        return self.coming_s

    def rebase(self, size: int) -> None:
        self.did.append(("rebase", size))


class Watched:
    """A supervisor over two shards and a ledger, all of which have answered once."""

    def __init__(self) -> None:
        self.clock, self.shards, self.ledger, self.events = Clock(), FakeShards(2), Asked(), Events()
        self.supervisor = Supervisor(
            self.shards, {"ledger": (self.ledger, ASK_INTERVAL_S)},
            timeout_s=TIMEOUT_S, start_timeout_s=START_S, note=self.events, now=self.clock,
        )  # fmt: skip

    def up(self) -> Watched:
        for part in (*self.shards.asked, self.ledger):
            part.at_once = stats_of(50)
            part.newest.answer(stats_of(50))
        self.look()
        return self

    def look(self, after_s: float = ASK_INTERVAL_S) -> None:
        self.clock.pass_(after_s)
        self.supervisor.look("saved")

    def silence(self, part: Asked) -> None:
        """Let the calls under way be answered, and no later one."""
        part.at_once = None
        while part.newest._done:
            self.look()


def test_a_shard_that_died_is_replaced_from_the_last_commit_and_told_when_it_is_back() -> None:
    watched = Watched().up()
    supervisor, shards = watched.supervisor, watched.shards
    watched.silence(shards.asked[1])
    shards.asked[1].newest.fail(PartGoneError("killed"))
    watched.look()
    assert shards.did == [("replace", 1, "saved")]
    assert watched.events.kinds == [("lost", "replay/1")]
    assert supervisor.silent_parts(2.0) == ["replay/1"]
    assert len(supervisor.shard_stats()) == 1
    shards.up = [1]
    watched.look()
    assert supervisor.silent_parts(2.0) == ["replay/1"], "up, and has not answered"
    shards.asked[1].newest.answer(stats_of(20))
    watched.look(3.0)
    assert watched.events.kinds[-1] == ("back", "replay/1")
    assert watched.events[-1].rows_lost == 30
    assert watched.events[-1].after_s == pytest.approx(3.5)
    assert shards.did[-1] == ("rebase", 70)
    assert supervisor.silent_parts(2.0) == []


def test_a_shard_that_is_silent_is_fenced_only_after_the_time_out() -> None:
    watched = Watched().up()
    watched.silence(watched.shards.asked[0])
    watched.look(TIMEOUT_S - 0.1)
    assert watched.events == []
    assert watched.supervisor.silent_parts(2.0) == ["replay/0"]
    watched.look(0.2)
    assert watched.events.kinds == [("fenced", "replay/0")]


def test_a_replacement_that_finds_no_room_is_said_and_tried_again_in_the_end() -> None:
    watched = Watched().up()
    watched.silence(watched.shards.asked[0])
    watched.shards.asked[0].newest.fail(PartGoneError("killed"))
    watched.look()
    watched.shards.coming_s = PATIENCE_S + 1
    watched.look()
    assert "finds no room yet" in watched.supervisor.message
    assert watched.shards.did == [("replace", 0, "saved")]
    watched.shards.coming_s = START_S + 1
    watched.look()
    assert watched.shards.did[-1] == ("again", 0, "saved")


def test_what_is_away_is_waited_for_and_what_a_shard_raises_is_no_death() -> None:
    watched = Watched().up()
    watched.silence(watched.shards.asked[0])
    watched.shards.asked[0].newest.fail(PartAwayError("restarting"))
    watched.look()
    assert watched.events == []
    watched.look()
    watched.shards.asked[0].newest.fail(CallFailedError(KeyError("a bug")))
    with pytest.raises(CallFailedError, match="a bug"):
        watched.look()


@pytest.mark.parametrize("error", [PartGoneError("killed"), MetGoneError(RuntimeError("the store is gone"))])
def test_a_part_of_which_there_is_one_ends_the_session_when_it_is_gone(error: Exception) -> None:
    watched = Watched().up()
    watched.silence(watched.ledger)
    watched.ledger.newest.fail(error)
    with pytest.raises(PartLostError, match=r"the ledger (died|met)"):
        watched.look()


def test_a_part_of_which_there_is_one_ends_the_session_when_it_is_silent() -> None:
    watched = Watched()
    watched.look(START_S - 1)
    with pytest.raises(PartLostError, match="the ledger has not answered for"):
        watched.look(2.0)
    watched = Watched().up()
    watched.silence(watched.ledger)
    watched.look(TIMEOUT_S - 1)
    with pytest.raises(PartLostError, match="has not answered for"):
        watched.look(2.0)


def test_a_shard_that_never_comes_up_is_the_clusters_to_mend() -> None:
    watched = Watched()
    watched.ledger.at_once = 1
    watched.ledger.newest.answer(1)
    watched.look()
    with pytest.raises(ToldError, match=r"replay\.num_shards"):
        watched.look(START_S + 1)


@dataclass
class FakeLearner:
    """Implements WatchedLearner."""

    error: BaseException | None = None
    said: list[str] = field(default_factory=list)
    reason: str | None = None
    ends: bool = True
    killed: bool = False

    def failures(self) -> list[str]:
        return self.said

    def ended_because(self) -> str | None:
        return self.reason

    def join(self, timeout: float | None = None) -> bool:
        return self.ends

    def kill(self) -> None:
        self.killed = True


def watch_of(learner: FakeLearner, clock: Clock, events: Events, lost_at: float | None = None) -> LearnerWatch:
    return LearnerWatch(learner, events, lost_at, START_S, lambda: 1, clock)


def post(step: int, number: int, life: int = 1) -> MetricsPost:
    return MetricsPost(life, number, {"learner/learner_step": float(step)})


def test_a_learner_that_does_not_come_up_is_said_and_given_up() -> None:
    clock, learner = Clock(), FakeLearner()
    watch = watch_of(learner, clock, Events())
    assert "coming up" in watch.waiting_text()
    clock.pass_(START_S + 1)
    with pytest.raises(ToldError, match=r"runtime\.start_timeout_s"):
        watch.waiting_text()
    watch.take_in(post(1, 1))
    assert watch.waiting_text() == ""


def test_a_learner_is_silent_by_its_own_pace_and_lost_after_twice_the_start() -> None:
    clock, events = Clock(), Events()
    watch = watch_of(FakeLearner(), clock, events)
    watch.take_in(post(1, 1))
    clock.pass_(learner_watch.SILENT_S + 0.1)
    assert watch.is_silent
    clock.pass_(1.0)
    watch.take_in(post(2, 2))
    clock.pass_(learner_watch.SILENT_S + 0.1)
    assert not watch.is_silent, "it has paused for 4 s before"
    assert watch.patience_s == pytest.approx(3 * 4.1)
    watch.look()
    clock.pass_(2 * START_S)
    with pytest.raises(PartLostError, match="has posted nothing"):
        watch.look()


def test_ranks_that_come_back_are_noted_with_what_is_done_again() -> None:
    clock, events, learner = Clock(), Events(), FakeLearner()
    watch = watch_of(learner, clock, events)
    watch.take_in(post(500, 9))
    learner.said = ["rank 0 died"]
    watch.look()
    clock.pass_(8.5)
    watch.take_in(post(480, 1, life=2))
    assert events.kinds == [("lost", "learner"), ("restarted", "learner")]
    assert events[-1].after_s == 8.5
    assert "20 steps again" in events[-1].detail
    learner.said = [*learner.said, "rank 1 was silent for too long"]
    watch.look()
    assert events.kinds[-1] == ("fenced", "learner")


def test_the_session_after_a_lost_one_is_noted_as_a_restart() -> None:
    clock, events = Clock(), Events()
    watch = watch_of(FakeLearner(), clock, events, lost_at=clock() - 12.0)
    watch.take_in(post(7, 1))
    assert (events[0].event, events[0].part, events[0].after_s) == ("restarted", "session", 12.0)


def test_how_a_learner_ended_is_told_as_it_was() -> None:
    learner = FakeLearner(reason="the learner failed", error=RuntimeError("boom"))
    with pytest.raises(PartLostError, match="the learner failed"):
        watch_of(learner, Clock(), Events()).look()
    learner.error = UserError("learner.device: no")
    with pytest.raises(UserError):
        watch_of(learner, Clock(), Events()).look()


def test_a_learner_that_does_not_stop_as_told_is_ended() -> None:
    learner = FakeLearner()
    watch = watch_of(learner, Clock(), Events())
    watch.end(by_force=False)
    assert not learner.killed
    learner.ends = False
    watch.end(by_force=False)
    assert learner.killed
    learner.killed, learner.ends = False, True
    watch.end(by_force=True)
    assert learner.killed
