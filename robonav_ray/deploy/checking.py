"""What is wrong with a bundle: ``robonav export --verify DIR``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robonav_policy.bundle import NUMPY, ONNX, PT2, Bundle, read_bundle, strangers
from robonav_policy.errors import PolicyError
from robonav_policy.models import Model, numpy_model, onnx_model, open_model
from robonav_ray.errors import UserError

if TYPE_CHECKING:
    from robonav_ray.algo.policy import Policy

NUM_ROWS = 256
MOST_APART = 1e-3
"""Q values of two computations of one network may differ by this part of the greatest of them."""
NEAR_TIE = 1e-4
"""Actions may differ where the Q values of the two are this near to each other."""
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")


class BundleRefusedError(UserError):
    """A bundle is not whole, not one of ours, or does not belong where it is to go."""


@dataclass(frozen=True)
class CheckedBundle:
    """What a bundle is that was found whole."""

    bundle: Bundle
    checked: tuple[str, ...]
    """What was looked at, each in a few words."""


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Make a UserError of what robonav_policy says."""
    try:
        yield
    except PolicyError as error:
        raise BundleRefusedError(str(error)) from None


def verify_bundle(folder: Path) -> CheckedBundle:
    """Return the bundle in ``folder`` after all of it was looked at: hashes, spec, files that do not belong there, the
    graph, and whether every network in it answers, and alike.

    Raises:
        BundleRefusedError: Naming the first thing that is wrong.
    """
    with refused():
        bundle = read_bundle(folder)
        if others := strangers(bundle):
            raise BundleRefusedError(
                f"{folder / others[0]}: is not named by the manifest, so it does not belong to the bundle; remove it"
            )
        checked = [
            f"{len(bundle.files)} files as hashed",
            f"spec of {bundle.spec.num_actions} actions, {bundle.spec.obs_dim} numbers",
        ]
        models = dict[str, Model]()
        if ONNX in bundle.files:
            checked.append(_check_graph(bundle.files[ONNX], bundle.folder / ONNX))
            models[ONNX] = open_model(bundle, "onnx")
        if NUMPY in bundle.files:
            models[NUMPY] = open_model(bundle, "numpy")
        obs = _rows(bundle.spec.obs_dim)
        answers = {name: model(obs) for name, model in models.items()}
    for name, answer in answers.items():
        refuse_apart(f"{folder / name}", next(iter(answers.values())), answer)
        checked.append(f"{name} answers")
    return CheckedBundle(bundle, tuple(checked))


def check_model(name: str, data: bytes, policy: Policy) -> None:
    """Raise BundleRefusedError unless the network in the file ``name`` chooses as ``policy`` does."""
    if name == PT2:
        return  # torch's own program of the module that policy.onnx is made of
    obs = _rows(policy.obs_dim)
    with refused():
        model = onnx_model(data) if name == ONNX else numpy_model(data)
        answer = model(obs)
    refuse_apart(name, policy.q_values(obs), answer)


def refuse_apart(name: str, wanted: np.ndarray, found: np.ndarray) -> None:
    """Raise BundleRefusedError unless two computations of Q (N, A) agree, and choose alike but at near ties."""
    size = max(1.0, float(np.abs(wanted).max()))
    apart = float(np.abs(wanted - found).max()) if wanted.shape == found.shape else float("inf")
    rows = np.arange(len(wanted))
    gap = wanted.max(axis=1) - wanted[rows, found.argmax(axis=1)] if np.isfinite(apart) else np.full(1, np.inf)
    if not apart <= MOST_APART * size or gap.max() > NEAR_TIE * size:
        raise BundleRefusedError(
            f"{name}: gives other Q values than the policy (up to {apart:.3g} apart); export again"
        )


def _rows(obs_dim: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.0, 1.0, (NUM_ROWS, obs_dim)).astype(np.float32)


def _check_graph(data: bytes, place: Path) -> str:
    """Return what the graph is; BundleRefusedError when there is anything random in it, or anything outside of it."""
    try:
        import onnx
    except ImportError:
        return "graph not looked at (onnx is not installed)"
    checker: Any = onnx.checker
    try:
        model = onnx.load_model_from_string(data)
        checker.check_model(model)
    except (ValueError, checker.ValidationError, RuntimeError) as error:
        raise BundleRefusedError(f"{place}: is no ONNX graph ({str(error).splitlines()[0][:200]})") from None
    graph = model.graph
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in graph.initializer):
        raise BundleRefusedError(f"{place}: has its numbers in another file; export the run again")
    if (random := sorted({node.op_type for node in graph.node} & set(_RANDOM))) or model.functions:
        raise BundleRefusedError(f"{place}: holds {random[0] if random else 'functions'}, which no graph of ours does")
    if domains := sorted({node.domain for node in graph.node} - {"", "ai.onnx"}):
        raise BundleRefusedError(f"{place}: takes operations of {domains[0]!r}, which no graph of ours does")
    return f"graph of {len(graph.node)} operations, opset {model.opset_import[0].version}"
