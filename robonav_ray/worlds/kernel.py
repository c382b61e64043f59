"""The one way in which kernels of this room are compiled."""

from __future__ import annotations

from functools import partial

import numba
import numpy as np

kernel = partial(numba.njit, cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp", "afn"})
"""Serial and cached. Infinities and NaN keep their meaning (no ``ninf``, ``nnan``), so that a lost range stays infinite."""

F0, F1, HALF, FAR = np.float32(0.0), np.float32(1.0), np.float32(0.5), np.float32(1.0e3)
"""float32 constants: a float literal would turn the arithmetic around it into float64. ``FAR`` stands for "no such thing"."""
