"""A Ray of one's own on this machine: in a private folder, and with nothing left of it at the end, also after a kill.

::

    own_ray --> a folder (0700, short) --> the reaper watches --> ray.init in it ... ray.shutdown --> folder is removed
                                               '--> driver killed: ends the session's processes, then removes the folder

What starts a local Ray, be it a run, a search, a script or a test, starts it here.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import re
import shutil
import time
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import read_lines
from robonav_ray.nodes.private_folder import Claim, make_private_folder, remove_abandoned
from robonav_ray.nodes.reaper import Reaper
from robonav_ray.own_processes import ProcessName, read_process

logger = logging.getLogger(__name__)
PREFIX, BELOW = "rn-ray-", "ray"
_TIMED_OUT = "timed out during startup"
"""What Ray 2.60 says when its processes were not up within 30 s, which it does not let one change: the machine is
busy."""
_GONE_WITHIN_S = 3.0
"""How long Ray's last agents may write into the folder after the shutdown."""
_TELLING = re.compile(r" [EC] \d+ |Check failed|^\w*(Error|Exception): |No space left|cannot ")
_TELLING_FILES = (
    "gcs_server.out",
    "gcs_server.err",
    "raylet.out",
    "raylet.err",
    "dashboard_agent.log",
    "runtime_env_agent.log",
)


@contextlib.contextmanager
def own_ray(*, keep_logs: bool = False, **arguments: Any) -> Iterator[Path]:
    """Start a Ray by ``ray.init(address="local", **arguments)`` and end it; yields the folder of its logs.

    Args:
        keep_logs: Whether the folder stays when Ray has ended.
        arguments: For ``ray.init``.

    Raises:
        UserError: When there is no place for its folder.
        Exception: What ``ray.init`` raises, with a note of what Ray's logs say; nothing is left then.
    """
    import ray

    try:
        begun = _begin(keep_logs, arguments)
    except Exception as error:  # Ray has no class of its own for this: its text tells it
        if _TIMED_OUT not in str(error):
            raise
        begun = None
    if begun is None:
        logger.warning("the local Ray was not up within half a minute; trying once more")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # Ray has dropped its processes without waiting for them; the reaper has ended them
        begun = _begin(keep_logs, arguments)
    folder, claim, reaper = begun
    try:
        pids = _started_by_ray()
        reaper.watch(pids)
        claim.add(_names(pids))
        _close_to_others(folder)
        yield folder / BELOW / "session_latest" / "logs"
    finally:
        ray.shutdown()
        if not keep_logs:
            _remove(folder)
        reaper.dismiss()
        claim.close(keep=keep_logs)


def _begin(keep_logs: bool, arguments: dict[str, Any]) -> tuple[Path, Claim, Reaper]:
    """Call ``ray.init`` in a new folder; when it fails, nothing is left and its error carries a note of what Ray's logs
    say.
    """
    import ray

    folder = make_private_folder(PREFIX, BELOW)
    remove_abandoned(folder.parent, PREFIX)
    claim = Claim(folder, _names([os.getpid()]))
    reaper = Reaper(folder, claim.descriptor, keep=keep_logs)
    try:
        with contextlib.ExitStack() as around:
            around.enter_context(_kernels_shared_in(folder))
            around.enter_context(_out_of_our_group())
            if arguments.get("include_dashboard") is False:
                around.enter_context(_without_helpers())
            ray.init(address="local", _temp_dir=str(folder / BELOW), **arguments)
    except BaseException as error:
        _add_reason(error, folder)
        if keep_logs:
            error.add_note(f"Ray's logs are in {folder / BELOW}")
        ray.shutdown()
        reaper.end_now()
        claim.close(keep=keep_logs)
        if not keep_logs:
            _remove(folder)
        raise
    return folder, claim, reaper


def what_died() -> str | None:
    """Return which daemon of the Ray that this process has started is gone, ``gcs_server`` or ``raylet``; None where
    none is.
    """
    from ray._private import worker

    node: Any = worker._global_node
    started = {} if node is None else node.all_processes
    kinds = ("raylet", "gcs_server")
    return next((kind for kind in kinds for info in started.get(kind, ()) if info.process.poll() is not None), None)


@contextlib.contextmanager
def _out_of_our_group() -> Iterator[None]:
    """Have what Ray starts meanwhile be no part of this process's group.

    A terminal that is closed, and ``timeout``, signal the whole group: a Ray that ends with the first signal has
    nothing left to save.
    """
    from ray._private import services

    before = services.ConsolePopen
    services.ConsolePopen = functools.partial(before, process_group=0)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        services.ConsolePopen = before


@contextlib.contextmanager
def _without_helpers() -> Iterator[None]:
    """Have Ray start meanwhile without three processes that a Ray of one machine without a dashboard has no work for.

    The autoscaler's monitor (no node will come), the log monitor (what actors print stays in files) and the dashboard's
    head: more than two seconds of a core at every start.
    """
    from ray._private import node, parameter

    fewer: Any = functools.partial(parameter.RayParams, no_monitor=True, include_log_monitor=False)  # pyright: ignore[reportArgumentType]
    params, start_api_server = parameter.RayParams, node.Node.start_api_server
    parameter.RayParams = fewer
    node.Node.start_api_server = lambda *_, **__: None
    try:
        yield
    finally:
        parameter.RayParams = params
        node.Node.start_api_server = start_api_server


@contextlib.contextmanager
def _kernels_shared_in(folder: Path) -> Iterator[None]:
    """Where compiled kernels cannot be kept, have the processes that Ray starts find at least each other's."""
    from robonav_ray.compiled import kept_in

    name, before = "NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR")
    if kept_in().anywhere:
        yield
        return
    os.environ[name] = str(folder / "kernels")
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _started_by_ray() -> list[int]:
    """Return the processes that this process has started for its Ray, the raylet first."""
    from ray._private import worker

    node: Any = worker._global_node
    kinds = sorted(node.all_processes, key=lambda kind: kind != "raylet")
    return [info.process.pid for kind in kinds for info in node.all_processes[kind]]


def _names(pids: list[int]) -> list[ProcessName]:
    return [process.name if (process := read_process(pid)) is not None else ProcessName(pid, 0) for pid in pids]


def _close_to_others(folder: Path) -> None:
    """Take the rights to Ray's folders from all other users; the one above them guards them already, and all that is
    made later.
    """
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            with contextlib.suppress(OSError):  # Ray has removed it
                path = os.path.join(parent, name)
                if not os.path.islink(path):
                    os.chmod(path, 0o700)


def _remove(folder: Path) -> None:
    until = time.monotonic() + _GONE_WITHIN_S
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > until:  # no process claims it any more, so the next start removes it
            return
        time.sleep(0.02)


def _add_reason(error: BaseException, folder: Path) -> None:
    """Note on the error what the logs, which are about to go, say of it."""
    lines: dict[str, str] = {}
    for name in _TELLING_FILES:
        for path in (folder / BELOW).glob(f"session_2*/logs/{name}"):
            with contextlib.suppress(OSError):
                text = [line.decode(errors="replace") for line in deque(read_lines(path), 1000)]
                lines |= {line.strip()[:300]: name for line in text if _TELLING.search(line)}
    for line, name in list(lines.items())[-3:]:
        error.add_note(f"{name}: {line}")
