"""torch.compile where it is asked for, and whether it can work here."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from robonav_ray.compiled import own_cache
from robonav_ray.errors import UserError

MODES = ("off", "default", "reduce-overhead")


def compiled(function: Callable[..., Any], mode: str) -> Callable[..., Any]:
    """Return ``function`` compiled for fixed shapes, at its first call; ``reduce-overhead`` also captures it as a CUDA
    graph.
    """
    if mode == "off":
        return function
    _keep_apart()
    return torch.compile(function, dynamic=False, mode=None if mode == "default" else mode)


def _keep_apart() -> None:
    """Have torch keep what it compiles where no other user can write: its own place has a name in /tmp that can be
    foreseen.
    """
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        folder = own_cache("inductor")
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="robonav-inductor-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


def check_compile(mode: str, device: torch.device, key: str = "learner.compile") -> None:
    """Refuse what cannot be compiled on this machine for ``device``; ``key`` is what the user wrote it under.

    Raises:
        UserError: with the alternatives.
    """
    if mode not in MODES:
        raise UserError(f"{key}: there is no mode {mode!r}; choose {', '.join(MODES)}")
    if mode == "off":
        return
    if mode == "reduce-overhead" and device.type != "cuda":
        raise UserError(
            f"{key}=reduce-overhead captures CUDA graphs, and the device is {device}: take {key}=default or off"
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError(
            f"{key}={mode} needs Triton, which this torch came without: pip install triton, or take {key}=off"
        )
    if cxx_compiler() is None:
        raise UserError(
            f"{key}={mode} needs a C++ compiler, and there is none: install g++ (or set CXX), or take {key}=off"
        )


def cxx_compiler() -> str | None:
    """Return the path of the C++ compiler that torch would use, None without one."""
    return next(
        (path for name in (os.environ.get("CXX"), "g++", "clang++") if name and (path := shutil.which(name))), None
    )
