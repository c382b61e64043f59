"""A W&B server on loopback, as far as wandb's process asks: it keeps the runs' rows, and refuses keys but its own."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "c0ffee" + 34 * "0"


class FakeWandb(ThreadingHTTPServer):
    """``url`` is for WANDB_BASE_URL."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """(operation, variables) of every query."""
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}
        """History of each run, by line."""
        self.summaries: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, int] = {}
        """Exit codes."""
        self.uploads: dict[str, bytes] = {}
        self.unknown: list[str] = []

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        operation = query.split("(", 1)[0].split("{", 1)[0].split()[-1]
        self.asked.append((operation, variables))
        project = {"id": "p", "name": variables.get("project") or "robonav", "entity": {"id": "e", "name": "us"}}
        if operation == "Viewer":
            return {"viewer": {"id": "u", "entity": "us", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if operation == "UpsertBucket":
            name = variables.get("name") or "none"
            is_new = name not in self.rows
            self.rows.setdefault(name, {})
            bucket = {
                "id": f"id-{name}",
                "name": name,
                "displayName": variables.get("displayName"),
                "description": None,
                "config": variables.get("config"),
                "sweepName": variables.get("sweep"),
                "project": project,
                "historyLineCount": len(self.rows[name]),
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}
        if operation == "RunResumeStatus":
            return {"model": {**project, "bucket": self._resumed(str(variables.get("name")))}}
        if operation == "UpsertSweep":
            return {"upsertSweep": {"sweep": {"name": "sweep123", "project": project}, "configValidationWarnings": []}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": files}}
        self.unknown.append(operation)
        return {}

    def _resumed(self, run: str) -> dict[str, Any] | None:
        rows = self.rows.get(run)
        if rows is None:
            return None
        last = rows[max(rows)] if rows else {}
        return {
            "id": f"id-{run}",
            "name": run,
            "displayName": run,
            "summaryMetrics": json.dumps(self.summaries.get(run, last)),
            "logLineCount": 0,
            "historyLineCount": len(rows),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(last)]),
            "eventsTail": "[]",
            "config": "{}",
            "tags": [],
            "wandbConfig": '{"t": 1}',
        }

    def take_stream(self, run: str, told: dict[str, Any]) -> None:
        for name, file in (told.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                for i, line in enumerate(file["content"]):
                    self.rows.setdefault(run, {})[file["offset"] + i] = json.loads(line)
            elif name == "wandb-summary.json":
                self.summaries[run] = json.loads(file["content"][-1])
        if told.get("complete"):
            self.ended[run] = told.get("exitcode", 0)


class _Handler(BaseHTTPRequestHandler):
    server: FakeWandb
    protocol_version = "HTTP/1.1"

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, code: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = self._body()
        wanted = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self._send(401, {"errors": [{"message": "no such key"}]})
        elif self.path == "/graphql":
            told = json.loads(body)
            self._send(200, {"data": self.server.answer(told["query"], told.get("variables") or {})})
        elif self.path.endswith("/file_stream"):
            self.server.take_stream(self.path.split("/")[-2], json.loads(body))
            self._send(200, {})
        else:
            self.server.unknown.append(self.path)
            self._send(404, {})

    def do_PUT(self) -> None:
        self.server.uploads[self.path.removeprefix("/upload/")] = self._body()
        self._send(200, {})

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def fake_wandb() -> Iterator[FakeWandb]:
    server = FakeWandb()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
