"""The mailbox: no call hangs, and no figure from before a restart is read."""

import asyncio

from robonav_ray.commands import Answer, CommandBatch, Cut, Refused, Resume, Save, Standing, TakeOver, Written
from robonav_ray.runtime.over_ray.mailbox import Mailbox


async def answered(mailbox: Mailbox, life: int, answer: Answer) -> None:
    batch = await mailbox.exchange(life, {})
    for command in batch.commands:
        await mailbox.reply(life, command.id, answer)


def test_a_call_returns_the_reply() -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        life = await mailbox.attach()
        call = asyncio.create_task(mailbox.call(Save("/x"), 5.0))
        await asyncio.sleep(0)
        batch = await mailbox.exchange(life, {"a": 1.0})
        assert [command.request for command in batch.commands] == [Save("/x")]
        await mailbox.reply(life, batch.commands[0].id, Written(()))
        assert await call == Written(())
        assert (await mailbox.exchange(life, {})).commands == ()

    asyncio.run(scenario())


def test_a_call_nobody_answers_times_out_and_is_withdrawn() -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        assert await mailbox.call(Resume(), 0.01) == Refused("no answer within 0.01 s")
        life = await mailbox.attach()
        assert (await mailbox.exchange(life, {})).commands == ()

    asyncio.run(scenario())


def test_a_restart_fails_what_was_taken_and_keeps_what_was_not() -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        first = await mailbox.attach()
        taken = asyncio.create_task(mailbox.call(Save("/x"), 5.0))
        await asyncio.sleep(0)
        await mailbox.exchange(first, {"old": 1.0})
        waiting = asyncio.create_task(mailbox.call(Cut("/x"), 5.0))
        await asyncio.sleep(0)
        second = await mailbox.attach()
        assert await taken == Refused("the learner restarted before it answered")
        assert await mailbox.latest() is None, "a figure from before the restart must not be read"
        assert await mailbox.exchange(first, {"stale": 1.0}) == CommandBatch(stop=True)
        assert await mailbox.latest() is None
        await answered(mailbox, second, Standing(7, 3))
        assert await waiting == Standing(7, 3)

    asyncio.run(scenario())


def test_a_take_over_drops_the_metrics_from_before_it() -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        life = await mailbox.attach()
        taken = asyncio.create_task(mailbox.call(TakeOver("/c"), 5.0))
        await asyncio.sleep(0)
        await mailbox.exchange(life, {"before": 1.0})
        batch_answer = asyncio.create_task(mailbox.reply(life, 1, Standing(7, 3)))
        assert await taken == Standing(7, 3)
        await batch_answer
        assert await mailbox.latest() is None

    asyncio.run(scenario())


def test_the_end_of_the_learner_fails_every_call() -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        call = asyncio.create_task(mailbox.call(Save("/x"), 60.0))
        await asyncio.sleep(0)
        await mailbox.fail("the trainer ended")
        assert await call == Refused("the trainer ended")
        assert await mailbox.call(Save("/x"), 60.0) == Refused("the trainer ended")

    asyncio.run(scenario())


def test_stop_stays_asked() -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        await mailbox.stop()
        for _ in range(2):
            assert (await mailbox.exchange(await mailbox.attach(), {})).stop

    asyncio.run(scenario())
