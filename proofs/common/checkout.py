"""The checkout that the proofs run from: its root, and how another process imports ``proofs`` too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def with_proofs(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` with the checkout first on PYTHONPATH."""
    rest = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
    return {**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), *rest])}
