"""The one way in which kernels of this room are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robonav_ray.compiled import njit

_FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn", "nnan"}


def kernel(function: Callable[..., Any], inline: str = "never") -> Callable[..., Any]:
    """Compile ``function``: serial, cached, float errors as in NumPy.

    Infinities keep their meaning (no ``ninf``); NaN never
    enters: commands are checked before. Without ``_nrt`` (Numba's reference counting) no kernel can
    allocate, and none pays for counting its arguments, which took half of all time.
    """
    return njit(error_model="numpy", fastmath=_FASTMATH, inline=inline, _nrt=False)(function)


def hot_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """As ``kernel``, and merge it into its caller.

    For what runs once per robot and step with many arrays: passing an array is passing a dozen numbers.
    """
    return kernel(function, inline="always")


F0, F1, HALF, FAR = np.float32(0.0), np.float32(1.0), np.float32(0.5), np.float32(1.0e3)
"""float32 constants: a float literal would turn the arithmetic around it into float64. ``FAR`` stands for "no such
thing"."""
