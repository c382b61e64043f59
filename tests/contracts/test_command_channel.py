"""CommandChannel keeps the same promises whether the driver is in the same process or behind the mailbox actor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from robonav_ray.errors import LearnerCallError
from robonav_ray.interfaces import CommandChannel
from robonav_ray.records import Command, CommandBatch, Metrics
from robonav_ray.runtime.local_mailbox import LocalMailbox
from robonav_ray.runtime.over_ray.mailbox import MailboxHandle


@dataclass
class Setup:
    channel: CommandChannel
    """The learner's end."""
    ask: Callable[[str, str], Callable[[], str]]
    """Send a command; what comes back waits for its answer."""
    latest: Callable[[], Metrics]


def _local() -> Setup:
    mailbox = LocalMailbox()

    def ask(op: str, argument: str) -> Callable[[], str]:
        command_id = mailbox.post(op, argument)
        return lambda: mailbox.answers.pop(command_id)

    return Setup(mailbox, ask, lambda: mailbox.metrics)


def _answer(future: Future[str]) -> str:
    try:
        return future.result(20.0)
    except LearnerCallError as error:
        return f"error: {error}"


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

        def ask(op: str, argument: str) -> Callable[[], str]:
            future = drivers.submit(handle.call, op, argument, 15.0)
            return lambda: _answer(future)

        yield Setup(handle.channel(), ask, latest)
    ray.kill(handle.actor)


def take(channel: CommandChannel, count: int) -> list[Command]:
    """Exchange until ``count`` commands have come; a driver behind an actor may be a moment late."""
    taken: list[Command] = []
    deadline = time.monotonic() + 20.0
    while len(taken) < count:
        taken += channel.exchange({}).commands
        assert time.monotonic() < deadline, f"{len(taken)} of {count} commands within 20 s"
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
        answers[path] = setup.ask("save", path)
        (command,) = take(setup.channel, 1)
        assert (command.op, command.argument) == ("save", path)
        assert setup.channel.exchange({}).commands == ()
        setup.channel.reply(command.id, f"saved {path}")
    assert {path: answer() for path, answer in answers.items()} == {"/a": "saved /a", "/b": "saved /b"}


def test_answers_in_another_order_than_the_commands_do_not_get_mixed_up(setup):
    setup.channel.exchange({})
    answers = {argument: setup.ask("load", argument) for argument in "abcd"}
    commands = take(setup.channel, 4)
    assert sorted(c.argument for c in commands) == list("abcd")
    assert len({c.id for c in commands}) == 4
    for command in reversed(commands):
        setup.channel.reply(command.id, command.argument.upper())
    assert {argument: answer() for argument, answer in answers.items()} == {a: a.upper() for a in "abcd"}


def test_a_refusal_arrives_as_one(setup):
    setup.channel.exchange({})
    answer = setup.ask("load", "/nowhere")
    (command,) = take(setup.channel, 1)
    setup.channel.reply(command.id, "error: no such directory")
    text = answer()
    assert text.startswith("error:")
    assert "no such directory" in text
