"""What listens at an address may be anything: its answers are read within a bound of bytes and of time."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

MAX_ANSWER_BYTES = 64_000_000


class AnswerError(ValueError):
    """An answer that is not read: it is too large, takes too long, or is no JSON; the message says which."""


class Answer(Protocol):
    """An open answer, as urllib gives it."""

    def read1(self, n: int = -1, /) -> bytes:
        """Return what has come, at most ``n`` bytes; none at the end."""
        ...


def read_json(answer: Answer, timeout_s: float) -> Any:
    """Return the JSON document that ``answer`` is.

    Raises:
        AnswerError: When it has more than MAX_ANSWER_BYTES, is not there within ``timeout_s``, or is no JSON.
        OSError, http.client.HTTPException: As the connection's own reads do.
    """
    data, until = bytearray(), time.monotonic() + timeout_s
    while block := answer.read1(1 << 16):
        data += block
        if len(data) > MAX_ANSWER_BYTES:
            raise AnswerError(f"its answer has more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > until:
            raise AnswerError(f"its answer was not whole within {timeout_s:g} s")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise AnswerError("its answer is no JSON") from None
