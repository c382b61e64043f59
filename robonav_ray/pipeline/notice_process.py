"""A process that sends one notice: what a plug-in of apprise logs, prints or hangs on ends with it.

::

    order (JSON, one line) ---> stdin    apprise ---> the channel
    answer (JSON, one line) <-- stdout   {"sent": true} or {"why": "..."}; never anything of the URL
"""

from __future__ import annotations

import json
import logging
import mimetypes
import os
import re
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import read_bytes
from robonav_ray.runtime.examination.child import start_child

MAX_PICTURE_BYTES = 5_000_000
_STATUS = re.compile(r"error=(\d{3})\b|\((\d{3})\)")


@dataclass(frozen=True)
class Message:
    """What a channel is given."""

    title: str
    body: str
    is_failure: bool
    picture: str | None


class SendFailedError(Exception):
    """A notice was not taken; the message says why, and holds nothing of the URL."""


def send_message(url: str, message: Message | None, timeout_s: float) -> None:
    """Send a message in a process of its own; without one, only look whether apprise knows such a URL.

    Raises:
        SendFailedError: When that fails or takes longer than ``timeout_s``.
    """
    order = {"url": url, "message": None if message is None else asdict(message)}
    process = start_child(send_notice)
    try:
        said, _ = process.communicate(json.dumps(order) + "\n", timeout_s)
    except subprocess.TimeoutExpired:
        raise SendFailedError(f"no answer within {timeout_s:g} s") from None
    finally:
        _end(process)
    try:
        answer = json.loads(said.splitlines()[-1])
        why = None if answer.get("sent") is True else str(answer["why"])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise SendFailedError("its process ended without an answer") from None
    if why is not None:
        raise SendFailedError(why)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process, and all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def send_notice() -> None:
    """In the new process: take an order from standard input, carry it out, and answer."""
    answer = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)  # a plug-in prints and logs what it likes, URLs too
    os.dup2(nothing, 2)
    order = json.loads(sys.stdin.readline())
    try:
        why = _sent(order["url"], order["message"])
    except Exception as error:  # noqa: BLE001  plug-ins raise anything, and its text may hold the URL
        why = f"failed with {type(error).__name__}"
    answer.write(json.dumps({"sent": True} if why is None else {"why": why}) + "\n")
    answer.close()
    os._exit(0)  # a thread of a plug-in may hang


class _Statuses(logging.Handler):
    """Keeps the HTTP statuses that apprise tells of, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found += [a or b for a, b in _STATUS.findall(record.getMessage())]


def _sent(url: str, message: dict[str, Any] | None) -> str | None:
    """Return why a message was not taken; None when it was."""
    import apprise

    statuses, log = _Statuses(), logging.getLogger("apprise")
    log.handlers, log.propagate = [statuses], False
    channel: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if channel is None:
        return "is no URL that apprise knows (https://github.com/caronc/apprise lists them)"
    if message is None:
        return None
    kind: Any = apprise.NotifyType.FAILURE if message["is_failure"] else apprise.NotifyType.INFO
    told = {"title": message["title"], "body": message["body"], "notify_type": kind}
    told["body_format"] = apprise.NotifyFormat.TEXT
    everybody: Any = apprise.Apprise()
    everybody.add(channel)
    picture = None if message["picture"] is None else _picture(Path(message["picture"]))
    if picture is not None and everybody.notify(**told, attach=picture):
        return None
    if everybody.notify(**told):
        return None
    return f"was answered with HTTP status {statuses.found[-1]}" if statuses.found else "was not taken, or not reached"


def _picture(path: Path) -> Any:
    """Return a picture as apprise takes it; None where there is none, or it is too large."""
    from apprise import AppriseAttachment
    from apprise.attachment.memory import AttachMemory

    try:
        data = read_bytes(path, MAX_PICTURE_BYTES)
    except OSError:
        return None
    attached: Any = AppriseAttachment()
    attached.add(AttachMemory(content=data, name=path.name, mimetype=mimetypes.guess_type(path.name)[0]))
    return attached
