"""The mailbox between the driver and rank 0 of the learner: commands one way, the newest metrics the other.

::

    driver  --call(Request[A])---->  [ commands ]  --exchange-->  learner
            <--- A or Refused -----                <---reply----
            <----- latest() -------  [ metrics  ]  <--exchange--

Neither side waits for the other to be fast: metrics overwrite each other, commands are handed over at the learner's
next look. What a call waits for is its reply; what ends the wait otherwise is its timeout, a restart of the learner
(``attach``), or the end of the learner (``fail``): then the call raises, so that the driver never hangs on a rank that
died between taking a command and answering it. Metrics carry the life of the learner that sent them, and are
dropped after a restart or a ``TakeOver``, so that a reader never gets a figure from before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayActorError

from robonav_ray.calls_remote import RayCall
from robonav_ray.commands import A, Answer, Command, CommandBatch, Refused, Request, TakeOver
from robonav_ray.errors import LearnerCallError
from robonav_ray.hosted_remote import Host, end
from robonav_ray.records import Metrics
from robonav_ray.runtime.local_mailbox import granted, name_of

ANSWER_S = 10.0
"""How long the driver waits for the mailbox itself, which answers at once unless its process is frozen."""


class MetricsPost(NamedTuple):
    """The newest metrics: ``number`` rises with every post, ``life`` with every (re)start of the learner."""

    life: int
    number: int
    metrics: Metrics


class Mailbox:
    """The plain mailbox; all methods run on one event loop and none of them blocks it."""

    def __init__(self) -> None:
        self._life = 0
        self._next_id = 0
        self._waiting: list[Command] = []
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._post: MetricsPost | None = None
        self._number = 0
        self._stop = False
        self._budget_frac: float | None = None
        self._ended: str | None = None

    async def attach(self) -> int:
        """Rank 0 begins (again): calls that an earlier life took and never answered fail. Returns the life to
        sign with.
        """
        self._life += 1
        self._post = None
        delivered = set(self._answers) - {command.id for command in self._waiting}
        for command_id in delivered:
            self._settle(command_id, Refused("the learner restarted before it answered"))
        return self._life

    async def exchange(self, life: int, metrics: Metrics) -> CommandBatch:
        """Keep the metrics as the newest and hand over the commands that wait; an earlier life gets ``stop``."""
        if life != self._life:
            return CommandBatch(stop=True)
        self._number += 1
        self._post = MetricsPost(life, self._number, metrics)
        commands, self._waiting = tuple(self._waiting), []
        return CommandBatch(commands, self._stop, self._budget_frac)

    async def reply(self, life: int, command_id: int, answer: Answer) -> None:
        """Answer a command; the answer of an earlier life, or one that came after its timeout, is dropped."""
        if life == self._life:
            self._settle(command_id, answer)

    async def call(self, request: Request[Any], timeout_s: float) -> Answer:
        """Send a command and wait for its answer: ``Refused`` when there is none within ``timeout_s``."""
        if self._ended is not None:
            return Refused(self._ended)
        self._next_id += 1
        command = Command(self._next_id, request)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[command.id] = answer
        self._waiting.append(command)
        try:
            value = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            return Refused(f"no answer within {timeout_s:g} s")
        finally:
            self._answers.pop(command.id, None)
            self._waiting = [c for c in self._waiting if c.id != command.id]
        if isinstance(request, TakeOver):
            self._post = None
        return value

    async def latest(self) -> MetricsPost | None:
        """Return the newest metrics of the present life, None before its first."""
        return self._post

    async def stop(self) -> None:
        """Ask the learner to stop at its next look; stays asked, also across a restart of the learner."""
        self._stop = True

    async def tell_budget(self, used_frac: float) -> None:
        """Hand ``used_frac`` over at every look from now on."""
        self._budget_frac = used_frac

    async def fail(self, reason: str) -> None:
        """The learner has ended: every call that waits, and every later one, fails with ``reason``."""
        self._ended = reason
        for command_id in list(self._answers):
            self._settle(command_id, Refused(reason))

    def _settle(self, command_id: int, answer: Answer) -> None:
        waiting = self._answers.get(command_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


class RemoteCommandChannel:
    """The learner's end; implements CommandChannel; attaches itself at its first exchange in a process."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._life: int | None = None

    def __reduce__(self) -> tuple[type[RemoteCommandChannel], tuple[Any]]:
        return (RemoteCommandChannel, (self._actor,))

    def exchange(self, metrics: Metrics) -> CommandBatch:
        """Hand over metrics and take commands; one round trip of about a millisecond."""
        return ray.get(self._actor.exchange.remote(self._attached(), metrics))

    def reply(self, command_id: int, answer: Answer) -> None:
        """Answer a command and wait until the answer has arrived."""
        ray.get(self._actor.reply.remote(self._attached(), command_id, answer))

    def _attached(self) -> int:
        life = self._life
        if life is None:
            life = self._life = int(ray.get(self._actor.attach.remote()))
        return life


class MailboxHandle:
    """The driver's end."""

    def __init__(self, learner_ended: Callable[[], str | None] = lambda: None, host: Host | None = None) -> None:
        """Start it in ``host``, or in an actor of its own. ``learner_ended`` returns why the learner is gone, or None
        while it lives.
        """
        if host is not None:
            self.actor: Any = host.start(Mailbox)
        else:
            actor_class: Any = ray.remote(Mailbox)
            self.actor = actor_class.options(num_cpus=0, max_concurrency=64).remote()
        self._learner_ended = learner_ended

    def watch(self, learner_ended: Callable[[], str | None]) -> None:
        """Set how to find out that the learner has ended, once there is a learner."""
        self._learner_ended = learner_ended

    def channel(self) -> RemoteCommandChannel:
        """Return the learner's end, to be sent to it."""
        return RemoteCommandChannel(self.actor)

    def call(self, request: Request[A], timeout_s: float = 60.0) -> A:
        """Send a command and return its answer.

        Raises:
            LearnerCallError: when the learner refused, restarted, ended or did not answer within ``timeout_s``.
        """
        pending = self.actor.call.remote(request, timeout_s)
        until = time.monotonic() + timeout_s + ANSWER_S
        while not ray.wait([pending], timeout=0.25)[0]:
            if time.monotonic() > until:
                raise LearnerCallError(f"{name_of(request)}: the mailbox itself does not answer")
            reason = self._learner_ended()
            if reason is not None:
                self.actor.fail.remote(reason)
        try:
            return granted(request, ray.get(pending))
        except RayActorError as error:
            raise LearnerCallError(f"the mailbox is gone: {error}") from None

    def ask(self, request: Request[Any], timeout_s: float) -> RayCall:
        """Send a command; the call's result is its answer, ``Refused`` when there is none within ``timeout_s``."""
        return RayCall(self.actor.call.remote(request, timeout_s))

    def send(self, request: Request[Any], timeout_s: float) -> None:
        """Send a command and wait for nothing; it is taken back when no learner has answered within ``timeout_s``."""
        self.actor.call.remote(request, timeout_s)

    def latest(self) -> MetricsPost | None:
        """Return the newest metrics, None before the learner's first."""
        return ray.get(self.actor.latest.remote(), timeout=ANSWER_S)

    def tell_budget(self, used_frac: float) -> None:
        """Let the learner know what part of the run's budget is used; does not wait."""
        self.actor.tell_budget.remote(used_frac)

    def stop(self) -> None:
        """Ask the learner to stop at its next step boundary."""
        ray.get(self.actor.stop.remote(), timeout=ANSWER_S)

    def kill(self) -> None:
        """End the actor, or its host, once the learner is gone."""
        end(self.actor)
