"""Questions to a cluster's head over HTTP, with its token; needs no Ray in this process."""

from __future__ import annotations

import http.client
import logging
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import read_text
from robonav_ray.nodes.answers import AnswerError, read_json
from robonav_ray.nodes.auth import MAX_TOKEN_BYTES

logger = logging.getLogger(__name__)
# a proxy has no business between us and our own nodes
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class NodeFacts:
    """What Ray knows of one node."""

    name: str
    ip: str
    is_head: bool
    is_alive: bool
    resources: dict[str, float]
    labels: dict[str, str]


def ask_nodes(url: str, token_path: Path, timeout_s: float = 5.0) -> list[NodeFacts] | None:
    """Return all nodes that the cluster has or had; None when the head does not answer."""
    answer = _get(f"{url}/api/v0/nodes?detail=true&limit=1000", token_path, timeout_s)
    if answer is None:
        return None
    rows = answer.get("data", {}).get("result", {}).get("result", [])
    return [
        NodeFacts(
            name=row.get("node_name", ""),
            ip=row.get("node_ip", ""),
            is_head=bool(row.get("is_head_node")),
            is_alive=row.get("state") == "ALIVE",
            resources=row.get("resources_total") or {},
            labels=row.get("labels") or {},
        )
        for row in rows
    ]


def ask_running_jobs(url: str, token_path: Path, timeout_s: float = 5.0) -> list[str]:
    """Return the submission ids of the jobs that run or wait; none when the head does not answer."""
    answer = _get(f"{url}/api/jobs/", token_path, timeout_s)
    return [
        job["submission_id"]
        for job in answer or ()
        if job.get("status") in ("PENDING", "RUNNING") and job.get("submission_id")
    ]


def _get(url: str, token_path: Path, timeout_s: float) -> Any:
    request = urllib.request.Request(
        url, headers={"Authorization": f"Bearer {read_text(token_path, MAX_TOKEN_BYTES).strip()}"}
    )
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return read_json(response, timeout_s)
    except AnswerError as error:
        logger.warning("%s: %s", url.partition("?")[0], error)
    except (OSError, http.client.HTTPException):  # URLError is an OSError
        pass
    return None
