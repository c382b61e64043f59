"""An environment with ROS 2, apart from the project's, a bundle that drives, and the node under test.

The wheels of ROS 2 on PyPI are unofficial builds, and one of their files runs in every Python of their environment: so
they have an environment of their own, in the user's cache, made here with versions and hashes that are pinned.
``ROBONAV_ROS_ENV`` names another folder for it, ``ROBONAV_ROS_RUN`` a run whose policy drives. ``ROBONAV_ROS_FIRST=1``
has the node and the bridge go before all other processes (root alone may): times mean something then also where others
work.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import robonav_ray as rn
from robonav_ray.deploy.export import export

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
WHOLE = "robonav-whole"


def _folder() -> Path:
    if named := os.environ.get("ROBONAV_ROS_ENV"):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "robonav_ray" / f"ros-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"


@pytest.fixture(scope="session")
def ros_python() -> Path:
    """The interpreter of an environment with ROS 2."""
    folder = _folder()
    python = folder / "bin" / "python"
    if (folder / WHOLE).is_file():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, "-r", str(REQUIREMENTS)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            told = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
            pytest.skip(f"ROS 2 CANNOT BE HAD HERE, NOTHING WAS TESTED: {' '.join(told)[-300:]}")
    (folder / WHOLE).touch()
    return python


@pytest.fixture(scope="session")
def ros_bundle(ros_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a policy that was trained for a minute; none is trained where ROS cannot be had."""
    del ros_python
    folder = tmp_path_factory.mktemp("ros")
    if run := os.environ.get("ROBONAV_ROS_RUN"):
        return export(run, out=folder / "bundle").folder
    chosen = {"budget.env_steps": 500_000, "output_dir": folder, "evaluation.episodes": 50}
    trained = rn.train({"preset": "navigation"}, chosen, local=True, quiet=True)
    return export(trained.path, out=folder / "bundle").folder


@pytest.fixture(scope="session")
def ros_site(ros_python: Path, ros_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package of the bundle is installed by its setup.py, as `colcon build` would."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(ros_bundle / "robonav_nav", folder / "source")
    command = [str(ros_python), "setup.py", "-q", "install", f"--root={folder}", "--prefix=/site"]
    command += ["--single-version-externally-managed", f"--record={folder / 'record'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=source)
    assert done.returncode == 0, done.stderr
    return folder / "site"


class RosNode:
    """The node, and the bridge that our worlds talk to it through: two processes in a domain of their own."""

    def __init__(self, python: Path, site: Path, parameters: dict[str, Any], log: Path) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RMW_IMPLEMENTATION")},
            "PYTHONPATH": str(next(site.glob("lib/python*/site-packages"))),
            "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(log.parent),
        }
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}:={json.dumps(value)}")]
        self.log = log
        first = ["chrt", "-f", "10"] if os.environ.get("ROBONAV_ROS_FIRST") else []
        bridge = [*first, str(python), str(HERE / "bridge.py"), str(parameters.get("twist_type", "TwistStamped"))]
        drive = site / "lib" / "robonav_nav" / "drive"
        with log.open("w") as file:
            self.node = subprocess.Popen(
                [*first, str(python), str(drive), "--ros-args", *words], env=environment, stdout=file, stderr=file
            )
        self.bridge = subprocess.Popen(
            bridge, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        assert self.bridge.stdin is not None
        assert self.bridge.stdout is not None
        self.bridge.stdin.write(json.dumps({"op": op, **fields}) + "\n")
        self.bridge.stdin.flush()
        line = self.bridge.stdout.readline()
        assert line, f"the bridge has ended; the node says: {self.log.read_text()[-2000:]}"
        return json.loads(line)

    def begin(self) -> None:
        for name in ("configure", "activate"):
            answer = self.ask("transition", name=name)
            assert answer["ok"], answer["told"]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask the node to end; return its exit status."""
        self.node.send_signal(number)
        return self.node.wait(10)

    def close(self) -> None:
        for process in (self.bridge, self.node):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def start_node(ros_python: Path, ros_site: Path, tmp_path: Path) -> Iterator[Callable[..., RosNode]]:
    nodes: list[RosNode] = []

    def start(**parameters: Any) -> RosNode:
        named = {name.replace("__", "."): value for name, value in parameters.items()}
        nodes.append(RosNode(ros_python, ros_site, named, tmp_path / f"node{len(nodes)}.log"))
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()
