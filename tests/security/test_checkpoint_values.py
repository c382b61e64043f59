"""Values of a checkpoint that no run has written: refused with file and array before anything is touched, or
harmless."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robonav_ray.cli import main
from tests.e2e.test_cli import robonav
from tests.security.checkpoint_kinds import KINDS, forge, make_checkpoint
from tests.security.checkpoint_values import contents, flip

SPECIAL = [
    0, 1, -1, 2, 7, 10**6, 2**31 - 1, -(2**31), 2**31, 2**40, 2**53, 2**62, 2**63 - 1, -(2**63), 0.5, -0.5, 1e-30, 1e6,
    -1e9, 1e30, 3e38, math.nan, math.inf, -math.inf,
]  # fmt: skip
ANYTHING: list[Any] = [None, "x", "1", True, [], {}, [1], 2**70, -(2**70), 10**400, 1.5]


class Child:
    """The process that takes checkpoints up; started again when a case has ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._targets: dict[str, list[list[str]]] = {}
        self.said: dict[str, int] = {}

    def ask(self, kind: str, *flips: dict[str, Any]) -> Any:
        """Return the answer to a case."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.security.checkpoint_values", str(self._folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"kind": kind, "flips": flips}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            code, self._process = self._process.returncode, None
            raise AssertionError(f"the process ended with {code}: {errors[-3000:]}")
        said = json.loads(line)
        if flips:
            self.said[said.split(":")[0]] = self.said.get(said.split(":")[0], 0) + 1
        return said

    def targets(self, kind: str) -> list[list[str]]:
        """Return (file, array) of all that can be flipped."""
        if kind not in self._targets:
            self._targets[kind] = self.ask(kind)
        return self._targets[kind]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    found = Child(tmp_path_factory.mktemp("values"))
    yield found
    print(found.said)
    found.close()


def flips(child: Child, kinds: list[str], data: st.DataObject) -> tuple[str, list[dict[str, Any]]]:
    """Draw a kind and one flip or two."""
    kind = data.draw(st.sampled_from(kinds))
    drawn = []
    for file, name in data.draw(st.lists(st.sampled_from(child.targets(kind)), min_size=1, max_size=2)):
        values: st.SearchStrategy[Any] = st.one_of(
            st.sampled_from(SPECIAL), st.integers(-(2**63), 2**63 - 1), st.floats()
        )
        if file.endswith(".json"):
            values = st.one_of(
                st.sampled_from([v for v in SPECIAL if math.isfinite(v)] + ANYTHING),
                st.integers(),
                st.floats(-1e9, 1e9),
            )
        place = st.floats(0.0, 1.0, exclude_max=True)
        at = data.draw(place if file.endswith(".json") else st.one_of(st.none(), place))
        drawn.append({"file": file, "name": name, "at": at, "value": data.draw(values)})
    return kind, drawn


def check(child: Child, kinds: list[str], data: st.DataObject) -> None:
    kind, drawn = flips(child, kinds, data)
    said = child.ask(kind, *drawn)
    assert said.split(":")[0] in ("refused", "ran on", "gave up"), said


@pytest.mark.parametrize(("file", "name", "value", "range_"), [
    ("rollout/worker.npz", "folder_start", 10**6, "from 0 to 2"),  # ended the process with SIGSEGV
    ("rollout/worker.npz", "folder_count", 10**6, "from 0 to 3"),  # hung in a kernel, beyond signals
    ("rollout/worker.npz", "env_state.robot", math.nan, "from -1"),
    ("rollout/worker.npz", "hindsight_length", 10**9, "from 0 to"),
    ("replay/shard_000/order.npy", "", -1, "from 0 to"),
])  # fmt: skip
def test_the_message_names_file_array_and_range(child: Child, file: str, name: str, value: float, range_: str) -> None:
    said = child.ask("hindsight", {"file": file, "name": name, "at": None, "value": value})
    place = rf"{file}: {name}" if name else file
    assert re.fullmatch(
        rf"refused: \S+/env-\d+/{place}\[[\d, ]+\] is \S+ and must be {range_}.*; use another checkpoint", said
    ), said


def test_a_refused_run_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one message, nothing set aside though a newer checkpoint lies there; the same for who only wants its
    policy."""
    checkpoint = make_checkpoint("ray", tmp_path / "run")
    flip(checkpoint / "replay" / "shard_001" / "rows.npy", "action", 0.5, 15)
    flip(checkpoint / "learner" / "learner.safetensors", "target.head.bias", 0.5, math.inf)
    forge(checkpoint)
    shutil.copytree(checkpoint, checkpoint.with_name("env-000000099999"))
    before = contents(tmp_path)
    for arguments, part in (
        (
            ["train", "--local", "--resume", str(checkpoint)],
            r"learner/learner\.safetensors: target\.head\.bias\[\d+\] is inf",
        ),
        (["evaluate", str(checkpoint)], r"target\.head\.bias\[\d+\] is inf"),
        (["play", str(checkpoint), "--output", str(tmp_path / "a.gif")], r"target\.head\.bias\[\d+\] is inf"),
    ):
        monkeypatch.setattr("sys.argv", ["robonav", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert ended.value.code == 2, told
        assert re.search(part, told.err.replace("\n", "")), told.err
        assert "Traceback" not in told.err
        assert contents(tmp_path) == before


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_flipped_values_are_refused_or_harmless(child: Child, data: st.DataObject) -> None:
    check(child, ["hindsight"], data)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_thousand_checkpoints_by_value(child: Child, data: st.DataObject) -> None:
    check(child, list(KINDS), data)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("file", "name", "value", "part"), [
    ("replay/shard_001/rows.npy", "action", 15, r"replay/shard_001/rows\.npy: action\[\d+\] is 15"),
    ("replay/replay.json", "", -7, r"replay/replay\.json: \w+ is -7"),
    ("curriculum.json", "", -7, r"curriculum\.json: "),
    ("learner/learner.safetensors", "adam.exp_avg.head.bias", math.nan, r"adam\.exp_avg\.head\.bias\[\d+\] is nan"),
])  # fmt: skip
def test_a_run_that_is_refused_over_ray_stays_as_it_is(
    tmp_path: Path, file: str, name: str, value: float, part: str
) -> None:
    checkpoint = make_checkpoint("ray", tmp_path / "run")
    flip(checkpoint / file, name, 0.9, value)
    forge(checkpoint)
    before = contents(tmp_path)
    done = robonav("train", "--resume", str(checkpoint.parent.parent), cwd=tmp_path, timeout=300)
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(part, (done.stdout + done.stderr).replace("\n", "")), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert contents(tmp_path) == before
