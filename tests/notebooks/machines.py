"""Machines as Colab and Kaggle lend them: an interpreter without robonav_ray, a folder in place of ``/content`` or
``/kaggle``, and kernels that can be killed.

``https://github.com/robonav/robonav_ray`` is this checkout as it lies here: Git and pip do the rest as there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

ROOT = Path(__file__).parents[2]
FAKES = Path(__file__).parent / "fakes"
KERNELS = ROOT / "build" / "notebooks" / "kernels"
"""Where compiled kernels of the simulator stay between two runs of these tests."""
REPOSITORY = "https://github.com/robonav/robonav_ray"
MARK = "ROBONAV_NOTEBOOK_TEST"
CELL_S = 900


def make_origin(folder: Path) -> Path:
    """Make a repository of what lies in this checkout, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "this checkout"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    return folder


def make_python(folder: Path) -> Path:
    """Make an environment that has all packages of this one but robonav_ray itself; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    own = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (own / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


@dataclass
class Machine:
    """One machine; a session on it is a kernel."""

    python: Path
    root: Path
    """In place of ``/content`` or ``/kaggle``."""
    cwd: Path
    origin: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    """Notebooks that it has run."""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(
        self, name: str, settings: Mapping[str, Any], *, change: Callable[[str], str] | None = None, **options: Any
    ) -> Session:
        """Run all cells of a notebook in a kernel of its own; ``change`` edits a source as its reader would."""
        book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in book.cells:
            cell.source = change(cell.source) if change is not None else cell.source
        self.number += 1
        return Session(self, name, book, settings).run(**options)

    def environment_of(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the environment of a kernel: nothing of this process's Ray, Python path and home."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "ROBONAV_", "PYTHON", "PYTEST"))}
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        return {
            **kept,
            "HOME": str(home),
            "IPYTHONDIR": str(home / "ipython"),
            "MPLCONFIGDIR": str(home / "matplotlib"),
            "NUMBA_CACHE_DIR": str(KERNELS),
            "OMP_NUM_THREADS": "1",
            "RAY_TMPDIR": str(self.root.parent / "ray"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{self.origin}.insteadOf",
            "GIT_CONFIG_VALUE_0": REPOSITORY,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            MARK: self.mark,
            "ROBONAV_NOTEBOOK_ROOT": str(self.root),
            "ROBONAV_NOTEBOOK_SETTINGS": json.dumps(settings),
            **self.environment,
        }

    def processes(self) -> list[psutil.Process]:
        """Return the processes that a kernel of this machine has started, itself included, and that still run."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_until_empty(self, within_s: float = 30.0) -> list[str]:
        """Return the commands of what still runs after ``within_s``, once nothing does."""
        until = time.monotonic() + within_s
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.2)
        told = []
        for process in left:
            with suppress(psutil.Error):
                told.append(" ".join(process.cmdline()))
                process.kill()
        return told


@dataclass
class Session:
    """A notebook that was run, with its outputs; it is left in ``build/notebooks``, to be looked at."""

    machine: Machine
    name: str
    book: Any
    settings: Mapping[str, Any]
    seconds: float = 0.0
    died: bool = False

    def run(
        self, *, at: str | None = None, strike: int = signal.SIGINT, when: Callable[[], bool] = lambda: True
    ) -> Session:
        """Run the cells in order. While the one that holds the text ``at`` runs, the kernel gets the signal ``strike``
        as soon as ``when()`` is true.
        """
        client = NotebookClient(
            self.book, timeout=CELL_S, kernel_name="clean", resources={"metadata": {"path": str(self.machine.cwd)}}
        )
        began = time.monotonic()
        try:
            with client.setup_kernel(env=self.machine.environment_of(self.settings)):
                process: Any = client.km.provisioner
                for i, cell in enumerate(self.book.cells):
                    over = threading.Event()
                    if at is not None and at in cell.source:
                        threading.Thread(target=_strike, args=(process.pid, strike, when, over), daemon=True).start()
                    try:
                        client.execute_cell(cell, i)
                    finally:
                        over.set()
        except DeadKernelError:
            self.died = True
        finally:
            self.seconds = time.monotonic() - began
            nbformat.write(
                self.book,
                ROOT
                / "build"
                / "notebooks"
                / f"{self.name}-{self.machine.root.parent.name}{self.machine.number}.ipynb",
            )
        return self

    def text(self, part: str = "") -> str:
        """Return what was printed, and shown as plain text, in the cells whose source holds ``part``."""
        return "\n".join(
            str(output.get("text") or output.get("data", {}).get("text/plain", ""))
            for cell in self.cells(part)
            for output in cell.outputs
        )

    def shown(self, part: str, kind: str) -> list[str]:
        """Return what the cells whose source holds ``part`` show as the type ``kind`` (``image/png``)."""
        outputs = [output for cell in self.cells(part) for output in cell.outputs if "data" in output]
        return [str(output.data[kind]) for output in outputs if kind in output.data]

    def cells(self, part: str) -> list[Any]:
        """Return the code cells whose source holds ``part``."""
        return [cell for cell in self.book.cells if cell.cell_type == "code" and part in cell.source]


def _strike(pid: int, number: int, when: Callable[[], bool], over: threading.Event) -> None:
    while not over.wait(0.1):
        if when():
            os.kill(pid, number)
            return
