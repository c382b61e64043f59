"""A program that has used a Ray of its own is ended by SIGTERM as it was before."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, time
got = []
signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.nodes.connection import connected
with connected(RuntimeConfig()):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.2)
assert got == [signal.SIGTERM] * 2, got
"""


@pytest.mark.ray
@pytest.mark.slow
def test_sigterm_has_its_handler_after_ray_has_ended() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
