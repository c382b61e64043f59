"""What a killed driver leaves of its Ray is ended; what is not Ray's, or of another session, is not touched."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from robonav_ray.runtime import reaper
from robonav_ray.runtime.reaper import Reaper, holders

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
HOLD = "import sys, time; file = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(60)"


def holder(session: Path, title: str) -> subprocess.Popen[bytes]:
    """A process with this title that has a file of the session open."""
    session.mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(session / "agent.log"), title], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    process.stdout.close()
    return process


def test_only_rays_own_processes_of_that_session_are_found(tmp_path: Path) -> None:
    mine, other = tmp_path / "session_1", tmp_path / "session_12"
    agent, driver, stranger = holder(mine, "/ray/agent.py"), holder(mine, "my_program"), holder(other, "/ray/agent.py")
    try:
        assert holders(str(mine)) == [agent.pid]
        assert holders(str(other)) == [stranger.pid]
    finally:
        for process in (agent, driver, stranger):
            process.kill()
            process.wait()


def test_a_driver_that_is_killed_takes_its_agents_along_and_one_that_ends_well_leaves_them_to_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = tmp_path / "session"
    agent = holder(session, "/ray/agent.py")
    try:
        watching = Reaper(session)
        watching.dismiss()
        assert agent.poll() is None
        source = f"import sys; sys.path.insert(0, {str(Path(reaper.__file__).parents[2])!r})\n"
        source += "from pathlib import Path; from robonav_ray.runtime.reaper import Reaper; import os, signal\n"
        source += f"Reaper(Path({str(session)!r})); os.kill(os.getpid(), signal.SIGKILL)"
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", source], check=False)
        assert agent.wait(30) == -9
        assert time.monotonic() - began >= reaper.GRACE_S
    finally:
        agent.kill()
        agent.wait()
