"""What a process that plays cells of an exam beside others runs; see ``runtime/examination/beside.py``."""

from __future__ import annotations

from robonav_ray.fronts.foreign_policies import load_foreign
from robonav_ray.runtime.examination.worker import serve


def main() -> None:
    """Serve until standard input ends."""
    serve(load_foreign)
