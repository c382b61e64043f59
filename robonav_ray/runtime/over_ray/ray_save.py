"""A checkpoint over Ray between its cut and its commit: every part writes what it has marked, on its own node."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.exceptions import RayError

from robonav_ray.commands import PollCut
from robonav_ray.errors import LearnerCallError
from robonav_ray.replay.remote import ReplaySave
from robonav_ray.runs.checkpoint import CheckpointWriter
from robonav_ray.runtime.over_ray.mailbox import MailboxHandle
from robonav_ray.runtime.topology import CALL_TIMEOUT_S


class RaySave:
    """A cut that learner and shards are writing; implements PendingSave."""

    def __init__(
        self,
        writer: CheckpointWriter,
        mailbox: MailboxHandle,
        rows: ReplaySave | None,
        documents: Mapping[str, Any],
        learner_step: int,
        before_commit: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """``documents`` are the JSON files of the cut by name; ``before_commit`` is given them when all else is
        written, and may raise an OSError.
        """
        self._writer, self._mailbox, self._rows, self.learner_step = writer, mailbox, rows, learner_step
        self._documents, self._before_commit = documents, before_commit
        self._waits_for_learner, self._waits_for_rows = True, rows is not None

    def poll(self, timeout_s: float) -> bool:
        """Ask the parts that have not yet said that they are done."""
        until = time.monotonic() + timeout_s
        try:
            if self._waits_for_learner:
                written = self._mailbox.call(PollCut(), timeout_s=CALL_TIMEOUT_S)
                if written is not None:
                    self._writer.add(file.below("learner") for file in written.files)
                    self._waits_for_learner = False
            if self._waits_for_rows and self._rows is not None:
                entries = self._rows.poll()
                if entries is not None:
                    self._writer.add(entry.below("replay") for entry in entries)
                    self._waits_for_rows = False
        except RayError as error:
            raise LearnerCallError(f"a part did not say that its files are written: {error}") from error
        if not self._waits_for_learner and not self._waits_for_rows:
            self._before_commit(self._documents)
            for name, document in self._documents.items():
                self._writer.write_json(name, document)
            return True
        time.sleep(max(0.0, until - time.monotonic()))
        return False

    def abandon(self) -> None:
        """Tell the shards; what the learner writes is small."""
        if self._rows is not None:
            self._rows.abandon()
