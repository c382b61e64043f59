"""CommandChannel keeps the same promises whether the driver is in the same process or behind the mailbox actor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from robonav_ray.commands import Command, CommandBatch, Refused, Request, Save, Standing, TakeOver, Written
from robonav_ray.errors import LearnerCallError
from robonav_ray.files.manifest import FileEntry
from robonav_ray.interfaces import CommandChannel
from robonav_ray.records import Metrics
from robonav_ray.runtime.local_mailbox import LocalMailbox
from robonav_ray.runtime.over_ray.mailbox import MailboxHandle


@dataclass
class Setup:
    channel: CommandChannel
    """The learner's end."""
    ask: Callable[[Request[Any]], Callable[[], Any]]
    """Send a command; what comes back waits for its answer."""
    latest: Callable[[], Metrics]


def _local() -> Setup:
    mailbox = LocalMailbox()
    return Setup(mailbox, mailbox.post, lambda: mailbox.metrics)


@pytest.fixture(params=["plain", pytest.param("ray", marks=pytest.mark.ray)])
def setup(request) -> Iterator[Setup]:
    if request.param == "plain":
        yield _local()
        return
    request.getfixturevalue("ray_session")
    import ray

    handle = MailboxHandle()

    def latest() -> Metrics:
        post = handle.latest()
        assert post is not None
        return post.metrics

    with ThreadPoolExecutor(8) as drivers:

        def ask(request: Request[Any]) -> Callable[[], Any]:
            future = drivers.submit(handle.call, request, 15.0)
            return lambda: future.result(20.0)

        yield Setup(handle.channel(), ask, latest)
    ray.kill(handle.actor)


def take(channel: CommandChannel, count: int) -> list[Command]:
    """Exchange until ``count`` commands have come; a driver behind an actor may be a moment late."""
    taken: list[Command] = []
    deadline = time.monotonic() + 120.0
    while len(taken) < count:
        taken += channel.exchange({}).commands
        assert time.monotonic() < deadline, f"{len(taken)} of {count} commands within two minutes"
    return taken


def test_without_commands_an_exchange_is_empty_and_leaves_the_newest_metrics(setup):
    assert isinstance(setup.channel, CommandChannel)
    for step in range(3):
        assert setup.channel.exchange({"learner/step": float(step)}) == CommandBatch()
    assert setup.latest() == {"learner/step": 2.0}


def test_a_command_arrives_once_and_its_answer_goes_to_who_asked(setup):
    setup.channel.exchange({})
    answers = {}
    for path in ("/a", "/b"):  # one after the other, so that their order is known
        answers[path] = setup.ask(Save(path))
        (command,) = take(setup.channel, 1)
        assert command.request == Save(path)
        assert setup.channel.exchange({}).commands == ()
        setup.channel.reply(command.id, Written((FileEntry(path, 1, "hash"),)))
    assert {path: answer().files[0].name for path, answer in answers.items()} == {"/a": "/a", "/b": "/b"}


def test_answers_in_another_order_than_the_commands_do_not_get_mixed_up(setup):
    setup.channel.exchange({})
    answers = {place: setup.ask(TakeOver(place)) for place in "abcd"}
    commands = take(setup.channel, 4)
    assert sorted(c.request.location for c in commands) == list("abcd")
    assert len({c.id for c in commands}) == 4
    for command in reversed(commands):
        setup.channel.reply(command.id, Standing(ord(command.request.location), 1))
    assert {place: answer().learner_step for place, answer in answers.items()} == {
        place: ord(place) for place in "abcd"
    }


def test_a_refusal_arrives_as_one(setup):
    setup.channel.exchange({})
    answer = setup.ask(TakeOver("/nowhere"))
    (command,) = take(setup.channel, 1)
    setup.channel.reply(command.id, Refused("no such directory"))
    with pytest.raises(LearnerCallError, match="TakeOver: no such directory"):
        answer()
