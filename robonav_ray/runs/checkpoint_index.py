"""The index of a run's checkpoints: how each judged one did on held-out worlds, which is the best, which are numbered,
and why.

``RUN/checkpoints.json``, replaced whole after each judgement and each numbered checkpoint. A run that is neither judged
nor numbered has none, and so has every run of an earlier commit.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from robonav_ray.files.plain_files import PlainFileError, read_json
from robonav_ray.files.plain_files import replace as replace_file
from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT64, Numbers, RangeError, count, real, require
from robonav_ray.runs.checkpoint import CheckpointError

INDEX_FILE = "checkpoints.json"
FORMAT_VERSION = 1
Which = Literal["best", "last"]
"""Which checkpoint of a run is meant: the best by its judgements, or the newest."""
_NAME = re.compile(r"(env|policy)-\d{12}(-[0-9a-z]{1,32}){0,3}")


def checked_which(word: str | None) -> Which | None:
    """Return which checkpoint ``word`` means; CheckpointError for another one than ``best`` and ``last``."""
    if word is None or word == "best" or word == "last":
        return word
    raise CheckpointError(
        f"--checkpoint {word!r}: must be best or last; another one is named in place of the run, by its folder"
    )


@dataclass(frozen=True)
class Judgement:
    """How the policy of one checkpoint did on the worlds that judgements are made on."""

    checkpoint: str
    """Name of its directory; of a policy that was judged alone there is one while it is the best."""
    env_steps: int
    learner_steps: int
    train_s: float
    """Seconds of training behind it."""
    stage: int
    """Of the curriculum, when it was cut."""
    is_last_stage: bool
    """Whether that was the last one, or the one that the run is held in: ``evaluation.patience`` counts only these."""
    stages: tuple[str, ...]
    """Stages that were played."""
    num_episodes: int
    """Over all of them."""
    success_frac: float | None
    """Of all episodes, with its Wilson interval; None where the environment tells no success."""
    success_low_frac: float | None
    success_high_frac: float | None
    collision_frac: float | None
    return_mean: float
    """Mean undiscounted return."""

    @property
    def score(self) -> float:
        """What judgements are compared by: the success, or the return where none is told."""
        return self.return_mean if self.success_frac is None else self.success_frac

    def score_text(self) -> str:
        """Return the score for people, with its interval where there is one."""
        if self.success_frac is None or self.success_low_frac is None or self.success_high_frac is None:
            return f"mean return {self.return_mean:.4g}"
        return f"success {self.success_frac:.1%} ({self.success_low_frac:.1%} to {self.success_high_frac:.1%})"


@dataclass(frozen=True)
class Numbered:
    """A checkpoint that is kept because of its number (``checkpoint.interval_episodes``)."""

    number: int
    """Counted from 1: the episodes over the interval, rounded down."""
    num_episodes: int
    """Finished episodes of the run when it was cut."""
    checkpoint: str


@dataclass(frozen=True)
class CheckpointIndex:
    """What is known of a run's checkpoints beyond what they hold; in the order in which they were made."""

    judgements: tuple[Judgement, ...] = ()
    numbered: tuple[Numbered, ...] = ()

    @property
    def best(self) -> Judgement | None:
        """The judgement with the highest score, of equal ones that with the highest return; None without any."""
        return max(self.judgements, key=lambda judgement: (judgement.score, judgement.return_mean), default=None)

    @property
    def without_gain(self) -> int:
        """Judgements in the last stage since the last one whose score was above all before it."""
        best, without = -math.inf, 0
        for judgement in self.judgements:
            if judgement.score > best:
                best, without = judgement.score, 0
            elif judgement.is_last_stage:
                without += 1
        return without

    @property
    def newest_number(self) -> int:
        """Number of the newest numbered checkpoint; 0 before the first."""
        return max((numbered.number for numbered in self.numbered), default=0)

    def with_one(self, judgement: Judgement) -> CheckpointIndex:
        """Return the index with one judgement more."""
        return replace(self, judgements=(*self.judgements, judgement))

    def judged(self, checkpoint: str) -> Judgement | None:
        """Return the judgement of the checkpoint of this name; None when it has not been judged."""
        return next((judgement for judgement in self.judgements if judgement.checkpoint == checkpoint), None)

    def kept(self, *, keep_best: bool) -> frozenset[str]:
        """Return the names of the checkpoints that stay however many newer ones there are."""
        best = self.best if keep_best else None
        return frozenset([n.checkpoint for n in self.numbered] + ([] if best is None else [best.checkpoint]))

    def until(self, checkpoint: str | None) -> CheckpointIndex:
        """Return the index as it was at ``checkpoint``, from which a run goes on; None: from its beginning."""
        if checkpoint is None:
            return CheckpointIndex()
        return CheckpointIndex(
            tuple(j for j in self.judgements if _when(j.checkpoint) <= _when(checkpoint)),
            tuple(n for n in self.numbered if _when(n.checkpoint) <= _when(checkpoint)),
        )

    def renamed(self, old: str, new: str) -> CheckpointIndex:
        """Return the index with a judged checkpoint called otherwise, and without numbered ones: the others were
        freed.
        """
        return CheckpointIndex(tuple(replace(j, checkpoint=new) if j.checkpoint == old else j for j in self.judgements))

    def why_best(self) -> str:
        """Return for people which checkpoint is the best and by what; empty without judgements."""
        best = self.best
        if best is None:
            return ""
        judged = "its one judgement" if len(self.judgements) == 1 else f"{len(self.judgements)} judgements"
        return (
            f"{best.checkpoint}, after {best.env_steps:,} env steps, is the best by {judged}: {best.score_text()} of "
            f"{best.num_episodes} held-out episodes of {', '.join(best.stages)}"
        )


def _when(name: str) -> str:
    """Return what orders checkpoints: their names without the kind."""
    return name.partition("-")[2]


def read_index(run: Path) -> CheckpointIndex:
    """Return the index of the run in ``run``; an empty one where there is none.

    Raises:
        CheckpointError: When it is damaged; the message names the file.
    """
    path = run / INDEX_FILE
    try:
        found = read_json(path)
    except FileNotFoundError:
        return CheckpointIndex()
    except PlainFileError as error:
        raise CheckpointError(f"{error}; {_REMEDY}") from None
    try:
        return parse_index(found)
    except (ValueError, TypeError, LookupError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); {_REMEDY}") from None


_REMEDY = "remove it, and the run has no judgements and no numbered checkpoints; its newest is then taken"


def published_name(folder: Path, shown: str, which: Which | None) -> str | None:
    """Return the name of the checkpoint that stands for the run whose index is in ``folder``; None where that is the
    newest one.

    Raises:
        CheckpointError: When the index is damaged, or the best is asked for and the run, as it is ``shown``, has not
            been judged.
    """
    if which == "last":
        return None
    best = read_index(folder).best
    if best is None and which == "best":
        raise CheckpointError(
            f"--checkpoint best: {shown} has not been judged while it trained, so there is no best; take --checkpoint "
            "last, or train with evaluation.interval_s"
        )
    return None if best is None else best.checkpoint


def parse_index(found: Any) -> CheckpointIndex:
    """Return the index that a JSON document holds; ValueError, TypeError or LookupError when it is none."""
    require(
        isinstance(found, dict) and found.get("format_version") == FORMAT_VERSION,
        f"format_version: is not {FORMAT_VERSION}",
    )
    judgements = tuple(_judgement(item, f"judgements[{i}].") for i, item in enumerate(_list(found, "judgements")))
    numbered = tuple(_numbered(item, f"numbered[{i}].") for i, item in enumerate(_list(found, "numbered")))
    return CheckpointIndex(judgements, numbered)


def write_index(run: Path, index: CheckpointIndex) -> None:
    """Replace the index of the run in ``run``; OSError when that fails."""
    best = index.best
    document = {
        "format_version": FORMAT_VERSION,
        "best": None if best is None else {"checkpoint": best.checkpoint, "why": index.why_best()},
        "judgements": [dataclasses.asdict(judgement) for judgement in index.judgements],
        "numbered": [dataclasses.asdict(numbered) for numbered in index.numbered],
    }
    replace_file(run / INDEX_FILE, json.dumps(document, indent=1, allow_nan=False) + "\n")


_FRAC = real(low=0.0, high=1.0)
_JUDGED: dict[str, Numbers] = {
    "env_steps": count(high=10**12 - 1),
    "learner_steps": count(),
    "train_s": real(low=0.0, high=float(MAX_COUNT)),
    "stage": count(high=1000),
    "num_episodes": count(low=1),
    "return_mean": real(low=-MAX_FLOAT64, high=MAX_FLOAT64),
}
_RATES = ("success_frac", "success_low_frac", "success_high_frac", "collision_frac")
_COUNTED: dict[str, Numbers] = {"number": count(low=1), "num_episodes": count(low=1)}


def _judgement(item: Any, where: str) -> Judgement:
    _check(item, where, Judgement, _JUDGED)
    rates = [name for name in _RATES if item[name] is not None]
    for name in rates:
        _FRAC.check(f"{where}{name}", item[name])
    require(len(set(_RATES[:3]) & set(rates)) in (0, 3), f"{where}success_frac: has no interval")
    require(isinstance(item["is_last_stage"], bool), f"{where}is_last_stage: is not true or false")
    stages = _list(item, "stages")
    require(all(isinstance(stage, str) for stage in stages), f"{where}stages: are not names")
    return Judgement(**{**item, "stages": tuple(stages)})


def _numbered(item: Any, where: str) -> Numbered:
    _check(item, where, Numbered, _COUNTED)
    return Numbered(**item)


def _check(item: Any, where: str, kind: type[Any], declared: Mapping[str, Numbers]) -> None:
    """Raise RangeError unless ``item`` has just the fields of ``kind``, a checkpoint's name, and the numbers that are
    ``declared``.
    """
    names = {field.name for field in dataclasses.fields(kind)}
    require(
        isinstance(item, dict) and set(item) == names,
        f"{where.rstrip('.')}: has not the keys {', '.join(sorted(names))}",
    )
    name = item["checkpoint"]
    require(
        isinstance(name, str) and _NAME.fullmatch(name) is not None, f"{where}checkpoint: is no name of a checkpoint"
    )
    for key, numbers in declared.items():
        numbers.check(f"{where}{key}", item[key])


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    items = found.get(key)
    if not isinstance(items, list):
        raise RangeError(f"{key}: is no list")
    return items
