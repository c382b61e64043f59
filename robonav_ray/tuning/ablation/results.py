"""``results.jsonl``: one line per training that was judged, written as it comes in; what a resume does not do again.

A line that a kill tore is left out, and its training is judged again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import PlainFileError, append, read_lines
from robonav_ray.ranges import MAX_COUNT, Numbers, count, real, require

RESULTS_FILE = "results.jsonl"


class ResultsError(UserError):
    """The results of an ablation cannot be read; the message names the file and the line."""


@dataclass(frozen=True)
class CellResult:
    """The result of one training."""

    key: str
    """Of the cell (``Cell.key``)."""
    arm: str
    seed: int
    run: str
    """Its directory, below that of the ablation."""
    env_steps: int
    """Behind the policy that was judged."""
    learner_steps: int
    train_s: float
    num_episodes: int
    """Of the exam, over all stages."""
    success_frac: float | None
    """Over all of them; None where the environment tells no success."""
    collision_frac: float | None
    return_mean: float

    @property
    def score(self) -> float:
        """What arms are compared by: the success, or the return where none is told."""
        return self.return_mean if self.success_frac is None else self.success_frac


_FRAC = real(low=0.0, high=1.0)
_NUMBERS: dict[str, Numbers] = {
    "seed": count(high=2**31),
    "env_steps": count(),
    "learner_steps": count(),
    "train_s": real(low=0.0, high=float(MAX_COUNT)),
    "num_episodes": count(low=1),
    "return_mean": real(),
}
_TEXTS = ("key", "arm", "run")


def read_results(folder: Path, keys: Iterable[str]) -> dict[str, CellResult]:
    """Return the results in ``folder`` of the cells with these keys, by key.

    Raises:
        ResultsError: When a line that is whole is none of ours.
    """
    path, wanted, found = folder / RESULTS_FILE, frozenset(keys), dict[str, CellResult]()
    try:
        for number, line in enumerate(read_lines(path), 1):
            if line.endswith(b"\n") and not _is_torn(line):
                result = _parsed(line, f"{path}, line {number}")
                if result.key in wanted:
                    found[result.key] = result
    except FileNotFoundError:
        return {}
    except PlainFileError as error:
        raise ResultsError(f"{error}; name another --out") from None
    return found


def append_result(folder: Path, result: CellResult) -> None:
    """Write one line, on the disk when this returns; a torn one before it is ended first."""
    path, is_ended = folder / RESULTS_FILE, True
    with contextlib.suppress(FileNotFoundError):
        is_ended = all(line.endswith(b"\n") for line in read_lines(path))
    append(path, "\n" * (not is_ended) + json.dumps(dataclasses.asdict(result), allow_nan=False) + "\n", sync=True)


def _is_torn(line: bytes) -> bool:
    """Whether a kill has ended the line: it is no JSON, and was ended with a line break by the next one."""
    return not line.rstrip().endswith(b"}")


def _parsed(line: bytes, where: str) -> CellResult:
    try:
        found: Any = json.loads(line)
        names = {field.name for field in dataclasses.fields(CellResult)}
        require(isinstance(found, dict) and set(found) == names, f"has not the keys {', '.join(sorted(names))}")
        for name in _TEXTS:
            require(isinstance(found[name], str), f"{name}: is no text")
        for name, numbers in _NUMBERS.items():
            numbers.check(name, found[name])
        for name in ("success_frac", "collision_frac"):
            if found[name] is not None:
                _FRAC.check(name, found[name])
        return CellResult(**found)
    except (ValueError, RecursionError) as error:
        raise ResultsError(
            f"{where}: is damaged ({error}); remove the line, and its training is judged again"
        ) from None
