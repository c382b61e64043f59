"""The network of a bundle: by onnxruntime, or by NumPy alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from robonav_policy.bundle import MAX_FILE_BYTES, NUMPY, ONNX, Bundle
from robonav_policy.errors import BundleError

Model = Callable[[np.ndarray], np.ndarray]
"""obs (N, D) float32 -> Q values (N, A) float32."""
OBS, Q_VALUES = "obs", "q_values"
_EPS = np.float32(1e-5)


def open_model(bundle: Bundle, kind: str | None = None) -> Model:
    """Return the network; ``kind`` is ``onnx`` or ``numpy``, None takes what the bundle has, ONNX first.

    Raises:
        BundleError: When the bundle does not have it, onnxruntime is not installed, or the network is none.
    """
    if kind not in (None, "onnx", "numpy"):
        raise BundleError(f"kind {kind!r}: a network is opened as onnx or as numpy")
    if kind is None:
        kind = "numpy" if ONNX not in bundle.files and NUMPY in bundle.files else "onnx"
    make, name = (onnx_model, ONNX) if kind == "onnx" else (numpy_model, NUMPY)
    if name not in bundle.files:
        raise BundleError(f"{bundle.folder}: holds no {name}; export the run with --format {kind}")
    model = make(bundle.files[name])
    try:
        q = model(np.zeros((2, bundle.spec.obs_dim), np.float32))
    except Exception as error:  # noqa: BLE001  shapes that do not fit, in NumPy or in onnxruntime
        raise BundleError(f"{bundle.folder / name}: does not take the observations of its spec ({error})") from None
    if q.shape != (2, bundle.spec.num_actions) or not np.isfinite(q).all():
        raise BundleError(
            f"{bundle.folder / name}: gives Q values {q.shape} for two observations, and not (2, "
            f"{bundle.spec.num_actions}) finite ones; export the run again"
        )
    return model


def onnx_model(data: bytes) -> Model:
    """Return the network in the bytes of ``policy.onnx``, run on one core."""
    try:
        import onnxruntime
    except ImportError:
        raise BundleError(
            "onnxruntime is not installed: `pip install onnxruntime`, or export with --format numpy"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if [one.name for one in inputs] != [OBS] or outputs[0].name != Q_VALUES:
            raise BundleError(f"{ONNX}: takes {[one.name for one in inputs]} and gives {outputs[0].name}")
        session.run([Q_VALUES], {OBS: np.zeros((1, inputs[0].shape[1]), np.float32)})
    except BundleError:
        raise
    except Exception as error:  # noqa: BLE001  onnxruntime has a class of its own for each of its codes
        raise BundleError(f"{ONNX}: onnxruntime does not run it: {type(error).__name__}: {error}") from None

    def q_values(obs: np.ndarray) -> np.ndarray:
        return session.run([Q_VALUES], {OBS: obs})[0]

    return q_values


def numpy_model(data: bytes) -> Model:
    """Return the network in the bytes of ``policy.npz``, whose heads are folded: no distribution but that of c51 is
    left in it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as entries:
            if sum(entry.file_size for entry in entries.infolist()) > MAX_FILE_BYTES:
                raise ValueError("it is larger than any network")
        with np.load(io.BytesIO(data)) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
        return _Network(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{NUMPY}: is no network of a bundle ({error}); export the run again") from None


class _Network:
    """Dense layers with ReLU between them; behind a lidar's ring convolutions come first."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        numbers = [int(name.partition(".")[2]) for name in arrays if name.startswith("layer.")]
        self._layers = [arrays[f"layer.{i}"] for i in range(max(numbers) + 1)]
        self._norms = [
            (arrays[f"norm.{i}.weight"], arrays[f"norm.{i}.bias"])
            for i in range(len(arrays))
            if f"norm.{i}.weight" in arrays
        ]
        self._support = arrays.get("support")
        self._ring = arrays.get("ring")
        self._convolutions = [
            (arrays[f"conv.{i}.weight"], arrays[f"conv.{i}.bias"])
            for i in range(len(arrays))
            if f"conv.{i}.bias" in arrays
        ]

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        x = obs if self._ring is None else self._around_the_ring(obs)
        last = len(self._layers) - 1
        for i, layer in enumerate(self._layers):
            x = x @ layer[:-1] + layer[-1]
            if i < last:
                if self._norms:
                    centred = x - x.mean(axis=1, keepdims=True)
                    scale = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + _EPS)
                    x = centred / scale * self._norms[i][0] + self._norms[i][1]
                x = np.maximum(x, np.float32(0.0))
        if self._support is None:
            return x
        logits = x.reshape(len(x), -1, len(self._support))
        mass = np.exp(logits - logits.max(axis=2, keepdims=True))
        return (mass @ self._support) / mass.sum(axis=2)

    def _around_the_ring(self, obs: np.ndarray) -> np.ndarray:
        """Return what convolutions around the circle make of the scans, place by place, then the rest of the row."""
        assert self._ring is not None
        start, scans, beams, stride = (int(value) for value in self._ring)
        x = obs[:, start : start + scans * beams].reshape(len(obs), scans, beams)
        for weight, bias in self._convolutions:
            width = weight.shape[2]
            place = np.arange(0, x.shape[2], stride)[:, None] + np.arange(width)[None, :] - width // 2
            patches = x[:, :, place % x.shape[2]]  # (N, C, L, K)
            x = np.maximum(np.einsum("nclk,ock->nol", patches, weight, optimize=True) + bias[:, None], np.float32(0.0))
        flat = x.transpose(0, 2, 1).reshape(len(obs), -1)
        return np.concatenate((flat, obs[:, :start], obs[:, start + scans * beams :]), axis=1)
