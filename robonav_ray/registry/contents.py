"""What a version is made of: the config and the weights of one checkpoint, how it was judged, and where it is from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from safetensors.numpy import save

from robonav_ray.config.load import dump_config
from robonav_ray.files.manifest import FileEntry
from robonav_ray.files.place_lock import owner
from robonav_ray.files.storage import inside, join, list_folder, read_bytes
from robonav_ray.registry.journal import now
from robonav_ray.runs.checkpoint import list_checkpoints
from robonav_ray.runs.checkpoint_index import read_index
from robonav_ray.runs.located import LocatedRun
from robonav_ray.runs.policies import Ensemble, read_policy, stored_ensemble
from robonav_ray.runs.run_directory import EVALUATION_JSON, WEIGHTS_FILE
from robonav_ray.runs.stored_models import (
    CONFIG_FILE,
    EVALUATION_FILE,
    FORMAT_VERSION,
    MAX_TEXT,
    MEMBERS_FILE,
    PROVENANCE_FILE,
    ModelCheckpoint,
    content_id,
)
from robonav_ray.runs.vetting import parse_json

logger = logging.getLogger(__name__)
MAX_NOTE_BYTES = 4_000_000
_CARRIED = ("run", "run_path", "checkpoint", "which", "seed", "env_id", "git_revision", "project", "versions")
"""What a version that is added under another name keeps of where it is from."""


@dataclass(frozen=True)
class Content:
    """A version that has no name and no number yet."""

    config: bytes
    weights: bytes
    evaluation: bytes
    provenance: Mapping[str, Any]
    members: bytes | None = None
    """Of an ensemble: how its members act as one, and the config of each."""

    @property
    def content_id(self) -> str:
        """The same for the same config and weights."""
        return content_id(
            FileEntry(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in self._acting.items()
        )

    @property
    def _acting(self) -> dict[str, bytes]:
        """All that it acts by."""
        members = {} if self.members is None else {MEMBERS_FILE: self.members}
        return {CONFIG_FILE: self.config, WEIGHTS_FILE: self.weights, **members}

    def files(self, name: str, number: int) -> dict[str, bytes]:
        """Return the files of the version ``name@number``."""
        facts = {**self.provenance, "name": name, "number": number, "content_id": self.content_id}
        return {**self._acting, EVALUATION_FILE: self.evaluation, PROVENANCE_FILE: _json(facts)}


def content_of(found: LocatedRun, reason: str) -> Content:
    """Return what a version of this run and checkpoint holds; UserError when the checkpoint is damaged."""
    config, counters = found.run.config, found.checkpoint.counters
    if isinstance(found.checkpoint, ModelCheckpoint) and found.checkpoint.is_ensemble:
        evaluation = _json(_read(found, EVALUATION_FILE))
        return ensemble_content(stored_ensemble(found.checkpoint), reason, _carried(found), evaluation)
    snapshot = read_policy(found.checkpoint, config.evaluation.weights)
    weights = save(dict(zip(snapshot.names, snapshot.arrays, strict=True)))
    provenance = {
        "format_version": FORMAT_VERSION,
        **(_carried(found) if found.run.is_model else _origin(found)),
        "env_steps": counters.env_steps,
        "learner_steps": counters.learner_steps,
        "train_s": counters.train_seconds,
        "policy_version": snapshot.version,
        "network": config.evaluation.weights,
        "created": now(),
        "created_s": time.time(),
        "created_by": owner(),
        "reason": reason,
    }
    evaluation = _read(found, EVALUATION_FILE) if found.run.is_model else _evaluation(found, snapshot.version)
    return Content(dump_config(config).encode(), weights, _json(evaluation), provenance)


def ensemble_content(
    ensemble: Ensemble, reason: str, origin: Mapping[str, Any] | None = None, evaluation: bytes | None = None
) -> Content:
    """Return what a version of an ensemble holds: the weights and configs of all its members.

    ``origin`` and ``evaluation`` are those of the version that it was read from, where it was.
    """
    members = ensemble.members
    weights = {
        f"{number}.{name}": array
        for number, member in enumerate(members)
        for name, array in zip(member.snapshot.names, member.snapshot.arrays, strict=True)
    }
    told = [
        {
            "name": str(member.facts["run"]),
            "config": member.config.model_dump(mode="json"),
            "facts": dict(member.facts),
        }
        for member in members
    ]
    runs = [str(member.facts["run"]) for member in members]
    provenance = {
        "format_version": FORMAT_VERSION,
        "run": f"{ensemble.how} of {', '.join(runs)}"[:MAX_TEXT],
        "run_path": "",
        "checkpoint": ", ".join(str(member.facts["checkpoint"]) for member in members)[:MAX_TEXT],
        "which": "named",
        "seed": ensemble.config.seed,
        "env_id": ensemble.config.env.id,
        "git_revision": None,
        "project": None,
        "versions": {},
        **(origin or {}),
        **{key: sum(member.facts[key] for member in members) for key in ("env_steps", "learner_steps", "train_s")},
        "policy_version": max(int(member.facts["policy_version"]) for member in members),
        "network": ensemble.config.evaluation.weights,
        "created": now(),
        "created_s": time.time(),
        "created_by": owner(),
        "reason": reason,
    }
    return Content(
        dump_config(ensemble.config).encode(),
        save(weights),
        evaluation or _json({"judgement": None, "report": None}),
        provenance,
        _json({"how": ensemble.how, "members": told}),
    )


def _origin(found: LocatedRun) -> dict[str, Any]:
    config = found.run.config
    sessions = _read(found, "run.json").get("sessions")
    last = sessions[-1] if isinstance(sessions, list) and sessions and isinstance(sessions[-1], dict) else {}
    packages = last.get("packages")
    revision, project = last.get("git_revision"), last.get("project")
    versions = {"python": last.get("python"), **(packages if isinstance(packages, dict) else {})}
    return {
        "run": found.run.path.name,
        "run_path": found.uri.partition("?")[0] if found.uri is not None else str(found.run.path),
        "checkpoint": found.checkpoint.path.name,
        "which": _which(found),
        "seed": config.seed,
        "env_id": config.env.id,
        "git_revision": revision if isinstance(revision, str) else None,
        "project": project if isinstance(project, dict) else None,
        "versions": versions,
    }


def _which(found: LocatedRun) -> str:
    """Return what the checkpoint is to its run: ``best`` by its judgements, ``last``, or ``named`` by the user."""
    best = read_index(found.run.path).best
    if best is not None and best.checkpoint == found.checkpoint.path.name:
        return "best"
    later = [path.name for path in list_checkpoints(found.run.checkpoints) if path.name > found.checkpoint.path.name]
    return "named" if later else "last"


def _carried(found: LocatedRun) -> dict[str, Any]:
    provenance = _read(found, PROVENANCE_FILE)
    return {key: provenance[key] for key in _CARRIED}  # vetted when the version was opened


def _evaluation(found: LocatedRun, policy_version: int) -> dict[str, Any]:
    judged = read_index(found.run.path).judged(found.checkpoint.path.name)
    policy = found.checkpoint.counters.env_steps, policy_version
    report = next((one for one in _reports(found) if (one.get("env_steps"), one.get("policy_version")) == policy), None)
    return {"judgement": None if judged is None else dataclasses.asdict(judged), "report": report}


def _reports(found: LocatedRun) -> Iterator[dict[str, Any]]:
    """Give the evaluations of a run, the newest first; that of the end of its training comes last."""
    location = found.uri or str(found.run.path)
    for folder, is_folder, _ in reversed(list_folder(join(location, "evaluations"))):
        if is_folder:
            yield _read(found, f"evaluations/{folder}/{EVALUATION_JSON}")
    yield _read(found, EVALUATION_JSON)


def _read(found: LocatedRun, name: str) -> dict[str, Any]:
    """Return a small JSON file of a run; empty where there is none, and for one that cannot be read, which is said."""
    location = found.uri or str(found.run.path)
    try:
        document = parse_json(read_bytes(inside(location, name), MAX_NOTE_BYTES), name)
    except FileNotFoundError:
        return {}
    except ValueError as error:  # a PlainFileError too
        _say_unread(found, name, str(error))
        return {}
    if not isinstance(document, dict):
        _say_unread(found, name, f"{name}: holds no JSON object")
        return {}
    return document


def _say_unread(found: LocatedRun, name: str, why: str) -> None:
    what = "its revisions, packages and project" if name == "run.json" else "how it was judged there"
    logger.warning("%s: %s; the version is added without %s", found.run.path.name, why, what)


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
