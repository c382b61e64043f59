"""The exposure log: a line of JSON for each episode that was given an arm, and reading what robots have written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.evaluation.fleet.split import Arm, FleetError, FleetSplit, check_episode, check_time_s, check_word
from robonav_ray.files.plain_files import append, open_reading

EXPOSURES, OUTCOMES, ROLLED_BACK = "exposures.jsonl", "outcomes.jsonl", "rolled_back.json"
MAX_LINE_BYTES = 4096


class OtherSplitError(FleetError):
    """A line is of another test's log."""


@dataclass(frozen=True)
class Exposure:
    """An episode that was given an arm."""

    robot: str
    episode: int
    arm: Arm
    time_s: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class ExposureLog:
    """Gives arms to episodes and writes each down before a robot drives."""

    split: FleetSplit
    folder: Path

    def assign(self, robot: str, episode: int, time_s: float | None = None) -> Arm:
        """Return who drives this episode, and log it; after a rollback the champion drives, and nothing is logged.

        A second call for the same episode returns the same arm, and its second line counts for nothing.

        Raises:
            FleetError: For a name or a number that cannot be; OSError when the log cannot be written.
        """
        arm = self.split.arm_of(robot, episode)
        if os.path.lexists(self.folder / ROLLED_BACK):
            return "champion"
        line = {
            "robot": robot,
            "episode": episode,
            "arm": arm,
            "version": self.split.version_of(arm),
            "split": self.split.key,
            "time_s": time.time() if time_s is None else check_time_s(time_s),
        }
        append(self.folder / EXPOSURES, json.dumps(line) + "\n")
        return arm


def vetted_exposure(line: bytes, split: FleetSplit) -> Exposure:
    """Return what a line of the log says.

    Raises:
        OtherSplitError: For a line of another split's log.
        FleetError: For one that is no line of a log, or tells another arm than the hash does.
    """
    told = mapping_of(line)
    robot, episode = check_word(told.get("robot"), "robot"), check_episode(told.get("episode"))
    if told.get("split") != split.key:
        raise OtherSplitError("is of another split")
    arm = split.arm_of(robot, episode)
    if told.get("arm") != arm:
        raise FleetError(f"names an arm, and the hash gives {arm}")
    return Exposure(robot, episode, arm, check_time_s(told.get("time_s")))


def mapping_of(line: bytes) -> dict[str, Any]:
    """Return the JSON object in a line; FleetError for anything else."""
    try:
        told: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise FleetError("is no JSON") from None
    if not isinstance(told, dict):
        raise FleetError("is no JSON object")
    return told


def whole_lines(path: Path, start: int = 0) -> Iterator[tuple[bytes | None, int]]:
    """Give (line, byte behind it) of each line from byte ``start`` on that has its end; None for one that is longer
    than MAX_LINE_BYTES, which is not kept. Nothing where there is no file yet.

    Raises:
        PlainFileError: When it is no plain file.
        FleetError: When it is shorter than ``start``: it was cut, and what is behind cannot be told.
    """
    try:
        file = open_reading(path)
    except FileNotFoundError:
        return
    with file:
        if file.seek(0, os.SEEK_END) < start:
            raise FleetError(f"{path}: is shorter than what was read of it; lines may only be added")
        file.seek(start)
        at, is_long = start, False
        while part := file.readline(MAX_LINE_BYTES + 1):
            at += len(part)
            if part.endswith(b"\n"):
                yield (None if is_long else part), at
                is_long = False
            else:
                is_long = True  # or the last line, which is still being written: then this was the last part
