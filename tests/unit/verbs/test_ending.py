"""A command that is over ends, even if a library waits for its server as Python ends."""

import subprocess
import sys

COMMAND = """
import atexit, sys, threading, types
from robonav_ray.verbs import exit_codes
exit_codes.THREADS_END_S = 0.1
atexit.register(threading.Event().wait)  # as wandb's does, whose server is silent
sys.modules["wandb"] = types.ModuleType("wandb")
def app():
    print("done")
    raise SystemExit(75)
exit_codes.end_with_code(app)
"""


def test_a_library_that_waits_as_python_ends_does_not_keep_the_process() -> None:
    command = [sys.executable, "-c", COMMAND]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (75, "done\n", "")
