"""What answers at an address is told apart within seconds: nothing, something else, a Ray head without us, one that
lets us in.
"""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import grpc
import pytest
import ray
from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

from robonav_ray.nodes import probe
from robonav_ray.nodes.probe import ClusterError, check_cluster

TOKEN = "the-right-token-0123456789"
VERSIONS = {"ray_version": ray.__version__, "python_version": platform.python_version()}
HERE = b"\x01" * 28


class Head(gcs_service_pb2_grpc.InternalKVGcsServiceServicer, gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    """Answers like the GCS of a Ray head (measured with ray 2.60: KV get, node table, UNAUTHENTICATED)."""

    def __init__(self, token: str | None, versions: dict[str, str]):
        self.token, self.versions = token, versions

    def _let_in(self, context):
        if (
            self.token is not None
            and dict(context.invocation_metadata()).get("authorization") != f"Bearer {self.token}"
        ):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")

    def InternalKVGet(self, request, context):
        self._let_in(context)
        assert (request.namespace, request.key) == (b"cluster", b"CLUSTER_METADATA")
        return gcs_service_pb2.InternalKVGetReply(value=json.dumps(self.versions).encode())

    def GetAllNodeInfo(self, request, context):
        self._let_in(context)
        node = gcs_pb2.GcsNodeInfo(node_id=HERE, state=gcs_pb2.GcsNodeInfo.ALIVE)
        return gcs_service_pb2.GetAllNodeInfoReply(node_info_list=[node])


@contextmanager
def head(token: str | None = TOKEN, versions: dict[str, str] | None = None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Head(token, VERSIONS if versions is None else versions)
    gcs_service_pb2_grpc.add_InternalKVGcsServiceServicer_to_server(servicer, server)
    gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture(autouse=True)
def own_token(tmp_path, monkeypatch):
    """A home with the right token and a node of the cluster on this machine."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
    (tmp_path / ".ray" / "auth_token").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setattr("ray._private.services.find_node_ids", lambda: {HERE.hex()})
    return tmp_path / ".ray" / "auth_token"


def refusal(address: str, where: str = "runtime.address") -> str:
    with pytest.raises(ClusterError) as caught:
        check_cluster(address, where)
    text = str(caught.value)
    assert text.startswith(f"{where}: ")
    assert TOKEN not in text
    return text


def test_a_head_that_lets_us_in_is_accepted():
    with head() as address:
        check_cluster(address, "runtime.address")


def test_nobody_answers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert "nothing listens there" in refusal(f"127.0.0.1:{free.getsockname()[1]}")


def test_something_listens_and_says_nothing(monkeypatch):
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "is no Ray head, or one that hangs" in refusal(f"127.0.0.1:{silent.getsockname()[1]}")


def test_a_web_server_is_not_a_head():
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    text = refusal(f"127.0.0.1:{server.server_port}", "RAY_ADDRESS")
    server.shutdown()
    server.server_close()
    assert "is not the head of a Ray cluster" in text
    assert "6379" in text


@pytest.mark.parametrize(
    "address", ["10.0.0.5", "host:port", ":6379", "http://head:8265", "ray://head:10001", "head:99999"]
)
def test_what_is_no_address_is_said(address):
    refusal(address)


def test_a_wrong_token_is_named_by_its_file_or_variable(own_token, monkeypatch):
    own_token.write_text("another-token")
    with head() as address:
        assert f"refuses the token of {own_token}" in refusal(address)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "a-third")
        text = refusal(address)
    assert "refuses the token of RAY_AUTH_TOKEN:" in text
    assert "a-third" not in text


def test_a_missing_token_is_said(own_token, monkeypatch):
    own_token.unlink()
    with head() as address:
        assert "a token is needed" in refusal(address)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        assert "runtime.auth_mode (or RAY_AUTH_MODE) is disabled here" in refusal(address)


def test_a_cluster_open_to_everybody_is_refused_unless_we_say_so(monkeypatch):
    with head(token=None) as address:
        assert "asks for no token" in refusal(address)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        check_cluster(address, "runtime.address")


@pytest.mark.parametrize("versions", [{**VERSIONS, "ray_version": "2.9.0"}, {**VERSIONS, "python_version": "3.9.1"}])
def test_other_versions_are_refused_and_both_are_named(versions):
    with head(versions=versions) as address:
        text = refusal(address)
    assert "robonav submit" in text
    assert ("2.9.0" in text) != ("3.9.1" in text)


def test_a_driver_far_from_every_node_is_sent_to_submit(monkeypatch):
    monkeypatch.setattr("ray._private.services.find_node_ids", set)
    with head() as address:
        assert "none of the 1 nodes" in refusal(address)
