"""A real MLflow server with a password on this machine, and a proxy in front of it that is slow or answers with errors.

The server does not fit into the project's own environment (it wants another pyarrow): it has one of its own, made once
by ``python -m venv`` and kept in ``~/.cache/robonav_ray`` (or where ``ROBONAV_MLFLOW_ENV`` says).
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from robonav_ray.tracking.mlflow_place import VERSION

STARTS_S = 90.0
AUTH = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def server_python() -> Path:
    """Return the Python of the server's environment, made where it is missing; skips where it cannot be had."""
    default = Path.home() / ".cache" / "robonav_ray" / f"mlflow-{VERSION}"
    folder = Path(os.environ.get("ROBONAV_MLFLOW_ENV", default))
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "-q", f"mlflow[auth]=={VERSION}"],
        ):
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                pytest.skip(f"NO MLFLOW SERVER, SO NOTHING WAS TESTED AGAINST ONE: {ended.stderr.strip()[-300:]}")
        done.touch()
    return python


class MlflowServer:
    """Keeps its data between ``stop`` or ``kill`` and the next ``start``."""

    user = "admin"

    def __init__(self, folder: Path) -> None:
        self.folder, self.password = folder, secrets.token_urlsafe(18)
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "auth.ini").write_text(AUTH.format(folder=folder))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": self.user,
            "MLFLOW_TRACKING_PASSWORD": self.password,
        }

    def start(self) -> None:
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHON"))},
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        python = server_python()
        command = [
            *(str(python), "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=env, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + STARTS_S
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return
            time.sleep(0.2)
        self.kill()
        pytest.fail((self.folder / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        """End all its processes at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[MlflowServer]:
    """Give a server that runs."""
    server = MlflowServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class Proxy:
    """Stands in front of a server: answers after ``delay_s``, or with 500 while ``failing``, or from the call
    ``fails_from`` on.
    """

    def __init__(self, port: int) -> None:
        self.delay_s, self.failing, self.num_calls = 0.0, False, 0
        self.fails_from: int | None = None
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.num_calls += 1
                time.sleep(proxy.delay_s)
                if proxy.failing or (proxy.fails_from is not None and proxy.num_calls >= proxy.fails_from):
                    self.send_error(500)
                    return
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                there.request(self.command, self.path, body, {**headers, "Host": f"127.0.0.1:{port}"})
                answer = there.getresponse()
                data = answer.read()
                there.close()
                self.send_response(answer.status)
                for key, value in answer.getheaders():
                    if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
