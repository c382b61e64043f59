"""Machines for notebooks. A kernel is found by Jupyter under the name ``clean``."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="needs the extra `notebooks`; `make notebooks` installs it")
pytest.importorskip("ipykernel", reason="needs the extra `notebooks`; `make notebooks` installs it")

from tests.notebooks.machines import FAKES, KERNELS, Machine, make_origin, make_python

MakeMachine = Callable[..., Machine]


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture
def make_machine(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeMachine]:
    """Makes machines of a platform (``colab``, ``kaggle``, ``here``); what they started must end with the test."""
    base = Path(tempfile.mkdtemp(prefix="rn-nb-"))  # short: Ray's sockets lie below
    python = make_python(base / "python")
    kernel = base / "jupyter" / "kernels" / "clean" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "clean", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(base / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    KERNELS.mkdir(parents=True, exist_ok=True)
    machines: list[Machine] = []

    def make(platform: str, **more: str) -> Machine:
        root = base / str(len(machines)) / platform
        cwd = root / "working" if platform == "kaggle" else root
        cwd.mkdir(parents=True)
        environment = {
            "colab": {
                "PYTHONPATH": str(FAKES),
                "COLAB_ASKED": str(base / "asked"),
                "COLAB_DRIVE": str(base / "drive"),
            },
            "kaggle": {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"},
            "here": {},
        }[platform]
        machines.append(Machine(python, root, cwd, origin, environment | more))
        return machines[-1]

    (base / "drive").mkdir()
    (base / "asked").touch()
    yield make
    left = [command for machine in machines for command in machine.wait_until_empty()]
    shutil.rmtree(base)
    assert left == [], "left behind by a kernel"
