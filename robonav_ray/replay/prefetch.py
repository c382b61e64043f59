"""A few results made ahead of time by one background thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Keeps ``depth`` calls of ``produce`` done or under way; their results come out in order, their errors too.

    ``produce`` returns None for "not yet" and must not block for long, or ``close`` does.
    """

    def __init__(self, produce: Callable[[], T | None], depth: int) -> None:
        """Start the thread."""
        self._produce = produce
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="replay-prefetch")
        self._futures: deque[Future[T | None]] = deque(self._executor.submit(produce) for _ in range(depth))

    def get(self, timeout_s: float) -> T | None:
        """Return the next result, or None when there is none within ``timeout_s``; raises what ``produce`` raised."""
        if not self._futures[0].done() and not wait([self._futures[0]], timeout_s).done:
            return None
        self._futures.append(self._executor.submit(self._produce))
        return self._futures.popleft().result()

    def close(self) -> list[T]:
        """Stop the thread and return the results that were not taken; errors of calls that will not be asked for are
        dropped.
        """
        self._executor.shutdown(wait=True, cancel_futures=True)
        done = [f for f in self._futures if not f.cancelled() and f.exception() is None]
        return [result for f in done if (result := f.result()) is not None]
