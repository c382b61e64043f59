"""The mailbox of the one-process wiring, which answers at once; no Ray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robonav_ray.commands import A, Answer, Command, CommandBatch, Refused, Request
from robonav_ray.errors import LearnerCallError
from robonav_ray.records import Metrics


def granted(request: Request[A], answer: Any) -> A:
    """Return ``answer``; LearnerCallError when it is a refusal."""
    if isinstance(answer, Refused):
        raise LearnerCallError(f"{name_of(request)}: {answer.reason}")
    return answer


def name_of(request: Request[Any]) -> str:
    """Return what the request is called in messages."""
    return type(request).__name__


class LocalMailbox:
    """The same channel inside one process: the wiring puts commands in and finds the answers."""

    def __init__(self) -> None:
        self.metrics: Metrics = {}
        self.budget_frac: float | None = None
        """Handed over at every look; what ``tell_budget`` of the other mailbox sets."""
        self._answers: dict[int, Answer] = {}
        self._waiting: list[Command] = []
        self._next_id = 0

    def post(self, request: Request[A]) -> Callable[[], A]:
        """Queue a command; returns what takes its answer once the learner has looked (LearnerCallError where that is a
        refusal).
        """
        self._next_id += 1
        command = Command(self._next_id, request)
        self._waiting.append(command)
        return lambda: granted(request, self._answers.pop(command.id))

    def exchange(self, metrics: Metrics) -> CommandBatch:
        """Keep the metrics and hand over the waiting commands."""
        self.metrics = metrics
        commands, self._waiting = tuple(self._waiting), []
        return CommandBatch(commands, budget_frac=self.budget_frac)

    def reply(self, command_id: int, answer: Answer) -> None:
        """Keep an answer."""
        self._answers[command_id] = answer
