"""``pipeline.lock.json``: of each step that is done, what it was done with and what it has made, by hash.

The file is replaced whole when a step has ended, and comes last: what it names is there. It may have travelled with a
backup, so it is vetted when it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from robonav_ray.errors import UserError
from robonav_ray.files.manifest import leads_outside
from robonav_ray.files.plain_files import PlainFileError, check_way, read_json, replace
from robonav_ray.pipeline.hashes import digest_of, file_sha256
from robonav_ray.ranges import MAX_COUNT

LOCK_FILE = "pipeline.lock.json"
FORMAT_VERSION = 1
_MAX_S = 1e11
"""Seconds; a clock shows no later time."""
TRAINS = ("search", "train")
"""Steps that the pipeline's budget counts."""


class StepRecord(BaseModel):
    """A step that is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: dict[str, Any]
    """What it was told: its part of the config, and hashes of files outside."""
    reads: dict[str, str]
    """Step -> hash of the facts that it took of it."""
    code: dict[str, str]
    """Module -> hash of its source."""
    facts: dict[str, Any]
    """What it has made, for later steps."""
    files: dict[str, str]
    """File below the pipeline's folder -> its SHA-256."""
    told: str = ""
    """One line for people."""
    ended_s: float = Field(ge=0.0, le=_MAX_S)
    """When, in seconds since 1970."""
    took_s: float = Field(ge=0.0, le=_MAX_S)
    """Over all sessions that have ended."""

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, str]) -> dict[str, str]:
        if outside := [name for name in files if leads_outside(name)]:
            raise ValueError(f"{outside[0]!r} leads out of the pipeline's folder")
        return files

    @property
    def key(self) -> str:
        """The same for the same inputs."""
        return key_of(self.inputs, self.reads)

    @property
    def facts_digest(self) -> str:
        """What stands in ``reads`` of those that take its facts."""
        return digest_of(self.facts)


class Spent(BaseModel):
    """What search and training have used for what is there, over all sessions that have ended."""

    model_config = ConfigDict(extra="forbid")

    time_s: dict[str, Annotated[float, Field(ge=0.0, le=_MAX_S)]] = Field(default_factory=dict)
    """Seconds by step, of all steps."""
    env_steps: dict[str, Annotated[int, Field(ge=0, le=MAX_COUNT)]] = Field(default_factory=dict)
    """By step."""

    @property
    def trained_s(self) -> float:
        """Seconds of search and training."""
        return sum(self.time_s.get(name, 0.0) for name in TRAINS)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format_version: int = Field(ge=1, le=FORMAT_VERSION)
    spent: Spent = Spent()
    steps: dict[str, StepRecord] = Field(default_factory=dict)


class LockFileError(UserError):
    """The lock file is none, or is damaged."""


@dataclass
class LockFile:
    """The steps that are done."""

    path: Path
    steps: dict[str, StepRecord]
    spent: Spent

    @classmethod
    def load(cls, folder: Path) -> LockFile:
        """Return the lock file in ``folder``; an empty one, which is not written, where there is none.

        Raises:
            LockFileError: When what lies there is none of ours.
        """
        path = folder / LOCK_FILE
        try:
            found = read_json(path)
            version = found.get("format_version") if isinstance(found, dict) else None
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise LockFileError(
                    f"{path}: was written by a newer version of robonav_ray (format {version}, and this one knows "
                    f"{FORMAT_VERSION}): go on with that one, or give this pipeline another name"
                )
            document = _Document.model_validate(found)
        except FileNotFoundError:
            return cls(path, {}, Spent())
        except (ValidationError, PlainFileError) as error:
            why = str(error) if isinstance(error, PlainFileError) else error.errors()[0]["msg"]
            raise LockFileError(
                f"{path}: is not the lock file of a pipeline, or is damaged ({why}): take it from a backup, or remove "
                "it: then each step is looked at anew, and trainings and searches go on from what they have"
            ) from None
        return cls(path, document.steps, document.spent)

    def save(self) -> None:
        """Replace the file; OSError when that cannot be, and the old one is as it was."""
        document = _Document(format_version=FORMAT_VERSION, spent=self.spent, steps=self.steps)
        replace(self.path, document.model_dump_json(indent=1) + "\n")


def key_of(inputs: dict[str, Any], reads: dict[str, str]) -> str:
    """Return the hash of all that decides on a step's result but code."""
    return digest_of({"inputs": inputs, "reads": reads})


def changed_files(root: Path, files: dict[str, str]) -> dict[str, str]:
    """Return which of ``files`` (path below ``root`` -> SHA-256) are not as they were: path -> what is wrong."""
    found: dict[str, str] = {}
    for name, sha256 in files.items():
        try:
            check_way(root, name)
            if file_sha256(root / name) != sha256:
                found[name] = "was changed"
        except FileNotFoundError:
            found[name] = "is gone"
        except PlainFileError as error:
            found[name] = f"is not the file that was written ({error})"
    return found
