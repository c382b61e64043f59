"""The return of every training episode of a trial, on disk and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robonav_ray.records import EpisodeResults

_HEADER = "env_steps,length,return\n"


@dataclass(frozen=True)
class Episodes:
    """Training episodes in the order of their reports, (E,) each."""

    env_steps: np.ndarray
    """Env steps of the run when the episode was reported."""
    length: np.ndarray
    task_return: np.ndarray

    def last_mean(self, num: int) -> float:
        """Return the mean return of the last ``num`` (of all, when there are fewer); NaN without episodes."""
        return float(self.task_return[-num:].mean()) if len(self.task_return) else float("nan")

    def best_window(self, num: int) -> float:
        """Return the largest mean return of ``num`` episodes in a row; NaN when there are fewer."""
        if len(self.task_return) < num:
            return float("nan")
        total = np.concatenate([[0.0], np.cumsum(self.task_return, dtype=np.float64)])
        return float((total[num:] - total[:-num]).max() / num)

    def curve(self, grid: np.ndarray, num: int) -> np.ndarray:
        """Return the mean return of the last ``num`` episodes at each of ``grid`` env steps; NaN before the first
        episode.
        """
        total = np.concatenate([[0.0], np.cumsum(self.task_return, dtype=np.float64)])
        end = np.searchsorted(self.env_steps, grid, side="right")
        begin = np.maximum(end - num, 0)
        count = end - begin
        return np.divide(total[end] - total[begin], count, out=np.full(len(grid), np.nan), where=count > 0)


class EpisodeRecorder:
    """Appends the episodes of every report to a CSV file; a listener of the curriculum.

    A resumed trial begins from its checkpoint: what had been written after it is dropped.
    """

    def __init__(self, path: Path, resumed_at: int):
        """``resumed_at``: env steps of the checkpoint, 0 for a fresh trial."""
        kept = [_HEADER]
        if resumed_at and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
            kept += [line for line in lines if line.endswith("\n") and int(line.split(",", 1)[0]) <= resumed_at]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self.last: list[float] = [float(line.rsplit(",", 1)[1]) for line in kept[1:]][-100:]
        """The newest hundred returns."""

    def note(self, results: EpisodeResults, env_steps: int) -> None:
        """Write the episodes of one report, made at ``env_steps``."""
        for length, task_return in zip(results.length.tolist(), results.task_return.tolist(), strict=True):
            self._file.write(f"{env_steps},{length},{task_return:.6g}\n")
            self.last = [*self.last[-99:], task_return]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_episodes(path: Path) -> Episodes:
    """Return what a trial has written so far; a line that is being written is left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if line.endswith("\n")]
    table = np.array([line.split(",") for line in lines], np.float64).reshape(-1, 3)
    return Episodes(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2])
