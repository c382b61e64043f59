"""The direction of a point, in arithmetic that vectorises."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, hot_kernel

_TINY, _HALF_TURN, _QUARTER_TURN = np.float32(1e-6), np.float32(np.pi), np.float32(np.pi / 2)
_A0, _A1, _A2, _A3, _A4 = (np.float32(a) for a in (0.9998660, -0.3302995, 0.1801410, -0.0851330, 0.0208351))


@hot_kernel
def bearing(x, y):
    """Return atan2(y, x) with an error below 2e-5 rad, in arithmetic that vectorises (Abramowitz and Stegun 1964,
    4.4.49).
    """
    ax, ay = abs(x), abs(y)
    z = min(ax, ay) / max(max(ax, ay), _TINY)
    z2 = z * z
    a = z * (_A0 + z2 * (_A1 + z2 * (_A2 + z2 * (_A3 + z2 * _A4))))
    a = _QUARTER_TURN - a if ay > ax else a
    a = _HALF_TURN - a if x < F0 else a
    return -a if y < F0 else a
