"""The mailbox of the one-process wiring, which answers at once; no Ray."""

from __future__ import annotations

from robonav_ray.records import Command, CommandBatch, Metrics


class LocalMailbox:
    """The same channel inside one process: the wiring puts commands in and finds the answers."""

    def __init__(self) -> None:
        self.metrics: Metrics = {}
        self.answers: dict[int, str] = {}
        self.budget_frac: float | None = None
        """Handed over at every look; what ``tell_budget`` of the other mailbox sets."""
        self._waiting: list[Command] = []
        self._next_id = 0

    def post(self, op: str, argument: str = "") -> int:
        """Queue a command; returns the id under which its answer will stand in ``answers``."""
        self._next_id += 1
        self._waiting.append(Command(self._next_id, op, argument))
        return self._next_id

    def exchange(self, metrics: Metrics) -> CommandBatch:
        """Keep the metrics and hand over the waiting commands."""
        self.metrics = metrics
        commands, self._waiting = tuple(self._waiting), []
        return CommandBatch(commands, budget_frac=self.budget_frac)

    def reply(self, command_id: int, value: str) -> None:
        """Keep an answer."""
        self.answers[command_id] = value
