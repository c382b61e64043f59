"""``robonav_ray.serve``: policies over HTTP, by Ray Serve, for fleets: a Ray of its own, which ends with it.

Not for the control loop of one robot: docs/deploy.md says why, with latencies.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.deploy.bearer import token_hash
from robonav_ray.deploy.served import Served, ServeError, plan
from robonav_ray.errors import RunFaultError
from robonav_ray.evaluation.fleet.split import Arm

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8000
MOST_REPLICAS = 64


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    url: str
    """``http://HOST:PORT``."""
    policies: dict[Arm, str]
    """What is served, by arm; ``challenger`` under a split alone."""
    what_died: Callable[[], str | None]
    """Which daemon of its Ray has ended; None where none has."""

    def wait(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Return when ``stop`` says so.

        Raises:
            RunFaultError: When a daemon of its Ray has ended.
        """
        while not stop():
            time.sleep(0.2)
            if (daemon := self.what_died()) is not None:
                raise RunFaultError(f"Ray's {daemon} has ended, so the server is gone; start it again")


@contextlib.contextmanager
def serve(
    what: str,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    token_file: str | Path | None = None,
    split: str | Path | None = None,
    replicas: int = 1,
) -> Iterator[Server]:
    """Serve a policy over HTTP while the block runs, as ``robonav serve`` does.

    ::

        with robonav_ray.serve("robot_nav@champion", token_file="serve.token") as server:
            server.url                                  # http://127.0.0.1:8000
            server.wait()                               # until Ctrl-C

    Args:
        what: A bundle, a run, or a model of the registry (``robot_nav@champion``), as it stands now.
        host: Address to listen at. Anything but loopback is open to the network, in plain HTTP.
        port: 0 takes a free one.
        token_file: File (mode 0600) with the token that requests must bear; None takes ROBONAV_SERVE_TOKEN.
        split: Folder of ``robonav fleet begin``: both its versions are served, and robot and episode of a request say
            which one answers.
        replicas: Processes that answer.

    Raises:
        UserError: For what cannot be served, a port in use, no token, or a program that has a Ray session already.
        RunFaultError: When Ray Serve does not start.
    """
    expected = token_hash(None if token_file is None else Path(token_file))
    if not 1 <= replicas <= MOST_REPLICAS:
        raise ServeError(f"--replicas {replicas}: must be from 1 to {MOST_REPLICAS}")
    port = _free_port(host, port)
    with tempfile.TemporaryDirectory(prefix="robonav-serve-") as place:
        served = plan(what, None if split is None else Path(split), Path(place))
        Served(served)  # what is wrong with it is told here, and not by a replica
        with _remote()(served, expected, host, port, replicas) as what_died:
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            yield Server(url, {arm: source.name for arm, source in served.policies.items()}, what_died)


def _remote() -> Callable[..., contextlib.AbstractContextManager[Callable[[], str | None]]]:
    try:
        from robonav_ray.deploy.serve_remote import answering
    except ImportError as error:
        raise ServeError(f"serving needs {error.name}: `pip install 'robonav_ray[serve]'` brings it") from None
    return answering


def _free_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0; ServeError when nothing can listen there."""
    if not 0 <= port <= 65535:
        raise ServeError(f"--port {port}: must be from 0 (a free one) to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            return int(listener.getsockname()[1])
    except (OSError, UnicodeError) as error:
        raise ServeError(f"--host {host} --port {port}: nothing can listen there ({error}); name another one") from None
