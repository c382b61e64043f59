"""What a saved learner may hold, without torch: what only reads a policy, or starts a learner elsewhere, uses it
too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robonav_ray.config.learner import LearnerConfig
from robonav_ray.ranges import (
    MAX_COUNT,
    MAX_FLOAT32,
    MAX_VERSION,
    RangeError,
    check_numbers,
    count,
    like,
    real,
    require,
)
from robonav_ray.runs.hyperparameters import CHANGEABLE, changed

TENSORS_FILE = "learner.safetensors"
COUNTERS_FILE = "learner.json"
NETWORKS = ("online.", "target.")
"""What the names of the networks' parameters begin with."""
COUNTERS = {
    "learner_step": count(),
    "policy_version": count(high=MAX_VERSION),
    "samples": count(),
    "budget_frac": real(low=0.0, high=1.0),
}
_MAX_STEP = 10.0
"""|mean of gradients| / sqrt(mean of squares) is below 7.3 with Adam's betas of .9 and .999 (Cauchy and Schwarz); a
weight moves by it."""
LOSS_SCALE = {"scale": real(low=1e-30, high=MAX_FLOAT32), "growth_tracker": count()}


def with_defaults(document: Any) -> Any:
    """Return the document as it would have been written today, where an earlier version wrote less."""
    if isinstance(document, dict) and "precision" not in document and isinstance(document.get("counters"), dict):
        return {**document, "precision": {}, "counters": {"budget_frac": 0.0, **document["counters"]}}
    return document


def check_document(document: Any) -> None:
    """ValueError unless counters, changed hyper-parameters and the scale of the loss can be gone on from; RangeError
    names the number.
    """
    if not isinstance(document, Mapping) or set(document) != {"counters", "overrides", "precision"}:
        raise ValueError(f"learner state: {COUNTERS_FILE} must have the keys counters, overrides and precision")
    check_numbers("learner state: counters", document["counters"], COUNTERS)
    overrides = document["overrides"]
    if not isinstance(overrides, dict) or not overrides.keys() <= set(CHANGEABLE):
        raise RangeError(f"overrides: may name {', '.join(CHANGEABLE)}")
    try:
        changed(LearnerConfig(), overrides)
    except ValueError as error:
        raise RangeError(f"overrides: {error}") from None
    if document["precision"]:
        check_numbers("learner state: precision", document["precision"], LOSS_SCALE)


def check_tensors(arrays: Mapping[str, np.ndarray]) -> None:
    """RangeError unless weights, moments and Adam's steps are finite and in their ranges; names are those of
    ``LearnerState.tensors``.
    """
    for name, array in arrays.items():
        kind = name.split(".")[1] if name.startswith("adam.") else ""
        low, high = {"steps": (0, MAX_COUNT), "exp_avg_sq": (0.0, MAX_FLOAT32)}.get(kind, (-MAX_FLOAT32, MAX_FLOAT32))
        like(array, low, high).check(name, array)
    for name, first in arrays.items():
        if name.startswith("adam.exp_avg."):
            second = arrays.get(name.replace("exp_avg.", "exp_avg_sq.", 1), np.inf)
            require(
                np.abs(first) <= _MAX_STEP * np.sqrt(second) + 1e-12,
                f"{name}: a mean that no gradients have whose squares have that one",
            )
