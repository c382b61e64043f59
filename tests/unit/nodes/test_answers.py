"""An answer from the network is read within bounds, for every program that listens there."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from robonav_ray.launch.dashboard import ask_nodes, ask_running_jobs
from robonav_ray.nodes import answers
from robonav_ray.nodes.answers import AnswerError, read_json
from robonav_ray.nodes.probe import ClusterError, check_dashboard

BODIES = {
    "endless": (b'{"ray_version": "' + b"x" * 3_000_000, "more than 1000000 bytes"),
    "no JSON": (b"\xff\xfe<html>", "is no JSON"),
    "deep": (b"[" * 500_000, "is no JSON"),
}


@contextmanager
def server(body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        log_message: Callable[..., None] = lambda *_: None

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.handle_error = lambda *_: None  # type: ignore[method-assign]  the reader has gone
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.mark.parametrize("kind", BODIES)
def test_what_answers_oddly_is_said(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    body, says = BODIES[kind]
    monkeypatch.setattr(answers, "MAX_ANSWER_BYTES", 1_000_000)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (tmp_path / "token").write_text("t" * 32)
    (tmp_path / "token").chmod(0o600)
    with server(body) as url:
        with pytest.raises(ClusterError, match=rf"is no Ray dashboard \(its answer.*{says}"):
            check_dashboard(url, "--address")
        assert ask_nodes(url, tmp_path / "token") is None
        assert ask_running_jobs(url, tmp_path / "token") == []
    assert says in caplog.text


def test_one_that_comes_drop_by_drop_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(answers.time, "monotonic", lambda: next(clock))

    class Drops(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return b" "

    with pytest.raises(AnswerError, match="within 3 s"):
        read_json(Drops(), 3)
    monkeypatch.undo()
    assert read_json(io.BytesIO(b'{"a": 1}'), 3) == {"a": 1}


def test_a_connection_that_breaks_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise http.client.BadStatusLine("x")

    (tmp_path / "token").write_text("t" * 32)
    monkeypatch.setattr("robonav_ray.launch.dashboard._OPENER.open", broken)
    assert ask_nodes("http://127.0.0.1:1", tmp_path / "token") is None
