"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    packages = ("robonav_ray", "ray", "torch", "numpy", "numba", "gymnasium")
    return {
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
    }


def machine_text() -> str:
    """Return the machine as one sentence."""
    found = machine()
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items() if name != "robonav_ray")
    return (
        f"{found['cpus']} cores of {found['cpu']}, {found['memory_gb']} GB memory, no GPU used; "
        f"{found['system']}, Python {found['python']}, {packages}"
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
