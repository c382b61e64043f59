"""Hands a script over to a program of this checkout, in a fresh interpreter of the same process."""

import os
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]


def run(name: str) -> NoReturn:
    """Become ``python -m proofs NAME`` with this script's arguments; see ``become``."""
    become("proofs", name)


def become(module: str, *words: str) -> NoReturn:
    """Become ``python -m MODULE WORDS...`` with this script's arguments and the interpreter's options, from any
    folder.
    """
    options = sys.orig_argv[1 : -len(sys.argv)]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, *options, "-P", "-m", module, *words, *sys.argv[1:]]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": paths})
