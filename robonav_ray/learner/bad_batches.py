"""Batches from which nothing can be learned because a number in them, or made of them, is not finite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from robonav_ray.files.plain_files import replace, replacing_path
from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.state import LearnerState
from robonav_ray.records import ReplaySample, TransitionSpec

MAX_BAD_IN_A_ROW = 3
MAX_ROWS_NAMED = 16


class BadBatches:
    """Counts dropped updates, and ends the run with the evidence on disk when there are too many in a row."""

    def __init__(self, spec: TransitionSpec, ranks: OneRank | None = None, directory: Path | None = None) -> None:
        """``directory`` is where the last bad batch is written, one file per rank; None keeps nothing."""
        self._spec, self._ranks, self._directory = spec, ranks or OneRank(), directory
        self.num_bad = 0
        """Updates that were dropped so far."""
        self.in_a_row = 0

    def drop(self, sample: ReplaySample, state: LearnerState, loss: float) -> None:
        """Count an update that was dropped; with several ranks all of them drop the same one.

        Raises:
            FloatingPointError: On every rank, at the third in a row, naming what was not finite and the file that shows
                it.
        """
        self.num_bad += 1
        self.in_a_row += 1
        if self.in_a_row >= MAX_BAD_IN_A_ROW:
            self._give_up(sample, state, loss)

    def _give_up(self, sample: ReplaySample, state: LearnerState, loss: float) -> NoReturn:
        findings = describe(sample, self._spec, state, loss)
        path = self._dump(sample, findings)
        found = self._ranks.gather((summary(findings), path)) or [("", path)]
        said = [text if len(found) == 1 else f"rank {rank}: {text}" for rank, (text, _) in enumerate(found) if text]
        files = [path for _, path in found if path]
        raise FloatingPointError(
            f"{self.in_a_row} updates in a row had a loss or gradient that is not finite (learner step "
            f"{state.learner_step}): {'; '.join(said) or 'see rank 0'}. "
            + (f"The last batch is in {', '.join(files)}. " if files else "")
            + "Lower learner.learning_rate or learner.max_grad_norm, or look for NaN in the observations and rewards"
        )

    def _dump(self, sample: ReplaySample, findings: dict[str, Any]) -> str:
        """Write batch and findings; return the path, or why there is none."""
        if self._directory is None:
            return ""
        path = self._directory / f"bad_batch_rank{self._ranks.rank}.npz"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            arrays = dict(zip(self._spec.names, sample.columns, strict=True))
            with replacing_path(path) as aside:
                np.savez(
                    aside,
                    allow_pickle=False,
                    **arrays,
                    item_id=sample.item_id,
                    probability=sample.probability,
                    importance_weight=sample.importance_weight,
                )
            replace(path.with_suffix(".json"), json.dumps(findings, indent=1))
        except OSError as error:  # the run ends anyway: it must end with its own reason, not with a full disk
            return f"(not written: {error})"
        return str(path)


def describe(sample: ReplaySample, spec: TransitionSpec, state: LearnerState, loss: float) -> dict[str, Any]:
    """Return, as JSON takes it, which columns and weights hold numbers that are not finite, and in which rows."""
    columns = dict(zip(spec.names, sample.columns, strict=True)) | {"importance_weight": sample.importance_weight}
    return {
        "learner_step": state.learner_step,
        "policy_version": state.policy_version,
        "learning_rate": state.optimizer.learning_rate,
        "loss": str(loss),
        "columns": {name: found for name, column in columns.items() if (found := _not_finite(column))},
        "weights": _bad_names((n, p.detach()) for n, p in state.online.named_parameters()),
        "target_weights": _bad_names((n, p.detach()) for n, p in state.target.named_parameters()),
    }


def summary(findings: dict[str, Any]) -> str:
    """Return the findings in one line."""
    columns = [
        f"{name} ({found['num_nan']} NaN, {found['num_inf']} infinite, first in row {found['rows'][0]})"
        for name, found in findings["columns"].items()
    ]
    if columns:
        return "not finite in the batch: " + ", ".join(columns)
    if findings["weights"] or findings["target_weights"]:
        return (
            f"the batch is finite, the weights are not: {', '.join(findings['weights'] + findings['target_weights'])}"
        )
    return f"batch and weights are finite, the loss is {findings['loss']}: values grew too large"


def _not_finite(column: np.ndarray) -> dict[str, Any] | None:
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return None
    bad_rows = np.flatnonzero(~np.isfinite(column).reshape(len(column), -1).all(axis=1))
    return {
        "num_nan": int(np.isnan(column).sum()),
        "num_inf": int(np.isinf(column).sum()),
        "rows": bad_rows[:MAX_ROWS_NAMED].tolist(),
        "num_rows": len(bad_rows),
    }


def _bad_names(tensors: Any) -> list[str]:
    return [name for name, tensor in tensors if not bool(tensor.isfinite().all())]
