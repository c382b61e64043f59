"""Who answers at the address of a cluster: asked once with a short deadline, before Ray's own client retries for 20 s.

Consumes: an address and this process's token. Produces: nothing, or a ClusterError that names key, cause and remedy.
Waits for: each of at most two connections and two calls, PROBE_TIMEOUT_S apiece.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import socket
import urllib.error
import urllib.parse
import urllib.request

import grpc

from robonav_ray.errors import UserError
from robonav_ray.nodes.answers import AnswerError, read_json
from robonav_ray.nodes.auth import HEAD_TOKEN_ADVICE, Token, find_token, token_mode

PROBE_TIMEOUT_S = 3.0
_METADATA = (b"cluster", b"CLUSTER_METADATA")
"""Where Ray's GCS keeps its versions (ray/_common/usage/usage_lib.py)."""


class ClusterError(UserError):
    """No usable cluster: cannot be reached, or too small; the message says what to do."""


def check_cluster(address: str, where: str) -> None:
    """Return when a Ray head answers at ``address`` (host:port) that takes our token and has our versions.

    ``where`` is the key or variable that the address came from.

    Raises:
        ClusterError: Within a few seconds, for anything else.
        AuthError: When this process's own token cannot be used.
    """
    host, port = split_address(address, where)
    connect(host, port, where)
    token = find_token() if token_mode() else Token(None, "")
    if token_mode() and token.value is None:
        raise ClusterError(
            f"{where}: to join {address} a token is needed, and there is none in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH "
            f"or {token.origin}: {HEAD_TOKEN_ADVICE}"
        )
    _check_versions(_ask(address, token, where), address, where)
    _check_this_machine(address, token, where)
    if token.value is not None and _is_open(address):
        raise ClusterError(
            f"{where}: the cluster at {address} asks for no token, so that every machine that reaches it can run "
            "code on it: start its nodes with RAY_AUTH_MODE=token, or say that you know with runtime.auth_mode=disabled"
        )


def check_dashboard(url: str, where: str) -> None:
    """Return when a Ray dashboard answers at ``url`` (http://host:port) that takes our token.

    Raises:
        ClusterError: Within a few seconds, for anything else.
        AuthError: When this process's own token cannot be used.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.username is not None:
        raise ClusterError(f"{where}: leave name and password out of the address; Ray is told who you are by its token")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClusterError(f"{where}: {url!r} is no address of a dashboard: write http://HEAD:8265")
    if not urllib.request.getproxies().get(parts.scheme) or urllib.request.proxy_bypass(parts.netloc):
        connect(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), where)
    token = find_token() if token_mode() else Token(None, "")
    request = urllib.request.Request(f"{url.rstrip('/')}/api/version", headers=token.headers)
    try:
        with urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S) as answer:
            version = read_json(answer, PROBE_TIMEOUT_S)["ray_version"]
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            what = f"refuses the token of {token.origin}" if token.value else "asks for a token, and there is none here"
            raise ClusterError(f"{where}: the cluster at {url} {what}: {HEAD_TOKEN_ADVICE}") from None
        raise ClusterError(
            f"{where}: what answers at {url} is no Ray dashboard (HTTP {error.code}): write http://HEAD:8265"
        ) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        why = error if isinstance(error, AnswerError) else type(error).__name__
        raise ClusterError(
            f"{where}: what listens at {url} is no Ray dashboard ({why}): write http://HEAD:8265 (6379 is the port "
            "for nodes and drivers)"
        ) from None
    import ray

    if version != ray.__version__:
        raise ClusterError(
            f"{where}: the cluster at {url} runs Ray {version}, and this is Ray {ray.__version__}: install the "
            "cluster's here"
        )


def split_address(address: str, where: str) -> tuple[str, int]:
    """Return host and port; ClusterError for what is no ``host:port``."""
    if address.startswith("ray://"):
        raise ClusterError(
            f"{where}: {address} is an address of the Ray client, through which a run cannot be driven: submit it with "
            "`robonav submit --address http://HEAD:8265`, or name the head's own port, HEAD:6379"
        )
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit() or not 0 < int(port) < 65536:
        hint = "; jobs are submitted to the dashboard with `robonav submit`" if "://" in address else ""
        raise ClusterError(
            f"{where}: {address!r} is no address of a cluster: write host:port, for instance 10.0.0.5:6379{hint}"
        )
    return host.strip("[]"), int(port)


def connect(host: str, port: int, where: str) -> None:
    """Return when something listens at host:port; ClusterError otherwise."""
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S):
            return
    except socket.gaierror:
        raise ClusterError(
            f"{where}: the host name {host!r} is not known here: check its spelling, or write its IP address"
        ) from None
    except TimeoutError:
        why = f"did not answer within {PROBE_TIMEOUT_S:g} s (a firewall, or a machine that is off)"
    except OSError as error:
        why = f"nothing listens there ({(error.strerror or str(error)).lower()})"
    raise ClusterError(
        f"{where}: no Ray cluster answers at {host}:{port}: {why}. Is it up (`ray status` on its head), and is the "
        "address the head's? Without an address a local one is started"
    )


def _ask(address: str, token: Token, where: str) -> dict[str, str]:
    """Return the versions of the cluster; ClusterError when it is none, or does not let us in."""
    try:
        return _metadata(address, token)
    except grpc.RpcError as error:
        code = error.code()  # pyright: ignore[reportAttributeAccessIssue]  (a call that failed is its own error)
    if code is grpc.StatusCode.UNAUTHENTICATED and token.value is None:
        raise ClusterError(
            f"{where}: the cluster at {address} asks for a token, and runtime.auth_mode (or RAY_AUTH_MODE) is disabled "
            f"here: set it to token, and {HEAD_TOKEN_ADVICE}"
        )
    if code is grpc.StatusCode.UNAUTHENTICATED:
        raise ClusterError(
            f"{where}: the cluster at {address} refuses the token of {token.origin}: {HEAD_TOKEN_ADVICE}"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise ClusterError(
            f"{where}: something listens at {address} but did not answer within {PROBE_TIMEOUT_S:g} s: it is no Ray "
            "head, or one that hangs; look at it with `ray status`"
        )
    raise ClusterError(
        f"{where}: what listens at {address} is not the head of a Ray cluster ({code.name.lower()}): name the head's "
        "own port, 6379 unless it was started with another --port (8265 is the dashboard, for `robonav submit`)"
    )


def _channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),))


def _metadata(address: str, token: Token) -> dict[str, str]:
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    with _channel(address) as channel:
        stub = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel)
        namespace, key = _METADATA
        request = gcs_service_pb2.InternalKVGetRequest(namespace=namespace, key=key)  # pyright: ignore[reportAttributeAccessIssue]
        reply = stub.InternalKVGet(request, timeout=PROBE_TIMEOUT_S, metadata=tuple(token.headers.items()))
    return json.loads(reply.value) if reply.value else {}


def _check_this_machine(address: str, token: Token, where: str) -> None:
    """Refuse a driver that has no node of the cluster beside it: Ray would look for one for a minute."""
    from ray._private.services import find_node_ids
    from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    with _channel(address) as channel:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        request = gcs_service_pb2.GetAllNodeInfoRequest()  # pyright: ignore[reportAttributeAccessIssue]
        reply = stub.GetAllNodeInfo(request, timeout=PROBE_TIMEOUT_S, metadata=tuple(token.headers.items()))
    alive = {node.node_id.hex() for node in reply.node_info_list if node.state == gcs_pb2.GcsNodeInfo.ALIVE}  # pyright: ignore[reportAttributeAccessIssue]
    if not alive & set(find_node_ids()):
        raise ClusterError(
            f"{where}: none of the {len(alive)} nodes of the cluster at {address} is on this machine, and a driver "
            "needs one beside it: submit the run with `robonav submit --address http://HEAD:8265`, or start a node "
            "here (`ray start --address`)"
        )


def _is_open(address: str) -> bool:
    """Whether the cluster lets in who has no token."""
    try:
        _metadata(address, Token(None, ""))
    except grpc.RpcError:
        return False
    return True


def _check_versions(cluster: dict[str, str], address: str, where: str) -> None:
    import ray

    # as Ray itself compares (ray/_private/utils.py, check_version_info)
    parts = 2 if os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL") == "minor" else 3
    for name, theirs, ours, digits in (
        ("Ray", cluster.get("ray_version"), ray.__version__, None),
        ("Python", cluster.get("python_version"), platform.python_version(), parts),
    ):
        if theirs is not None and theirs.split(".")[:digits] != ours.split(".")[:digits]:
            raise ClusterError(
                f"{where}: the cluster at {address} runs {name} {theirs}, and this is {name} {ours}, which cannot work "
                "together: take the cluster's versions here, or submit the run with `robonav submit`, so that it is "
                "driven from there"
            )
