"""A proof of promises that gives up leaves neither its run nor the run's folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from proofs.chaos.stops_and_kills import MARK, fresh_run


def test_a_broken_promise_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], "
    code += "start_new_session=True); print('up', flush=True); time.sleep(60)"
    begun: list[tuple[Path, subprocess.Popen[str], list[psutil.Process]]] = []

    def prove() -> None:
        with fresh_run([]) as run:
            process = subprocess.Popen(
                [sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {MARK: run.mark}
            )
            assert process.stdout is not None
            with process.stdout:
                assert process.stdout.readline() == "up\n"
            monkeypatch.setattr(run, "_command", process)
            while len(run.processes()) < 2:  # a process that has just begun shows its environment a little later
                time.sleep(0.01)
            begun.append((run.path.parent, process, run.processes()))
            assert len(begun[0][2]) == 2
            raise SystemExit("promise broken")

    with pytest.raises(SystemExit, match="promise broken"):
        prove()
    ((folder, process, every),) = begun
    assert process.returncode == -9
    assert not folder.exists()
    psutil.wait_procs(every, timeout=10)
    assert not [p for p in every if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
