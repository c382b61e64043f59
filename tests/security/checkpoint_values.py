"""Flips values of real checkpoints and takes them up, in a process of its own: a kernel that is led astray ends or
hangs the whole process.

Works in the folder that is its argument. Reads one case a line, ``{"kind": ..., "flips": [{"file": ..., "name": ...,
"at": ..., "value": ...}, ...]}``, and answers with one line: what could be flipped (for no flips), or what became of
the case. A case that hangs ends the process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from robonav_ray.config import RunConfig
from robonav_ray.errors import RunFaultError
from robonav_ray.files.manifest import MANIFEST
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError, open_checkpoint
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.taking_up import taking_up
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runtime.live import LiveRun, start_local
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.wiring import RunSession
from tests.security.checkpoint_kinds import config_of, forge, make_checkpoint

HANGS_AFTER_S = 300.0
MORE_ENV_STEPS = 200


@lru_cache
def made(kind: str, folder: Path) -> tuple[Path, RunConfig, Task]:
    """Return the checkpoint of a kind, made once, its config and task."""
    config = config_of(kind)
    return make_checkpoint(kind, folder / f"{kind}-{os.getpid()}"), config, describe_task(config)


def targets(checkpoint: Path) -> list[tuple[str, str]]:
    """Return (file, array or column) of everything in a checkpoint that holds numbers; JSON documents have no name."""
    found: list[tuple[str, str]] = []
    for path in sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != MANIFEST):
        file = path.relative_to(checkpoint).as_posix()
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found += [(file, name) for name in arrays.files if arrays[name].size]
        elif path.suffix == ".npy":
            array = np.load(path)
            found += [(file, name) for name in (array.dtype.names or ("",)) * bool(array.size)]
        elif path.suffix == ".safetensors":
            found += [(file, name) for name, array in load_file(path).items() if array.size]
        else:
            found += [(file, "")] * 6
    return found


def flip(path: Path, name: str, at: float | None, value: Any) -> None:
    """Put ``value`` in the place ``at`` (a part of the array's length; None: everywhere) of an array, or of the numbers
    of a document."""
    if path.suffix == ".json":
        document = json.loads(path.read_text())
        spots = list(_numbers(document))
        holder, key = spots[int((at or 0.0) * len(spots))]
        holder[key] = value
        path.write_text(json.dumps(document))
    elif path.suffix == ".npy":
        array = np.load(path)
        _set(array[name] if name else array, at, value)
        np.save(path, array)
    else:
        read = load_file(path) if path.suffix == ".safetensors" else dict(np.load(path))
        read[name] = np.array(read[name])
        _set(read[name], at, value)
        if path.suffix == ".safetensors":
            save_file(read, path)
        else:
            np.savez(path, allow_pickle=False, **read)


def _numbers(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where the numbers of a document stand, as (what holds it, key)."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        if isinstance(value, dict | list):
            yield from _numbers(value)
        elif isinstance(value, int | float):
            yield document, key


def _set(array: np.ndarray, at: float | None, value: Any) -> None:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        number = (
            np.float64(value)
            if array.dtype.kind == "f"
            else int(np.nan_to_num(float(value), posinf=2.0**70, neginf=-(2.0**70)))
        )
        if array.dtype.kind in "iu":
            bits = 8 * array.dtype.itemsize
            number = np.array(number % (1 << bits), np.uint64).astype(f"u{array.dtype.itemsize}").view(array.dtype)
        if at is None or not array.ndim:
            array[...] = number
        else:
            array[np.unravel_index(int(at * array.size), array.shape)] = number


def take_up(run: RunDirectory, folder: Path, config: RunConfig, task: Task) -> str:
    """Do with a checkpoint what ``evaluate`` and ``train --resume`` do, both wirings; return how that ended."""
    before = contents(run.path)
    with contextlib.ExitStack() as exits:
        try:
            checkpoint = open_checkpoint(folder)
            load_policy(checkpoint, config, task)
            for i in range(config.replay.num_shards):
                _restore(checkpoint, config, task, i)
            session = RunSession(config, task, run, checkpoint, time.monotonic())
            live = LiveRun(session, start_local, wiring_name="local", stop=StopRequest(), command=["test"])
            exits.enter_context(live)
        except CheckpointError as error:
            whole = "\n" not in str(error) and "traceback" not in str(error).lower() and str(folder) in str(error)
            said = "refused" if whole and contents(run.path) == before else "refused badly, or something was changed"
            return f"{said}: {error}"
        live.advance(checkpoint.counters.env_steps + MORE_ENV_STEPS)
        saved = live.controller.save()
    assert saved is not None, "what ran on could not be saved"
    LocalWiring(RunSession(config, task, run, open_checkpoint(saved.path), time.monotonic())).round()
    return "ran on"


def _restore(checkpoint: Checkpoint, config: RunConfig, task: Task, index: int) -> None:
    """As a shard's actor over Ray begins."""
    shard = ReplayShard(config.replay, task.spec, config.seed, index)
    with taking_up(checkpoint):
        shard.restore(f"{checkpoint.replay}/shard_{index:03d}", 1)
    shard.check_valid()
    shard.sample(8)


def contents(folder: Path) -> dict[str, bytes]:
    """Return name -> bytes of every file but the lock."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def answer(case: dict[str, Any], folder: Path) -> Any:
    """Return what can be flipped, or what became of the case."""
    good, config, task = made(case["kind"], folder)
    if not case["flips"]:
        return targets(good)
    run = RunDirectory(folder / "case")
    shutil.rmtree(run.path, ignore_errors=True)
    shutil.copytree(good.parent.parent, run.path)
    (path,) = run.checkpoints.iterdir()
    for change in case["flips"]:
        flip(path / change["file"], change["name"], change["at"], change["value"])
    forge(path)
    faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)
    try:
        return take_up(run, path, config, task)
    except Exception as error:  # noqa: BLE001 (each one is a finding)
        cause = error.__cause__ if isinstance(error, RunFaultError) else error
        if isinstance(cause, FloatingPointError):  # the learner's own word: exit code 1, one message
            return f"gave up: {error}"
        return f"traceback: {traceback.format_exc()}"
    finally:
        faulthandler.cancel_dump_traceback_later()


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        said = answer(json.loads(line), Path(sys.argv[1]))
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    faulthandler.enable()
    main()
