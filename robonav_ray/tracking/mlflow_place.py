"""Where MLflow is, how its client is set up, and what the client's errors mean.

A name and a password come from the environment: ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD`` (or a
file that ``MLFLOW_TRACKING_PASSWORD_FILE`` names, as containers have it), or inside ``MLFLOW_TRACKING_URI``, from which
they are taken out before anything is called, kept or said.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from robonav_ray.config.tracking import MlflowTracking
from robonav_ray.errors import UserError
from robonav_ray.files.locations import without_secrets
from robonav_ray.files.plain_files import read_text
from robonav_ray.text import command_text
from robonav_ray.tracking.backend import TrackerError
from robonav_ray.tracking.mlflow_store import held_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI, USERNAME, PASSWORD = "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
STORE, ARTIFACTS = "mlflow.db", ".mlflow_artifacts"
"""The local store, in the output folder. The folder is hidden from ``robonav runs``: what it holds looks like runs."""
VERSION = "3.17.2"
"""Of the client and of the server that compose starts; a newer server takes this client too."""
ANSWER_S = 30
"""A server that is silent for longer is down; what it was given is given again."""
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the feed repeats
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(ANSWER_S),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",  # its handlers would write past ours
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_NO_ANSWER = {
    "error responses": "answers with errors of its own (status 500 or above)",
    "imed out": f"has not answered within {ANSWER_S} s",
    "refused": "does not answer (connection refused)",
    "resolve": "does not answer (no such host)",
}
_IMPORTING = threading.Lock()
"""Two threads that import MLflow at once get parts of it that are not whole."""
_REFUSED = frozenset(("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "REQUEST_LIMIT_EXCEEDED"))
_REFUSED_STATUS = frozenset((400, 411, 413, 414, 415, 422, 431))
"""Of HTTP: what is asked for is wrong, or too large, and stays so."""
_ANSWERED = re.compile(r"failed with error code (\d{3}) ")
"""The client tells the status of an answer that is no JSON, as a proxy's, in its message alone."""
T = TypeVar("T")


class MlflowRefusedError(TrackerError):
    """MLflow will never take this one thing (a file that is too large for its proxy): giving it again is no use."""


@dataclass(frozen=True)
class Place:
    """Where an MLflow is."""

    shown: str
    """The URI without a name and a password."""
    target: str = field(repr=False)
    """What the client is given: that of a server has none of the two either."""
    named_by: str
    """Key or variable that names it; empty for the store in the output folder."""
    artifacts: str | None = None
    """Where a new experiment keeps its files; None leaves that to the server."""

    @property
    def is_server(self) -> bool:
        """Whether it is reached over HTTP."""
        return self.target.startswith(("http://", "https://"))

    @property
    def store(self) -> Path | None:
        """File of a local store; None for a server, another database, or a file with options."""
        is_file = self.target.startswith("sqlite:///") and "?" not in self.target
        return Path(self.target.removeprefix("sqlite:///")) if is_file else None

    def look_command(self) -> str:
        """Return what shows the place: the address of a server, or the command that serves a store."""
        if self.is_server:
            return self.shown
        return command_text("uvx", "--from", f"mlflow=={VERSION}", "mlflow", "ui", "--backend-store-uri", self.shown)


def find_place(section: MlflowTracking, output: Path) -> Place:
    """Return where ``section`` says that MLflow is, or the environment, or else the store in the folder ``output``.

    Raises:
        UserError: For a URI that is none, or one of a kind that MLflow has given up.
    """
    uri, named_by = section.tracking_uri, "tracking.mlflow.tracking_uri"
    if uri is None:
        uri, named_by = os.environ.get(URI) or None, URI
    if uri is None:
        return _local(output.absolute() / STORE, "")
    if uri.startswith("sqlite:///"):
        return _local(Path(uri.removeprefix("sqlite:///")).absolute(), named_by)
    if not uri.startswith(("http://", "https://")):
        return _elsewhere(uri, named_by)
    parts = _parts(uri)
    if parts is None:
        raise UserError(
            f"{named_by}: is no address of a server; write http://HOST:PORT, and give name and password in {USERNAME} "
            f"and {PASSWORD}"
        )
    if parts.username:
        os.environ[USERNAME], os.environ[PASSWORD] = unquote(parts.username), unquote(parts.password or "")
    target = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return Place(without_secrets(target), target, named_by)


def _parts(uri: str) -> SplitResult | None:
    """Return the parts of a server's address; None where it is none, as with a slash in an unquoted password."""
    try:
        parts = urlsplit(uri)
        is_whole = parts.hostname and parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        return None
    return parts if is_whole else None


def _local(path: Path, named_by: str) -> Place:
    uri = f"sqlite:///{path}"
    return Place(uri, uri, named_by, (path.parent / ARTIFACTS).as_uri())


def _elsewhere(uri: str, named_by: str) -> Place:
    if "://" not in uri or uri.startswith("file:"):
        raise UserError(
            f"{named_by} {without_secrets(uri)}: MLflow keeps nothing in plain files any more; name a server "
            "(http://HOST:PORT) or a database (sqlite:////ABSOLUTE/PATH.db)"
        )
    return Place(without_secrets(uri), uri, named_by)


def check_client() -> None:
    """Load MLflow's client: one try for a call, no telemetry, no handlers of its own for what it logs. Variables that
    the user has set are left as they are.

    Raises:
        UserError: When the package is missing.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if PASSWORD not in os.environ and (file := os.environ.get(f"{PASSWORD}_FILE")):
        os.environ[PASSWORD] = read_text(Path(file), follow=True).strip()
    try:
        with _IMPORTING:
            import mlflow.tracking  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"tracking.mlflow: needs the package mlflow-skinny ({error}); install it with "
            "`pip install 'robonav_ray[mlflow]'`, or leave it out with tracking.mlflow=null"
        ) from None
    for name in ("mlflow", "alembic"):
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)


def open_client(place: Place) -> MlflowClient:
    """Return a client of ``place``; a local store is made if missing. Raises as ``check_client``."""
    check_client()
    from mlflow import MlflowClient

    with calling(place), contextlib.nullcontext() if place.store is None else held_store(place.store):
        return MlflowClient(place.target, place.target)


@contextlib.contextmanager
def calling(place: Place) -> Iterator[None]:
    """Make TrackerErrors of the client's errors, with one sentence that holds no secret."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        is_refused = error.error_code in _REFUSED or _status(error) in _REFUSED_STATUS
        sort = MlflowRefusedError if is_refused else TrackerError
        raise sort(_sentence(error, place)) from None
    except OSError as error:  # an upload that was answered with an error is one
        sort = MlflowRefusedError if _status(error) in _REFUSED_STATUS else TrackerError
        raise sort(_sentence(error, place)) from None


def send_taken(items: Sequence[T], send: Callable[[Sequence[T]], None]) -> list[tuple[T, MlflowRefusedError]]:
    """Send items in one call, or in ever smaller ones where MLflow refuses some of them; return those that it refuses,
    each with the reason.

    Raises:
        TrackerError: When that cannot be now.
    """
    try:
        if items:
            send(items)
    except MlflowRefusedError as error:
        if len(items) == 1:
            return [(items[0], error)]
        half = len(items) // 2
        return [*send_taken(items[:half], send), *send_taken(items[half:], send)]
    return []


def error_code(call: Any, *codes: str) -> Any:
    """Return what ``call()`` returns, None where the client's error has one of ``codes``."""
    from mlflow.exceptions import MlflowException

    try:
        return call()
    except MlflowException as error:
        if error.error_code not in codes:
            raise
        return None


def quoted(name: str) -> str:
    """Return a name as the filters of MLflow's searches take it; UserError for one that they cannot hold."""
    if "'" in name and '"' in name:
        raise UserError(f"{name!r}: MLflow cannot look for a name with both kinds of quotes; take another one")
    return f'"{name}"' if "'" in name else f"'{name}'"


def _sentence(error: Exception, place: Place) -> str:
    from mlflow.exceptions import MlflowException

    code, status = error.error_code if isinstance(error, MlflowException) else None, _status(error)
    if code == "UNAUTHENTICATED" or status == 401:
        return f"{place.shown} refuses the name and password in {USERNAME} and {PASSWORD}"
    if code == "PERMISSION_DENIED" or status == 403:
        return f"{place.shown} does not let the user of {USERNAME} write there"
    text = without_secrets(" ".join(str(error).split()))
    if status is not None and text.startswith("API request to"):
        return f"{place.shown} answers with status {status}"
    if text.startswith("API request to"):  # what follows are classes of urllib3 in each other
        return f"{place.shown} {next((said for word, said in _NO_ANSWER.items() if word in text), 'does not answer')}"
    for secret in (os.environ.get(PASSWORD), os.environ.get("MLFLOW_TRACKING_TOKEN")):
        text = text.replace(secret, "***") if secret else text
    return f"{place.shown}: {text[:300]}"


def _status(error: Exception) -> int | None:
    """Return the status of HTTP that a call or an upload was answered with, as far as the client tells it."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError

    if isinstance(error, MlflowException):
        told = _ANSWERED.search(str(error))
        return None if told is None else int(told[1])
    return error.response.status_code if isinstance(error, HTTPError) and error.response is not None else None
