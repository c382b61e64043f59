"""Which device a rank computes on, and with how many threads."""

from __future__ import annotations

import os
import sys

import torch

SWITCH_INTERVAL_S = 2e-4


def pick_device(wanted: str, local_rank: int = 0) -> torch.device:
    """Return the device of a rank.

    Args:
        wanted: ``cpu``, ``cuda`` or ``auto`` (a GPU where this process sees one).
        local_rank: Rank within the node; chooses among the visible GPUs.

    Raises:
        ValueError: When ``cuda`` is wanted and no GPU is visible.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError("learner.device is 'cuda' but this process sees no GPU; set learner.device=cpu or auto")
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def set_threads(num_threads: int) -> None:
    """Give torch ``num_threads`` intra-op threads."""
    torch.set_num_threads(num_threads)


def share_interpreter() -> None:
    """Let this process's Python threads take turns every ``SWITCH_INTERVAL_S`` instead of every 5 ms.

    An update takes a few milliseconds and gives the interpreter away in each of its tensor operations: to get it back from the
    thread that prefetches batches it would wait for up to 5 ms, every time.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def describe(device: torch.device) -> str:
    """Return one line for people: device, threads, process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return f"{name} ({device}), {torch.get_num_threads()} thread(s), process {os.getpid()}"
