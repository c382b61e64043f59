"""TensorBoard in the output of a cell, served by the kernel itself: when the kernel ends, so does the server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from robonav_ray.errors import UserError
from robonav_ray.fronts.notebooks.places import show_served


def open_tensorboard(folder: str | Path, height: int = 700) -> Any:
    """Serve the event files below ``folder`` at a free port of 127.0.0.1, and return what shows them in a cell.

    The magic ``%tensorboard`` starts a process that outlives the kernel; this does not.

    Raises:
        UserError: When there is no such folder.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; give that of a run or of a search")
    from tensorboard import program

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    server = program.TensorBoard()
    words = ["tensorboard", "--logdir", str(folder), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    server.configure(argv=words)
    port = urlsplit(server.launch()).port
    assert port is not None
    return show_served(port, height)
