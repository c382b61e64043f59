"""A policy's network as a file: an ONNX graph, a program of torch, or the folded layers as arrays."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.export import Dim

from robonav_ray.algo.lidar_ring import LidarRing
from robonav_ray.algo.network_graph import Greedy
from robonav_ray.algo.networks import QNetwork, make_q_network
from robonav_ray.algo.parameters import fold_head, mean_embedding, stacked
from robonav_ray.algo.structure import Structure, encoded
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.errors import UserError
from robonav_ray.records import PolicySnapshot

OPSET = 20
OBS, Q_VALUES = "obs", "q_values"


class NoExportError(UserError):
    """There can be no file of a network; the message says why."""


def greedy_module(
    snapshot: PolicySnapshot, obs_dim: int, num_actions: int, algo: AlgoConfig, structure: Structure | None
) -> Greedy:
    """Return the network as the greedy policy uses it: obs (N, D) -> Q (N, A), with the means of noisy layers and, with
    iqn, at the midpoints.
    """
    network = make_q_network(obs_dim, num_actions, algo, 0, structure)
    arrays = zip(snapshot.names, snapshot.arrays, strict=True)
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays})
    return Greedy(network).eval()


class MeanOf(torch.nn.Module):
    """The mean of several networks' Q values, each multiplied with its scale first."""

    def __init__(self, members: Sequence[Greedy], scales: Sequence[float]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)
        self._scales = tuple(scales)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Return Q (B, A) of ``obs`` (B, D)."""
        values = [member(obs) * scale for member, scale in zip(self.members, self._scales, strict=True)]
        return torch.stack(values).mean(dim=0)


def mean_of(members: Sequence[Greedy], scales: Sequence[float]) -> torch.nn.Module:
    """Return one network as it is, several as the mean of them."""
    return members[0] if len(members) == 1 else MeanOf(members, scales).eval()


def onnx_bytes(module: torch.nn.Module, obs_dim: int) -> bytes:
    """Return the module as ``policy.onnx``: one input ``obs`` (N, D) float32, N at least 1, and the output ``q_values``
    (N, A). The same module gives the same bytes, which name no file of this machine.

    Raises:
        NoExportError: When onnx and onnxscript are not installed, or torch cannot trace a network of the user's own.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise NoExportError(
            f"--format onnx needs {error.name}: `pip install 'robonav_ray[deploy]'` brings it"
        ) from None
    with _quiet(), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                module,
                (torch.zeros(2, obs_dim),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[OBS],
                output_names=[Q_VALUES],
                dynamic_shapes={OBS: {0: Dim("batch", min=1)}},
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch's exporter has many classes of errors of its own
            raise _untraced(module, error) from error
    model = program.model_proto
    _forget_places(model)
    return model.SerializeToString(deterministic=True)


def pt2_bytes(module: torch.nn.Module, obs_dim: int) -> bytes:
    """Return the module as ``policy.pt2``, which ``torch.export.load`` opens; raises as ``onnx_bytes`` does."""
    with _quiet(), torch.no_grad():
        try:
            program = torch.export.export(
                module, (torch.zeros(2, obs_dim),), dynamic_shapes={OBS: {0: Dim("batch", min=1)}}
            )
        except Exception as error:  # torch's exporter has many classes of errors of its own
            raise _untraced(module, error) from error
        data = io.BytesIO()
        torch.export.save(program, data)
    return data.getvalue()


def numpy_bytes(snapshot: PolicySnapshot, algo: AlgoConfig, structure: Structure | None) -> bytes:
    """Return the layers that acting takes as ``policy.npz``, each (I + 1, O) with the bias as last row; the head is
    folded.

    Raises:
        NoExportError: For a network of the user's own, or an encoder of sets.
    """
    if algo.network is not None or algo.looks_at_a_set:
        what = f"a network of your own ({algo.network})" if algo.network else f"algo.encoder={algo.encoder}"
        raise NoExportError(f"--format numpy: there is none for {what}; take --format onnx")
    source = dict(zip(snapshot.names, snapshot.arrays, strict=True))
    num_hidden, part = len(algo.hidden_dims), encoded(algo, structure)
    gain = np.ones(algo.hidden_dims[-1], np.float32)
    if algo.distribution == "iqn":
        gain = mean_embedding(source["embedding.weight"], source["embedding.bias"], algo.num_acting_tau)
    found = {f"layer.{i}": stacked(source[f"hidden.{i}.weight"], source[f"hidden.{i}.bias"]) for i in range(num_hidden)}
    found[f"layer.{num_hidden}"] = fold_head(source["head.weight"], source["head.bias"], gain, algo)
    if algo.distribution == "c51":
        found["support"] = np.linspace(algo.v_min, algo.v_max, algo.num_atoms, dtype=np.float32)
    for name in source:
        if name.startswith("norm."):
            found[name] = source[name]
        elif name.startswith("conv."):
            found[name.replace("conv.layers.", "conv.")] = source[name]
    if isinstance(part, LidarRing):
        found["ring"] = np.array([part.start, part.num_scans, part.num_beams, algo.conv_stride], np.int64)
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **found)  # its entries bear no time
    return data.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what torch's exporter warns of: its own inner life, and packages that it does without."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _untraced(module: torch.nn.Module, error: Exception) -> Exception:
    names = [one.algo.network for one in module.modules() if isinstance(one, QNetwork)]
    name = next((name for name in names if name is not None), None)
    if name is None:
        return error
    return NoExportError(f"algo.network: torch cannot export {name!r}: {type(error).__name__}: {error}")


def _forget_places(model: Any) -> None:
    """Take away what the exporter notes of where each operation was written: lines and files of this machine."""
    graphs = [model.graph]
    model.ClearField("metadata_props")
    while graphs:
        graph = graphs.pop()
        graph.ClearField("metadata_props")
        for one in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
            one.ClearField("metadata_props")
            one.ClearField("doc_string")
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
