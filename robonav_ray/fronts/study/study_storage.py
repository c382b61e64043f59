"""Where a study's trials are kept: memory, SQLite, a journal file or PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
import sqlalchemy.event
import sqlalchemy.exc
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from robonav_ray.errors import UserError

SQLITE_TIMEOUT_S = 60.0
"""How long a write waits for another thread's or process's."""

_KINDS = (
    "None (memory), sqlite:///FILE.db (one machine), journal:FILE or a path that ends in .log (machines that share a "
    "folder), postgresql://USER@HOST/DATABASE (any machines)"
)


def open_storage(storage: str | Path | None) -> BaseStorage:
    """Open what ``storage`` names; what is not there yet is made, the folder included.

    Raises:
        UserError: When it is none of the kinds that there are, or cannot be reached.
    """
    if storage is None:
        return InMemoryStorage()
    name = str(storage)
    if name.startswith("journal:") or ("://" not in name and name.endswith(".log")):
        return _open_journal(name.removeprefix("journal:"))
    if "://" not in name:
        raise UserError(f"storage {name!r} is of no known kind: take {_KINDS}")
    try:
        url = sqlalchemy.make_url(name)
    except sqlalchemy.exc.ArgumentError:
        raise UserError(f"storage is no URL that can be read: take {_KINDS}") from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(url)
    if backend == "postgresql":
        return _open_postgresql(url)
    hint = "write postgresql:// in full; " if backend == "postgres" else ""
    raise UserError(f"storage {backend}:// is not supported: {hint}take {_KINDS}")


def _open_journal(name: str) -> BaseStorage:
    name = name.removeprefix("//")
    path = Path(name).expanduser().absolute()
    if not name:
        raise UserError("storage journal: names no file: write journal:studies/optuna.log")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    except OSError as error:
        raise UserError(
            f"the journal {path} cannot be opened ({error}): name a file in a folder that can be written"
        ) from error


def _open_sqlite(url: sqlalchemy.URL) -> BaseStorage:
    if url.database in (None, "", ":memory:"):
        raise UserError(
            "storage sqlite:// names no file, and each thread would have a database of its own: take storage=None"
        )
    path = Path(str(url.database)).expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _prepare_sqlite(path)
        storage = _rdb(url.set(database=str(path)), connect_args={"timeout": SQLITE_TIMEOUT_S})
    except (OSError, sqlite3.DatabaseError, sqlalchemy.exc.DatabaseError) as error:
        raise UserError(
            f"{path} cannot be opened as an SQLite database ({error}): name another file, or free this one"
        ) from error
    sqlalchemy.event.listen(storage.engine, "connect", _prepare_connection)
    sqlalchemy.event.listen(storage.engine, "begin", _begin_immediate)
    storage.engine.dispose()  # what was connected so far knows nothing of the two
    return optuna.storages.get_storage(storage)


def _prepare_sqlite(path: Path) -> None:
    """Turn on write-ahead logging, which stays with the file: readers and the writer do not wait for each other."""
    connection = sqlite3.connect(path, timeout=SQLITE_TIMEOUT_S)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _prepare_connection(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=NORMAL")  # a power cut may cost the last reports, a killed process nothing


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    """Take the lock to write before anything is read, so that no two processes take the same waiting trial, and none
    finds that what it has read is out of date (which SQLite answers with "database is locked", however long the
    timeout).
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _open_postgresql(url: sqlalchemy.URL) -> BaseStorage:
    shown = url.render_as_string(hide_password=True)
    try:
        return optuna.storages.get_storage(_rdb(url, pool_pre_ping=True))
    except ImportError as error:
        package = "psycopg2-binary" if url.get_driver_name() == "psycopg2" else "psycopg[binary]"
        raise UserError(f"{shown} needs a driver that is not installed: pip install '{package}'") from error
    except sqlalchemy.exc.NoSuchModuleError as error:
        raise UserError(
            f"{shown} names a driver that does not exist: take postgresql+psycopg2:// or postgresql+psycopg://"
        ) from error
    except sqlalchemy.exc.OperationalError as error:
        raise UserError(
            f"{shown} cannot be reached ({error.orig}): is the server up, and may this user write?"
        ) from error


def _rdb(url: sqlalchemy.URL, **engine_kwargs: Any) -> RDBStorage:
    """Open the database, again where another process made the tables at the same moment."""
    for attempt in range(1, 6):
        try:
            return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=engine_kwargs)
        except (
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.ProgrammingError,
            sqlalchemy.exc.IntegrityError,
        ) as error:
            if attempt == 5 or not any(word in str(error.orig).lower() for word in ("already exists", "unique")):
                raise
            time.sleep(0.2 * attempt)
    raise AssertionError("unreachable")
