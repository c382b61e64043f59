"""Imports in the background what a process needs next, while it waits for another."""

from __future__ import annotations

import contextlib
import importlib
import threading


def import_ahead(*names: str) -> threading.Thread:
    """Begin to import the modules ``names`` in a daemon thread and return it; what cannot be imported is told where it is needed."""
    thread = threading.Thread(target=_import_all, args=(names,), name="import-ahead", daemon=True)
    thread.start()
    return thread


def _import_all(names: tuple[str, ...]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
