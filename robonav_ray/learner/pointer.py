"""What ranks and driver leave for each other beside Ray Train's notes: the last committed checkpoint, and what ended
the ranks.
"""

from __future__ import annotations

import json

from robonav_ray.errors import UserError
from robonav_ray.files.storage import exists, join, read_bytes, write_bytes

LEARNER_PART = "learner"
_COMMITTED, _ENDED = ".committed.json", ".committed.ended.json"


def committed_pointer(storage_path: str, run_name: str) -> str:
    """Return the location of the file that names the last committed checkpoint."""
    return join(storage_path, f"{run_name}{_COMMITTED}")


def write_committed(pointer: str, path: str) -> None:
    """Make ``path``, the location of a committed checkpoint, the one to restart from."""
    write_bytes(pointer, json.dumps({"path": path}).encode())


def last_committed(pointer: str) -> str | None:
    """Return the location of the learner's part of the checkpoint that ``pointer`` names; None when none was committed
    since the start.
    """
    if not exists(pointer):
        return None
    return join(json.loads(read_bytes(pointer))["path"], LEARNER_PART)


def write_ended(pointer: str, kind: str, text: str) -> None:
    """Write down what ended the ranks for good: ``kind`` is ``user`` or ``numbers``."""
    write_bytes(pointer.replace(_COMMITTED, _ENDED), json.dumps({"kind": kind, "text": text}).encode())


def raise_what_ended(pointer: str) -> None:
    """Raise what a rank wrote down when it ended for good; nothing when it was told to stop."""
    place = pointer.replace(_COMMITTED, _ENDED)
    if exists(place):
        ended = json.loads(read_bytes(place))
        raise UserError(ended["text"]) if ended["kind"] == "user" else FloatingPointError(ended["text"])
