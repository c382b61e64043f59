"""A match of a run's league in a process of its own, which steps back behind the training.

::

    run ----an order, a line of JSON----> process: plays it
        <---{"outcomes": ...}, {"success_frac": ...} or {"failed": why}---+

The process ends with the run that has started it, however that ends: its standard input is closed then.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.league.snapshots import MissingSnapshotError
from robonav_ray.own_processes import ACTS, step_back
from robonav_ray.runtime.examination.child import start_child
from robonav_ray.runtime.self_play.matches import GateOrder, Order, order_from_json, play_for_gate, play_match

SHARE = 0.025
"""Part of the CPU time of this machine's cores that a match takes at most, where training does not wait for it."""
_SLEEP_S = 0.1


class MatchResult(NamedTuple):
    """What came of a match."""

    outcomes: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """For the place of the best; see ``matches.Played``."""
    failed: str
    """Why there are none; empty where there are."""
    wall_s: float
    cpu_s: float
    beside_itself: np.ndarray = np.zeros(0, bool)
    """See ``matches.Played``."""
    success_frac: Mapping[str, float] = MappingProxyType({})
    """For a gate; see ``matches.play_for_gate``."""


class Match(Protocol):
    """A match that is under way."""

    def result(self, wait_s: float = 0.0) -> MatchResult | None:
        """Return what came of it, None while it is played; waits for that up to ``wait_s``."""
        ...

    def close(self) -> None:
        """End it; what has been played is lost."""
        ...


StartMatch = Callable[[Order], Match]


class MatchProcess:
    """A match in a process of its own; implements Match."""

    def __init__(self, order: Order) -> None:
        self._process = start_child(serve_match)
        self._began = time.monotonic()
        self._told: dict[str, Any] | None = None
        self._heard = threading.Event()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # one that is gone says so itself, by its end
            self._process.stdin.write(order.to_json() + "\n")
            self._process.stdin.flush()
        threading.Thread(target=self._listen, name="match", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed, or killed within a line
            line = self._process.stdout.readline()
            self._told = json.loads(line) if line else None
        self._heard.set()

    def result(self, wait_s: float = 0.0) -> MatchResult | None:
        """See ``Match``."""
        if not self._heard.wait(wait_s):
            return None
        wall_s = time.monotonic() - self._began
        if self._told is None:
            code = self._process.wait()
            return MatchResult({}, f"the process that played it ended (exit code {code})", wall_s, 0.0)
        told = self._told
        outcomes = {
            name: (np.array(one, bool), np.array(other, bool))
            for name, (one, other) in told.get("outcomes", {}).items()
        }
        return MatchResult(
            outcomes, told.get("failed", ""), wall_s, float(told["cpu_s"]),
            np.array(told.get("beside_itself", []), bool), told.get("success_frac", {}),
        )  # fmt: skip

    def close(self) -> None:
        """See ``Match``."""
        self._process.kill()
        self._process.wait()
        self._heard.wait(1.0)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def serve_match() -> None:
    """Play the match that standard input tells, and tell what came of it; behind all others for a core, and until
    standard input ends at most.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what is printed is no answer
    step_back(ACTS)
    order = order_from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = _answer(order, Pacing(order.share))
    except (UserError, MissingSnapshotError, OSError) as error:
        answer = {"failed": str(error)}
    with contextlib.suppress(BrokenPipeError):
        answers.write(json.dumps({**answer, "cpu_s": time.process_time()}) + "\n")


def _answer(order: Order, pacing: Pacing) -> dict[str, Any]:
    if isinstance(order, GateOrder):
        return {"success_frac": play_for_gate(order, pacing)}
    outcomes, beside_itself = play_match(order, pacing)
    told = {name: [one.tolist(), other.tolist()] for name, (one, other) in outcomes.items()}
    return {"outcomes": told, "beside_itself": beside_itself.tolist()}


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


class Pacing:
    """Sleeps between steps, so that this process takes ``share`` of the CPU time of the cores that it may use."""

    def __init__(self, share: float) -> None:
        self._share = min(1.0, share * len(os.sched_getaffinity(0)))
        self._began = time.monotonic() - time.process_time()  # what it has needed to come up counts

    def __call__(self, progress: EvaluationProgress) -> None:
        """A step has been made."""
        if self._share >= 1.0:
            return
        ahead_s = time.process_time() / self._share - (time.monotonic() - self._began)
        if ahead_s >= _SLEEP_S:
            time.sleep(ahead_s)
