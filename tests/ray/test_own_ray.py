"""A Ray of ours: its folder is closed to others, and nothing of it is left, however its driver ended; bystanders
live."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.ray
DRIVER = """
import os, subprocess, sys, time
import ray
from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.nodes.connection import connected

@ray.remote(num_cpus=0)
class Actor:
    def go(self):
        subprocess.Popen(["sleep", "600"], env={})
        return os.getpid()

config = RuntimeConfig(num_cpus=2, object_store_bytes=100_000_000, keep_ray_logs=sys.argv[1] == "keep")
with connected(config) as cluster:
    print(cluster.logs, flush=True)
    actor = Actor.remote()
    print(ray.get(actor.go.remote()), flush=True)
    sys.stdin.readline()
    if sys.argv[1] == "error":
        raise ValueError("as any program")
"""


def test_nobody_else_can_look_into_the_session_or_replace_what_is_in_it(ray_session: None) -> None:
    from ray._private import worker

    session = Path(worker._global_node.get_session_dir_path())
    private = session.parents[1]
    assert private.name.startswith("rn-ray-")
    found = private.lstat()  # Ray opens those below it to all users again, whenever one of its processes looks for them
    assert (stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode), found.st_uid) == (
        stat.S_IFDIR,
        0o700,
        os.geteuid(),
    )
    assert all(
        folder.is_relative_to(private)
        for folder in (session, (session / "logs").resolve(), (session / "sockets").resolve())
    )
    assert all(
        str(private) in path
        for path in (worker._global_node.plasma_store_socket_name, worker._global_node.raylet_socket_name)
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("how", "number"),
    [("well", None), ("error", None), ("term", signal.SIGTERM), ("kill", signal.SIGKILL), ("keep", None)],
)
def test_nothing_is_left_however_the_driver_ends(how: str, number: signal.Signals | None, tmp_path: Path) -> None:
    (tmp_path / ("long" * 30)).mkdir()
    env = os.environ | {"TMPDIR": str(tmp_path / ("long" * 30)), "RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
    env.pop("RAY_ADDRESS", None)
    program = tmp_path / "ray" / "program.py"
    program.parent.mkdir()
    driver = psutil.Popen(
        [sys.executable, "-c", DRIVER, how],
        env=env,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    logs = Path(driver.stdout.readline().strip())
    worker = psutil.Process(int(driver.stdout.readline()))
    program.write_text(f"import time; file = open({str(logs / 'raylet.out')!r}); time.sleep(600)")
    bystanders = [subprocess.Popen(["tail", "-f", str(logs / "raylet.out")], stdout=subprocess.DEVNULL),
                  subprocess.Popen([sys.executable, "-S", str(program)])]  # fmt: skip
    sleeper = worker.children()
    everybody = [
        one for one in driver.children(recursive=True) if "reaper" not in " ".join(one.cmdline()) and one not in sleeper
    ]
    time.sleep(1.5)  # the reaper has seen them
    try:
        assert len(everybody) > 5
        if number is None:
            driver.stdin.write("\n")
            driver.stdin.flush()
        else:
            driver.send_signal(number)
        driver.wait(30)
        _, left = psutil.wait_procs(everybody + (sleeper if how == "kill" else []), timeout=15)
        assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
        folder = logs.parents[2]
        until = time.monotonic() + 10
        while folder.exists() and how != "keep" and time.monotonic() < until:
            time.sleep(0.1)
        assert folder.exists() == (how == "keep")
        assert [one.poll() for one in bystanders] == [None, None]
    finally:
        for one in [*bystanders, *sleeper]:
            if one.is_running() if isinstance(one, psutil.Process) else one.poll() is None:
                one.kill()
        for one in bystanders:
            one.wait()
        driver.stdin.close()
        driver.stdout.close()
        if how == "keep":
            import shutil

            shutil.rmtree(logs.parents[2])
