"""A suite from its file, or by the name of a shipped one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load import load_section_file


def load_suite(path: Path, overrides: Sequence[str] = ()) -> Suite:
    """Return the checked suite at ``path``, or the shipped one of that name, by the rules of every config.

    Raises:
        ConfigError: for anything wrong, with one clear message that lists every problem found.
    """
    return load_section_file(Suite, path, overrides, "suite")
