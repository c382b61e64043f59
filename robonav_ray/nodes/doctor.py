"""What the machine, the packages, Ray and the GPU look like, and what would stand in the way of a run."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from importlib import metadata

import psutil

from robonav_ray.compiled import kept_in
from robonav_ray.config.load import load_run_config
from robonav_ray.errors import UserError
from robonav_ray.nodes.connection import connected
from robonav_ray.nodes.resources import make_plan

_PACKAGES = ("robonav_ray", "ray", "torch", "numpy", "numba", "gymnasium", "pydantic")
_EXTRAS = {
    "pygame-ce": "robonav play --window",
    "pettingzoo": "the PettingZoo face",
    "cpprb": "scripts/bench_replay.py",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``advice`` says what to do when ``ok`` is False."""

    subject: str
    ok: bool
    text: str
    advice: str = ""


def look_around() -> list[Finding]:
    """Return what was found, in reading order; starts a Ray, or joins the one that there is, and leaves it again."""
    return [*_machine(), *_packages(), _kernels(), _gpu(), *_ray()]


def _machine() -> list[Finding]:
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(".")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    python_ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return [
        Finding("machine", True, f"{platform.platform()}, {cpus} CPUs"),
        Finding("python", python_ok, platform.python_version(), "use Python 3.11 or 3.12"),
        Finding(
            "memory",
            memory.available > 3 * 2**30,
            f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}",
            "a default run takes about 3 GiB; close something, or lower replay.capacity",
        ),
        Finding(
            "disk",
            disk.free > 2 * 2**30,
            f"{disk.free / 2**30:.1f} GiB free here",
            "a run keeps checkpoints of about 1 GiB",
        ),
    ]


def _packages() -> list[Finding]:
    findings = []
    for name in _PACKAGES:
        try:
            findings.append(Finding(name, True, metadata.version(name)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(name, False, "not installed", "run `make setup`"))
    for name, use in _EXTRAS.items():
        try:
            findings.append(Finding(name, True, metadata.version(name)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(name, True, f"not installed (only needed for {use})"))
    return findings


def _kernels() -> Finding:
    kept = kept_in()
    return Finding(
        "kernels",
        kept.anywhere,
        kept.describe(),
        "each process compiles them for itself: set NUMBA_CACHE_DIR to a folder that is yours",
    )


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("gpu", True, "none that torch can use; the learner runs on the CPU")
    names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return Finding("gpu", True, ", ".join(f"{g.name} ({g.total_memory / 2**30:.0f} GiB)" for g in names))


def _ray() -> list[Finding]:
    config = load_run_config()
    began = time.monotonic()
    try:
        with connected(config.runtime) as cluster:
            took_s = time.monotonic() - began
            text = f"{cluster.describe()}, authentication: {os.environ['RAY_AUTH_MODE']}, in {took_s:.1f} s"
            findings = [Finding("ray cluster", True, text)]
            try:
                findings.append(Finding("default run", True, make_plan(config, cluster).describe()))
            except UserError as error:
                findings.append(Finding("default run", False, "does not fit", str(error)))
            return findings
    except UserError as error:
        return [Finding("ray cluster", False, "cannot be had", str(error))]
