"""A request to stop that another process makes, by a file on storage that both see."""

from __future__ import annotations

import os
import time
from pathlib import Path

from robonav_ray.runtime.signals import StopRequest


class FileStop(StopRequest):
    """A request of another process: true once a file is there, which is looked for every ``LOOK_S`` seconds."""

    LOOK_S = 0.5

    def __init__(self, file: Path) -> None:
        """``file`` lies on storage that both processes see."""
        super().__init__()
        self._file, self._looked = file, float("-inf")

    def __bool__(self) -> bool:
        now = time.monotonic()
        if self.signal_name is None and now - self._looked >= self.LOOK_S:
            self._looked = now
            if os.path.lexists(self._file):
                self.signal_name = "the end of the command"
        return super().__bool__()
