"""A run that is killed, or finds its disk full, while it saves. Slow: the quick twins are in tests/unit/runtime."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.runs.checkpoint import list_checkpoints, newest_good_checkpoint
from robonav_ray.runs.run_directory import RunDirectory
from tests.e2e.test_local_wiring import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SAVE_AND_DIE = """
import json, os, random, signal, sys, threading, time
from pathlib import Path
from robonav_ray.config.load import load_run_config
from robonav_ray.runs.checkpoint import Counters, CheckpointWriter, list_checkpoints
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.runs.superseded import prune_checkpoints
from tests.disk_faults import DiskOperations
from tests.e2e.test_local_wiring import SMALL, wiring

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
AT_RANDOM = kills // 5
config = load_run_config(None, SMALL)
run = wiring(folder, config)
for _ in range(40):
    run.round()

def save(env_steps):
    writer = CheckpointWriter(folder / "checkpoints", Counters(env_steps=env_steps))
    run.save(writer)
    writer.commit()
    prune_checkpoints(folder / "checkpoints", keep=2)

save(1)
save(2)
began = time.perf_counter()
operations = DiskOperations()
save(3)
took, num_operations = time.perf_counter() - began, operations.count
rng = random.Random(0)
found = []
for number in range(kills):
    before = list_checkpoints(folder / "checkpoints")[-1].name
    child = os.fork()
    if child == 0:
        operations.fault = lambda: os.kill(os.getpid(), signal.SIGKILL)
        operations.count, operations.at = 0, 1 + number * num_operations // (kills - AT_RANDOM)
        if number >= kills - AT_RANDOM:
            operations.at = -1
            timer = threading.Timer(rng.random() * took, operations.fault)
            rng.random()
            timer.start()
        save(10 + number)
        os._exit(0)
    rng.random()
    _, status = os.waitpid(child, 0)
    checkpoint, damaged = newest_good_checkpoint(folder / "checkpoints")
    again = wiring(folder, config, checkpoint)
    found.append({
        "killed": os.WIFSIGNALED(status), "damaged": damaged, "older": checkpoint.path.name < before,
        "whole": again.learner_state.learner_step == run.learner_state.learner_step,
    })
print(json.dumps({"num_operations": num_operations, "found": found}))
"""


def test_killed_200_times_while_saving_the_newest_committed_checkpoint_loads(tmp_path: Path) -> None:
    """Before 160 operations, evenly spread over the save, and at 40 random moments; each time a run is taken up from
    what is left."""
    done = subprocess.run(
        [sys.executable, "-c", SAVE_AND_DIE, str(tmp_path), "200"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1000,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    found = report["found"]
    assert len(found) == 200
    assert report["num_operations"] > 160
    assert all(one["whole"] and not one["older"] and one["damaged"] == [] for one in found), found
    assert all(one["killed"] for one in found[:160])
    assert sum(one["killed"] for one in found[160:]) > 0, "some of the random moments lie within the save"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("only root may mount a disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def wait_for(
    true: Callable[[], Any], process: subprocess.Popen[str], log: Path | None = None, timeout_s: float = 600.0
) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert process.poll() is None, process.communicate() if log is None else log.read_text()
        assert time.monotonic() < until
        time.sleep(0.1)


def learner_steps(log: Path) -> str:
    """The learner's steps in the newest line that the run has printed."""
    return ["", *re.findall(r"\| learner (\S+) ", log.read_text())][-1]


@pytest.mark.parametrize("local", [True, False])
def test_a_disk_that_fills_up_costs_checkpoints_and_the_exit_code(
    small_disk: Path, tmp_path: Path, local: bool
) -> None:
    run = RunDirectory(small_disk / "run")
    command = [sys.executable, "-m", "robonav_ray.cli", "train", *SMALL, *["--local"] * local, "--out", str(run.path),
               "checkpoint.interval_s=1", "tracking.interval_s=0.2", "tracking.panel=plain"]  # fmt: skip
    with (tmp_path / "log").open("w+") as log, contextlib.ExitStack() as exits:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
        exits.callback(process.kill)
        wait_for(lambda: list_checkpoints(run.checkpoints), process, tmp_path / "log")
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1 << 16))
        before = newest_good_checkpoint(run.checkpoints)[0]
        wait_for(lambda: "no checkpoint this time" in (tmp_path / "log").read_text(), process, tmp_path / "log")
        steps = learner_steps(tmp_path / "log")
        wait_for(lambda: learner_steps(tmp_path / "log") != steps, process, tmp_path / "log")  # training goes on
        process.send_signal(signal.SIGTERM)
        assert process.wait(600) == 1, (tmp_path / "log").read_text()
    text = (tmp_path / "log").read_text()
    assert "No space left" in text
    assert re.search(r"the last checkpoint could not be written \(see above\); the one before, of .*, is intact", text)
    after, damaged = newest_good_checkpoint(run.checkpoints)
    assert before is not None
    assert after is not None
    assert damaged == []
    assert after.counters.env_steps >= before.counters.env_steps
