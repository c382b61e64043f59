"""The operations of a torch module as a graph."""

from __future__ import annotations

from typing import Any

import torch
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from robonav_ray.errors import UserError

_OPS = {"placeholder": "input", "get_attr": "constant", "output": "output"}


def module_nodes(module: torch.nn.Module, inputs: Any, what: str) -> list[dict[str, Any]]:
    """Return the operations of one call of ``module`` on ``inputs`` (a tensor, or a tuple of the arguments), each
    behind those that it takes from; the module stays as it is. UserError, naming ``what``, when it cannot be traced.
    """
    arguments = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    state = {name: value.detach() for name, value in (*module.named_parameters(), *module.named_buffers())}
    training = module.training
    try:
        module.eval()
        with torch.no_grad():
            traced = make_fx(lambda state, *given: functional_call(module, state, given))(state, *arguments)
    except Exception as error:
        raise UserError(f"{what}: the model cannot be traced: {type(error).__name__}: {error}") from error
    finally:
        module.train(training)
    given = iter([*state, *(f"input_{n}" for n in range(len(arguments)))])
    names = {node: next(given) if node.op == "placeholder" else node.name for node in traced.graph.nodes}
    nodes = list[dict[str, Any]]()
    for node in traced.graph.nodes:
        value = node.meta.get("val")
        operation = node.target if isinstance(node.target, str) else node.target.__name__
        op = "parameter" if names[node] in state else _OPS.get(node.op, operation)
        shape = list(value.shape) if isinstance(value, torch.Tensor) else []
        sources = [names[source] for source in node.all_input_nodes]
        nodes.append({"name": names[node], "op": op, "inputs": sources, "shape": shape})
    return nodes
