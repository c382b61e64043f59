"""A network as the graph of its operations, for people to look at."""

from __future__ import annotations

from typing import Any

import torch
from torch.func import functional_call
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx

from robonav_ray.algo.networks import QNetwork, make_q_network
from robonav_ray.algo.own_network import NoGraphError
from robonav_ray.algo.structure import Structure
from robonav_ray.config.algo import AlgoConfig

OBS, PARAMETER, CONSTANT = "obs", "parameter", "constant"


def network_graph(
    obs_dim: int, num_actions: int, algo: AlgoConfig, structure: Structure | None = None
) -> dict[str, Any]:
    """Return ``{"nodes": [{"name", "op", "inputs", "shape"}, ...]}``: how Q values come from one observation.

    The network is traced once, as the greedy policy uses it: with the means of noisy layers and, with iqn, at the
    midpoints, so that nothing random is in the graph. A parameter is a node of op ``parameter`` under its own name; the
    observation is ``obs``. Nodes stand behind their inputs.

    Raises:
        NoGraphError: When a network of the user's own cannot be traced: what it does may hang on its numbers.
    """
    network = make_q_network(obs_dim, num_actions, algo, 0, structure).eval()
    parameters = dict(network.named_parameters())
    greedy = Greedy(network)

    def q_values(values: dict[str, torch.Tensor], obs: torch.Tensor) -> torch.Tensor:
        return functional_call(greedy, {f"network.{name}": value for name, value in values.items()}, (obs,))

    try:
        with torch.no_grad():
            graph = make_fx(q_values)(parameters, torch.zeros(1, obs_dim)).graph
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        if algo.network is None:
            raise
        raise NoGraphError(f"algo.network: {algo.network!r} cannot be traced: {error}") from error
    inputs = iter([*parameters, OBS])
    names = {node: next(inputs) if node.op == "placeholder" else node.name for node in graph.nodes}
    return {"nodes": [_described(node, names) for node in graph.nodes if node in _behind(graph.output_node())]}


class Greedy(torch.nn.Module):
    """``q_values`` as what a module does when it is called."""

    def __init__(self, network: QNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Return Q (B, A) of ``obs`` (B, D)."""
        return self.network.q_values(obs)


def _behind(output: Node) -> set[Node]:
    """Return the nodes that the output comes from."""
    found, waiting = set[Node](), list(output.all_input_nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def _described(node: Node, names: dict[Node, str]) -> dict[str, Any]:
    value, target = node.meta.get("val"), node.target
    op = {"placeholder": PARAMETER, "get_attr": CONSTANT}.get(
        node.op, target if isinstance(target, str) else target.__name__
    )
    return {
        "name": names[node],
        "op": OBS if names[node] == OBS else op,
        "inputs": [names[other] for other in node.all_input_nodes],
        "shape": [int(size) for size in value.shape] if isinstance(value, torch.Tensor) else [],
    }
