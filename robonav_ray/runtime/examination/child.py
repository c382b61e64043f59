"""Processes that work for this one: a function of ours in an interpreter of its own, told and heard in lines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


def start_child(serve: Callable[..., None], *arguments: Callable[..., Any]) -> subprocess.Popen[str]:
    """Start ``serve(*arguments)``, functions of modules, in a new process; its standard input and output are pipes.

    Ctrl-C does not reach it: the caller ends it.
    """
    # The current folder is no place to import from before an entrant names a module in it.
    paths = f"sys.path[:] = [p for p in sys.path if p] + [{str(_ROOT)!r}]"
    names = [f"from {function.__module__} import {function.__name__}" for function in (serve, *arguments)]
    call = f"{serve.__name__}({', '.join(function.__name__ for function in arguments)})"
    return subprocess.Popen(
        [sys.executable, "-c", "; ".join(["import sys", paths, *names, call])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
