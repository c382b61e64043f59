"""Which device a rank computes on, and with how many threads."""

from __future__ import annotations

import os
import sys

import torch

from robonav_ray.config.learner import LearnerConfig
from robonav_ray.errors import UserError
from robonav_ray.learner.compilation import check_compile
from robonav_ray.learner.precision import check_precision
from robonav_ray.learner.ranks import OneRank

SWITCH_INTERVAL_S = 2e-4


def pick_device(wanted: str, local_rank: int = 0) -> torch.device:
    """Return the device of a rank.

    Args:
        wanted: ``cpu``, ``cuda`` or ``auto`` (a GPU where this process sees one).
        local_rank: Rank within the node; chooses among the visible GPUs.

    Raises:
        UserError: When ``cuda`` is wanted and no GPU is visible.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("learner.device is 'cuda' but this process sees no GPU; set learner.device=cpu or auto")
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def named_device(device: torch.device | str, key: str = "device") -> torch.device:
    """Return the device of this name; ``key`` is what the user wrote it under.

    Raises:
        UserError: When there is no such device here, with those that there are.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise UserError(f"{key}: {device!r} is no device; take {_devices_here()}") from None
    if found.type == "cuda":
        there = torch.cuda.is_available() and (found.index or 0) < torch.cuda.device_count()
    else:
        there = found.type != "meta" and _holds_tensors(found)
    if not there:
        raise UserError(f"{key}: there is no {found} here; take {_devices_here()}")
    return found


def _holds_tensors(device: torch.device) -> bool:
    """Return whether a tensor can be made there."""
    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError):  # torch was built without it, has no driver, or no such number
        return False
    return True


def _devices_here() -> str:
    """Return the names of this process's devices."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    others = {"mps": torch.backends.mps.is_available(), "xpu": torch.xpu.is_available()}
    return " or ".join(["cpu", *gpus, *(kind for kind, is_there in others.items() if is_there)])


def check_features(learner: LearnerConfig, device: torch.device) -> None:
    """Refuse settings that ``device`` or this machine cannot do; UserError with the key and the alternatives."""
    check_precision(learner.precision, device)
    check_compile(learner.compile, device)


def pick_device_of_all(learner: LearnerConfig, wanted: str, local_rank: int, ranks: OneRank) -> torch.device:
    """Return this rank's device; UserError on every rank when one of them cannot do what ``learner`` asks. A
    collective.
    """
    device, problem = torch.device("cpu"), None
    try:
        device = pick_device(wanted, local_rank)
        check_features(learner, device)
    except UserError as error:
        problem = str(error)
    first = next((text for text in ranks.broadcast(ranks.gather(problem)) if text is not None), None)
    if first is not None:
        raise UserError(first)
    return device


def set_threads(num_threads: int) -> None:
    """Give torch ``num_threads`` intra-op threads."""
    torch.set_num_threads(num_threads)


def share_interpreter() -> None:
    """Let this process's Python threads take turns every ``SWITCH_INTERVAL_S`` instead of every 5 ms.

    An update takes a few milliseconds and gives the interpreter away in each of its tensor operations: to get it back
    from the thread that prefetches batches it would wait for up to 5 ms, every time.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def describe(device: torch.device) -> str:
    """Return one line for people: device, threads, process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return f"{name} ({device}), {torch.get_num_threads()} thread(s), process {os.getpid()}"
