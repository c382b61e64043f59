"""One dense layer for batched acting: a Numba kernel that needs no BLAS, no threads and no torch.

A row's result has the same bits whatever else is in the batch and wherever the row stands, because each row takes the same path;
BLAS libraries do not promise this (OpenBLAS and MKL choose kernels by the number of rows and by the place in a tile), and a decision
that depends on how worlds are shared out would follow. It is also faster than both at the sizes at hand.
"""

from __future__ import annotations

import numba
import numpy as np

ROW_UNIT = 4
"""Rows of ``out`` must be a multiple of this."""

_ZERO = np.float32(0.0)


@numba.njit(cache=True, fastmath={"contract"}, error_model="numpy")
def dense(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, relu: bool, out: np.ndarray) -> None:
    """Write ``out = x @ weight + bias``, with ReLU on top where asked.

    Four rows and four inputs are taken at a time, so that each load of a weight serves four rows and each load of a sum serves
    four products; the loop over the outputs vectorises.

    Args:
        x: (B, I) float32; where ``out`` has more rows, the last row stands in for those that are missing.
        weight: (I, O) float32.
        bias: (O,) float32.
        relu: Whether negative results become 0.
        out: (B rounded up to ``ROW_UNIT``, O) float32, written.
    """
    last = x.shape[0] - 1
    num_inputs, num_outputs = weight.shape
    unrolled = num_inputs - num_inputs % 4
    for row in range(0, out.shape[0], 4):
        x0, x1, x2, x3 = x[min(row, last)], x[min(row + 1, last)], x[min(row + 2, last)], x[min(row + 3, last)]
        y0, y1, y2, y3 = out[row], out[row + 1], out[row + 2], out[row + 3]
        for o in range(num_outputs):
            y0[o] = y1[o] = y2[o] = y3[o] = bias[o]
        for i in range(0, unrolled, 4):
            w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
            x00, x01, x02, x03 = x0[i], x0[i + 1], x0[i + 2], x0[i + 3]
            x10, x11, x12, x13 = x1[i], x1[i + 1], x1[i + 2], x1[i + 3]
            x20, x21, x22, x23 = x2[i], x2[i + 1], x2[i + 2], x2[i + 3]
            x30, x31, x32, x33 = x3[i], x3[i + 1], x3[i + 2], x3[i + 3]
            for o in range(num_outputs):
                v0, v1, v2, v3 = w0[o], w1[o], w2[o], w3[o]
                y0[o] = y0[o] + x00 * v0 + x01 * v1 + x02 * v2 + x03 * v3
                y1[o] = y1[o] + x10 * v0 + x11 * v1 + x12 * v2 + x13 * v3
                y2[o] = y2[o] + x20 * v0 + x21 * v1 + x22 * v2 + x23 * v3
                y3[o] = y3[o] + x30 * v0 + x31 * v1 + x32 * v2 + x33 * v3
        for i in range(unrolled, num_inputs):
            for o in range(num_outputs):
                y0[o] += x0[i] * weight[i, o]
                y1[o] += x1[i] * weight[i, o]
                y2[o] += x2[i] * weight[i, o]
                y3[o] += x3[i] * weight[i, o]
        if relu:
            for o in range(num_outputs):
                y0[o] = max(y0[o], _ZERO)
                y1[o] = max(y1[o], _ZERO)
                y2[o] = max(y2[o], _ZERO)
                y3[o] = max(y3[o], _ZERO)
