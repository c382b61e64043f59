"""Whether every node of a cluster sees the folder that a run is written to, asked before anything is started there.

::

    driver --a file with a nonce--> folder <--reads it, writes one of its own-- a task on each node
    driver <--reads theirs-- folder

Consumes: a folder. Produces: nothing, or a StorageError that names the nodes. Waits for: the slowest node,
ANSWER_TIMEOUT_S at most.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from robonav_ray import __version__
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import read_text, replace

logger = logging.getLogger(__name__)
ANSWER_TIMEOUT_S = 12.0
SEEN_TIMEOUT_S = 2.0
"""How long a file may take from one machine to the next (a network file system that caches)."""


class StorageError(UserError):
    """The folder of a run cannot be written, or not by all nodes; the message names key, nodes and remedy."""


def check_shared(folder: Path, key: str) -> None:
    """Return when every node with CPUs reads what this process writes into ``folder``, and the other way round.

    ``folder`` is made where it does not exist, and removed again when it is refused. Nodes that do not answer in time
    are only warned of.

    Raises:
        StorageError: naming ``key``, the nodes that cannot, and why.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check(folder, key)
    except OSError as error:
        _remove_empty(made)
        raise StorageError(
            f"{key}: {folder} cannot be written on this machine ({error.strerror or error}): name a folder that you "
            "may write and that all nodes share"
        ) from None
    except StorageError:
        _remove_empty(made)
        raise


def _check(folder: Path, key: str) -> None:
    nonce = uuid.uuid4().hex
    mine = folder / f".probe-{nonce}"
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0}
    try:
        replace(mine, nonce)
        answers = _ask_nodes(str(folder), nonce, list(nodes))
        wrong: list[str] = []
        for node_id, answer in answers.items():
            theirs = folder / f".probe-{nonce}-{node_id}"
            if answer is None and not _seen(theirs, nonce):
                answer = "what it wrote there is not seen here"
            if answer is not None:
                wrong.append(f"{_name(nodes[node_id])}: {answer}")
    finally:
        for path in folder.glob(f".probe-{nonce}*"):
            path.unlink(missing_ok=True)
    silent = [_name(nodes[node_id]) for node_id in nodes.keys() - answers.keys()]
    late = f"{', '.join(sorted(silent))} did not answer within {ANSWER_TIMEOUT_S:g} s" if silent else ""
    if wrong:
        raise StorageError(
            f"{key}: {folder} is not shared by all nodes of the cluster: "
            f"{'; '.join(sorted(wrong) + [late] * bool(late))}. Name a folder that every node mounts and may write, "
            "for instance output_dir=/mnt/robonav/runs"
        )
    if silent:
        logger.warning("%s: whether they see %s is not known", late, folder)


def _ask_nodes(folder: str, nonce: str, node_ids: list[str]) -> dict[str, str | None]:
    """Return what each node that answered in time has against the folder; None where nothing."""
    asked = {
        _probe.options(  # pyright: ignore[reportFunctionMemberAccess]
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)
        ).remote(folder, nonce, node_id): node_id
        for node_id in node_ids
    }  # fmt: skip
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
    for ref in late:
        ray.cancel(ref, force=True)
    answers: dict[str, str | None] = {}
    for ref in ready:
        try:
            version, answer = ray.get(ref, timeout=1.0)
        except GetTimeoutError:
            continue
        except RayError as error:
            reason = (str(error).strip().splitlines() or ["?"])[-1]
            answer = f"cannot run our code ({reason}); is robonav_ray installed there?"
            version = __version__
        if version != __version__:
            answer = f"has robonav_ray {version} installed, and the driver {__version__}"
        answers[asked[ref]] = answer
    return answers


@ray.remote
def _probe(folder: str, nonce: str, node_id: str) -> tuple[str, str | None]:
    """On a node: read the driver's file and leave one of its own; returns our version there and what went wrong."""
    path = Path(folder)
    if not path.is_dir():
        return __version__, "the folder is not there"
    if not _seen(path / f".probe-{nonce}", nonce):
        return __version__, "it has a folder of that name, but of its own"
    try:
        replace(path / f".probe-{nonce}-{node_id}", nonce)
    except OSError as error:
        return __version__, f"cannot write there ({(error.strerror or str(error)).lower()})"
    return __version__, None


def _seen(path: Path, nonce: str) -> bool:
    until = time.monotonic() + SEEN_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError):
            if read_text(path, 1000) == nonce:
                return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.1)


def _name(node: dict[str, Any]) -> str:
    return f"node {node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
