"""The local store of MLflow, a file of SQLite, made whole or not at all.

MLflow makes its tables one after the other in place: of two processes that begin at once (a search and its trials) one
ends with an error, and so does each one later, as after a kill in the middle.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from robonav_ray.files.plain_files import open_lock


@contextlib.contextmanager
def held_store(path: Path) -> Iterator[None]:
    """Hold the store at ``path`` while it is opened; where there is none it is made aside, and renamed.

    Another process that opens it waits.

    Raises:
        OSError: When it cannot be made there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(path.with_name(f".{path.name}.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-mlflow-") as aside:
                _make(Path(aside) / path.name)
                os.replace(Path(aside) / path.name, path)
        yield


def _make(path: Path) -> None:
    from mlflow.store.db import utils
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    try:
        utils._initialize_tables(engine)  # pyright: ignore[reportPrivateUsage]
    finally:
        engine.dispose()
