"""Environments that do what their authors never should: one class, a table of behaviours. Registered as
tests.hostile_envs:Hostile-v0.

``behaviour`` does its worst in ``call`` (``init``, ``reset``, ``step``, ``close`` or ``render``), from the ``after``-th
time on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

BOX = gym.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gym.spaces.Discrete(2)


class OwnBaseError(BaseException):
    """Derived from a class that no handler catches."""


class Unspeakable(Exception):
    """Cannot be shown, and not pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


def _raise(error: BaseException) -> Any:
    raise error


def _recurse() -> Any:
    return _recurse()


class Hostile(gym.Env[Any, Any]):
    """Three random numbers, two actions, ten steps; until it misbehaves."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  as in Gymnasium

    def __init__(
        self, behaviour: str = "", call: str = "step", after: int = 0, length: int = 10, render_mode: str | None = None
    ) -> None:
        self.observation_space, self.action_space = BOX, ACTIONS
        self.render_mode = render_mode
        self._behaviour, self._call, self._left, self._length = behaviour, call, after, length
        self._t = 0
        self._buffer = np.zeros(3, np.float32)
        self._misbehave("init", None)

    def _misbehave(self, call: str, answer: Any) -> Any:
        if call != self._call or not self._behaviour:
            return answer
        self._left -= 1
        return answer if self._left >= 0 else (ERRORS | ANSWERS | ENDS)[self._behaviour](answer)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._t = 0
        return self._misbehave("reset", (self._observation(), {}))

    def step(self, action: Any) -> Any:
        self._t += 1
        cut = self._t >= self._length
        return self._misbehave("step", (self._observation(), float(action), False, cut, {}))

    def _observation(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def render(self) -> Any:
        return self._misbehave("render", np.zeros((4, 4, 3), np.uint8))

    def close(self) -> None:
        self._misbehave("close", None)


def _with(index: int, value: Any) -> Callable[[Any], Any]:
    """Return what puts ``value`` in the place of one of the five (or two) things that a call returns."""
    return lambda answer: (*answer[:index], value, *answer[index + 1 :])


ERRORS: dict[str, Callable[[Any], Any]] = {
    "KeyError": lambda _: _raise(KeyError("goal")),
    "SystemExit(0)": lambda _: sys.exit(0),
    "SystemExit(3)": lambda _: sys.exit(3),
    "os._exit(3)": lambda _: os._exit(3),
    "KeyboardInterrupt": lambda _: _raise(KeyboardInterrupt()),
    "GeneratorExit": lambda _: _raise(GeneratorExit()),
    "OwnBaseError": lambda _: _raise(OwnBaseError("mine")),
    "MemoryError": lambda _: _raise(MemoryError()),
    "StopIteration": lambda _: _raise(StopIteration(3)),
    "OSError": lambda _: _raise(OSError(98, "Address already in use")),
    "FileNotFoundError(2, 'No such file or directory') for 'maps/lab.bin'": lambda _: Path("maps/lab.bin").read_bytes(),
    "ImportError": lambda _: _raise(ImportError("No module named 'simulator'")),
    "RecursionError": lambda _: _recurse(),
    "Unspeakable": lambda _: _raise(Unspeakable()),
    "ValueError": lambda _: np.zeros(3).reshape(2),
}
"""What a call may raise, by what the message has to name."""

ANSWERS: dict[str, Callable[[Any], Any]] = {
    "returned a tuple of 4": lambda answer: answer[:4],
    "returned None,": lambda _: None,
    "of shape (2,)": _with(0, np.zeros(2, np.float32)),
    "returned None of shape ()": _with(0, None),
    "an observation of type <U1": _with(0, ["a", "b", "c"]),
    "makes no array": _with(0, [[1.0], [2.0, 3.0]]),
    "number 1 is nan": _with(0, np.array([0.0, np.nan, 0.0], np.float32)),
    "number 2 is inf": _with(0, [0.0, 0.0, 1e300]),
    "returned the reward nan": _with(1, np.nan),
    "returned the reward inf": _with(1, np.float32(np.inf)),
    "returned None as reward": _with(1, None),
    "returned a ndarray as reward": _with(1, np.zeros(2)),
    "returned a str as reward": _with(1, "1.0"),
    "returned None as terminated": _with(2, None),
    "returned 2 as truncated": _with(3, 2),
    "returned None as info": _with(4, None),
}
"""What a step may return, by what the message has to say."""

ENDS: dict[str, Callable[[Any], Any]] = {
    "SIGKILL": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "for ever": lambda _: time.sleep(3600),
}
"""What ends its process, or never returns."""


class OneBuffer(gym.Env[Any, Any]):
    """Counts its steps in a buffer that all instances share, and that every call fills anew."""

    observation_space, action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32), gym.spaces.Discrete(2)
    buffer = np.zeros(1, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._observation(), 0.0, False, self.t >= 5, {}

    def _observation(self) -> np.ndarray:
        self.buffer[:] = self.t
        return self.buffer


class NoWeights:
    """A weight source that never has any, for a worker in a process of its own."""

    def newer_than(self, version: int) -> None:
        return None

    wait_newer_than = newer_than


gym.register("Hostile-v0", entry_point=Hostile)
gym.register("OneBuffer-v0", entry_point=OneBuffer)
