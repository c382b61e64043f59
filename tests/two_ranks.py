"""Two ranks as two processes: forked by a server that has loaded torch and the tests' modules once for all of them."""

from __future__ import annotations

import json
import multiprocessing
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOADED = ["torch.distributed", "tests.unit.learner.test_ranks", "tests.unit.fronts.test_distributed_trainer"]


def run_two_ranks(rank_main: Callable[[int, int, str], None], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run ``rank_main(rank, port, folder)`` in two processes, and return what each has left in ``rank0.json`` and
    ``rank1.json``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [context.Process(target=rank_main, args=(rank, port, str(folder))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    zero, one = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2))
    assert "error" not in zero, zero["error"]
    assert "error" not in one, one["error"]
    return zero, one
