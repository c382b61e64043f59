"""The layers of batched acting: Numba kernels that need no BLAS, no threads and no torch.

A row's result has the same bits in any batch and at any place in it, because each row takes the same path; BLAS
libraries do not promise this (OpenBLAS and MKL choose kernels by the number of rows and by the place in a tile), and a
decision that depends on how worlds are shared out would follow. It is also faster than both at the sizes at hand.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.compiled import njit

ROW_UNIT = 4
"""Rows of ``out`` must be a multiple of this."""

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_NORM_EPS = np.float32(1e-5)


@njit(fastmath={"contract"}, error_model="numpy")
def dense(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, relu: bool, out: np.ndarray) -> None:
    """Write ``out = x @ weight + bias``, with ReLU on top where asked.

    Four rows and four inputs are taken at a time, so that each load of a weight serves four rows and each load of a sum
    serves four products; the loop over the outputs vectorises.

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


@njit(error_model="numpy")
def layer_norm_relu(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """Overwrite each row of ``x`` (B, O) with max(0, (x - mean) / sqrt(variance + 1e-5) * weight + bias) (Ba et al.
    2016, eq. 4).
    """
    num = x.shape[1]
    for row in range(x.shape[0]):
        mean = 0.0
        for o in range(num):
            mean += x[row, o]
        mean /= num
        variance = 0.0
        for o in range(num):
            variance += (x[row, o] - mean) * (x[row, o] - mean)
        centre, scale = np.float32(mean), np.float32(1.0) / np.sqrt(np.float32(variance / num) + _NORM_EPS)
        for o in range(num):
            x[row, o] = max((x[row, o] - centre) * scale * weight[o] + bias[o], _ZERO)


@njit()
def ring_patches(
    x: np.ndarray,
    start: int,
    channel_stride: int,
    place_stride: int,
    num_channels: int,
    num_places: int,
    kernel: int,
    stride: int,
    out: np.ndarray,
) -> None:
    """Write what each place of a convolution around a circle sees, so that ``dense`` can do the rest.

    Value (channel c, place p) of row b is ``x[b, start + c * channel_stride + p * place_stride]``.

    Args:
        x: (B, D) float32.
        start: First column.
        channel_stride: Columns from one channel to the next.
        place_stride: Columns from one place to the next.
        num_channels: Channels C.
        num_places: Places on the circle L.
        kernel: Places that are seen at once; odd.
        stride: Places from one patch to the next.
        out: (B * ceil(L / stride), C * kernel) float32, written; columns by channel, then place.
    """
    num_patches = (num_places + stride - 1) // stride
    half = kernel // 2
    for b in range(x.shape[0]):
        for i in range(num_patches):
            row = b * num_patches + i
            for c in range(num_channels):
                base = start + c * channel_stride
                place = (i * stride - half) % num_places
                for j in range(kernel):
                    out[row, c * kernel + j] = x[b, base + place * place_stride]
                    place = place + 1 if place + 1 < num_places else 0


_LOG2_E = np.float32(1.4426950408889634)
_LOWEST = np.float32(-126.0)
# 2**f on [0, 1), within 2e-7 (least squares in relative error; the first is 1)
_C1, _C2, _C3 = np.float32(0.693147028177), np.float32(0.240229400521), np.float32(0.055485320724)
_C4, _C5, _C6 = np.float32(0.009674549892), np.float32(0.001248284004), np.float32(0.000215406697)


@njit(fastmath={"contract", "reassoc"}, error_model="numpy")
def categorical_means(logits: np.ndarray, v_min: float, v_max: float, q: np.ndarray) -> None:
    """Write Q = sum_i z_i softmax(logits)_i (Bellemare et al. 2017, algorithm 1).

    The exponential is 2**k 2**f with k written into the exponent of a float and a polynomial in f: loops without calls,
    which vectorise as ``np.exp`` does not.

    Args:
        logits: (at least B, A * Z) float32, the Z atoms of an action side by side.
        v_min: Least value of the support.
        v_max: Greatest value of the support.
        q: (B, A) float32, written.
    """
    num_actions = q.shape[1]
    num_atoms = logits.shape[1] // num_actions
    step = np.float32((v_max - v_min) / (num_atoms - 1))
    bits, fraction = np.empty(num_atoms, np.int32), np.empty(num_atoms, np.float32)
    power = bits.view(np.float32)
    place = np.arange(num_atoms).astype(np.float32)
    for b in range(q.shape[0]):
        for a in range(num_actions):
            row = logits[b, a * num_atoms : (a + 1) * num_atoms]
            top = row[0]
            for i in range(1, num_atoms):
                top = max(top, row[i])
            for i in range(num_atoms):
                t = max((row[i] - top) * _LOG2_E, _LOWEST)
                whole = np.floor(t)
                f = t - whole
                bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
                fraction[i] = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
            total, weighted = _ZERO, _ZERO
            for i in range(num_atoms):
                mass = fraction[i] * power[i]
                total += mass
                weighted += mass * place[i]
            q[b, a] = np.float32(v_min) + step * (weighted / total)


@njit()
def perturb(mean: np.ndarray, sigma: np.ndarray, of_input: np.ndarray, of_output: np.ndarray, out: np.ndarray) -> None:
    """Write mean + sigma * of_input * of_output, (I + 1, O): a noisy layer's weights, and its bias as the last row.

    Fortunato et al. 2018, eq. 10-11; ``of_input`` (I,) and ``of_output`` (O,) are f(epsilon).
    """
    num_inputs = of_input.shape[0]
    for i in range(mean.shape[0]):
        factor = of_input[i] if i < num_inputs else _ONE
        for o in range(mean.shape[1]):
            out[i, o] = mean[i, o] + sigma[i, o] * (factor * of_output[o])


@njit()
def perturb_head(
    mean: np.ndarray,
    sigma: np.ndarray,
    of_input: np.ndarray,
    of_output: np.ndarray,
    gain: np.ndarray,
    dueling: bool,
    out: np.ndarray,
) -> None:
    """Write the noisy head that is folded as ``mean`` is: V + A - mean(A) when dueling, the mean over Z where only that
    counts.

    Args:
        mean: (I + 1, A * Y) float32: the folded head without noise, its bias as the last row; Y is Z or 1.
        sigma: (I + 1, P, Z) float32, not folded; P is A + 1 when dueling, else A.
        of_input: (I,) f(epsilon).
        of_output: (P, Z) f(epsilon).
        gain: (I,) factor on the inputs that is folded into ``mean``.
        dueling: Whether the first of P is the state value.
        out: As ``mean``, written.
    """
    num_inputs, num_parts, num_values = of_input.shape[0], sigma.shape[1], sigma.shape[2]
    first = 1 if dueling else 0
    num_actions = num_parts - first
    kept = mean.shape[1] // num_actions
    share = _ONE / np.float32(num_values // kept)
    per_action = _ONE / np.float32(num_actions)
    base = np.zeros(num_values, np.float32)
    for i in range(mean.shape[0]):
        factor = of_input[i] * gain[i] * share if i < num_inputs else share
        if dueling:
            base[:] = _ZERO
            for a in range(1, num_parts):
                for z in range(num_values):
                    base[z] += sigma[i, a, z] * of_output[a, z]
            for z in range(num_values):
                base[z] = sigma[i, 0, z] * of_output[0, z] - base[z] * per_action
        for a in range(num_actions):
            at = a * kept
            if kept > 1:
                for z in range(num_values):
                    out[i, at + z] = mean[i, at + z] + factor * (
                        base[z] + sigma[i, a + first, z] * of_output[a + first, z]
                    )
            else:
                total = _ZERO
                for z in range(num_values):
                    total += base[z] + sigma[i, a + first, z] * of_output[a + first, z]
                out[i, at] = mean[i, at] + factor * total
