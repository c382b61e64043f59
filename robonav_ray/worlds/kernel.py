"""The one way in which kernels of this room are compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from robonav_ray import counter_rng

_CONSTANTS = ("layout.py", "randomization.py", "kernel.py")
_FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn", "nnan"}


def _source_fingerprint() -> str:
    """Return a hash over every source that kernels are compiled from."""
    digest = hashlib.sha256(Path(counter_rng.__file__).read_bytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        if path.name in _CONSTANTS or b"kernel\ndef " in text:
            digest.update(text)
    return digest.hexdigest()


_FINGERPRINT = _source_fingerprint()


def kernel(function: Callable[..., Any], inline: str = "never") -> Callable[..., Any]:
    """Compile ``function``: serial, cached, float errors as in NumPy.

    Infinities keep their meaning (no ``ninf``); NaN never
    enters: commands are checked before. Without ``_nrt`` (Numba's reference counting) no kernel can
    allocate, and none pays for counting its arguments, which took half of all time. Numba's cache looks at a function's own file
    only; kernels call each other across files, so its stamp here covers the sources of all of them.
    """
    compiler: Any = numba.njit
    dispatcher = compiler(cache=True, error_model="numpy", fastmath=_FASTMATH, inline=inline, _nrt=False)(function)
    cache_file = dispatcher._cache._cache_file
    cache_file._source_stamp = (cache_file._source_stamp, _FINGERPRINT)
    return dispatcher


def hot_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """As ``kernel``, and merge it into its caller.

    For what runs once per robot and step with many arrays: passing an array is passing a dozen numbers.
    """
    return kernel(function, inline="always")


F0, F1, HALF, FAR = np.float32(0.0), np.float32(1.0), np.float32(0.5), np.float32(1.0e3)
"""float32 constants: a float literal would turn the arithmetic around it into float64. ``FAR`` stands for "no such thing"."""
