"""All that the learner is: online and target network, Adam's moments, counters. Saved as safetensors and JSON, bit for
bit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from robonav_ray.algo.networks import make_q_network
from robonav_ray.algo.structure import Structure
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.files.manifest import FileEntry
from robonav_ray.files.plain_files import PlainFileError, open_reading, read_json
from robonav_ray.files.storage import Folder, open_folder, write_file
from robonav_ray.learner.adam import Adam
from robonav_ray.learner.precision import Precision
from robonav_ray.ranges import within
from robonav_ray.records import PolicySnapshot
from robonav_ray.runs.saved_learner import (
    COUNTERS,
    COUNTERS_FILE,
    NETWORKS,
    TENSORS_FILE,
    check_document,
    check_tensors,
    with_defaults,
)


class LearnerState:
    """What a learner takes along when it moves, restarts or resumes."""

    def __init__(
        self,
        obs_dim: int,
        num_actions: int,
        algo: AlgoConfig,
        learner: LearnerConfig,
        seed: int,
        device: torch.device | None = None,
        structure: Structure | None = None,
    ) -> None:
        """Build fresh networks, a function of ``seed`` alone; the target starts as a copy of the online network."""
        self.device = device or torch.device("cpu")
        self.seed = seed
        """Also of what updates draw: a function of it and ``learner_step``, so that no generator has to be saved."""
        self.online = make_q_network(obs_dim, num_actions, algo, seed, structure).to(self.device)
        self.target = make_q_network(obs_dim, num_actions, algo, seed, structure).to(self.device).requires_grad_(False)
        self.optimizer = Adam(self.online.parameters(), learner.learning_rate, learner.adam_eps)
        self.precision = Precision(learner.precision, self.device)
        self.learner_step = 0
        """Gradient steps that changed the weights."""
        self.policy_version = 0
        """Version of the newest published weights; 0 before the first."""
        self.samples = 0
        """Rows used, over all ranks."""
        self.budget_frac = 0.0
        """Part of the run's budget that is used, as the runtime last said; a learning-rate schedule may follow it."""
        self.overrides: dict[str, Any] = {}
        """Hyper-parameters that were changed by command since the start; what a restarted rank must take up again."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor of the state under its name (the tensors themselves, not copies)."""
        out = {f"online.{name}": t for name, t in self.online.state_dict().items()}
        out |= {f"target.{name}": t for name, t in self.target.state_dict().items()}
        names = [name for name, _ in self.online.named_parameters()]
        for key in ("steps", "exp_avg", "exp_avg_sq"):
            out |= {f"adam.{key}.{name}": t for name, t in zip(names, getattr(self.optimizer, key), strict=True)}
        return out

    def fingerprint(self) -> str:
        """Return a hash of every tensor, to the bit; the same on all ranks of a learner that is well."""
        digest = hashlib.sha256()
        for name, tensor in self.tensors().items():
            digest.update(
                name.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            )
        return digest.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the tensors, and the counters."""
        tensors = {name: t.detach().to("cpu", copy=True) for name, t in self.tensors().items()}
        return {
            "tensors": tensors,
            "counters": self.counters(),
            "overrides": dict(self.overrides),
            "precision": self.precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Raises:
            ValueError: When keys, shapes or dtypes differ, or a number is not in its range; nothing is changed then.
        """
        own, found, counters = self.tensors(), state["tensors"], state["counters"]
        with within(f"{COUNTERS_FILE}: "):
            check_document({name: part for name, part in state.items() if name != "tensors"})
        expected_form = {name: (tuple(t.shape), t.dtype) for name, t in own.items()}
        found_form = {name: (tuple(t.shape), t.dtype) for name, t in found.items()}
        if expected_form != found_form:
            names = sorted({name for name, _ in set(expected_form.items()) ^ set(found_form.items())})
            raise ValueError(f"learner state: does not fit the network of this config; look at {', '.join(names[:4])}")
        with within(f"{TENSORS_FILE}: "):
            check_tensors({name: tensor.detach().cpu().numpy() for name, tensor in found.items()})
        self.precision.load_state_dict(state["precision"])
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(found[name])
        for name in COUNTERS:
            setattr(self, name, counters[name])
        self.budget_frac = float(self.budget_frac)
        self.overrides = dict(state["overrides"])

    def counters(self) -> dict[str, float]:
        """Return learner_step, policy_version, samples and budget_frac."""
        return {name: getattr(self, name) for name in COUNTERS}

    def save(self, directory: Path) -> list[FileEntry]:
        """Write the state into ``directory`` (made if missing) and return the files' entries; OSError when that
        fails.
        """
        return write_state(self.state_dict(), open_folder(str(directory)))

    def load(self, directory: Path) -> None:
        """Restore what ``save`` wrote; ValueError naming the file that is missing, damaged or of another network."""
        try:
            document = read_json(directory / COUNTERS_FILE)
            open_reading(directory / TENSORS_FILE).close()
            tensors = load_file(directory / TENSORS_FILE)
        except FileNotFoundError as error:
            raise ValueError(
                f"{error.filename or directory / TENSORS_FILE}: missing; this is not a learner's checkpoint"
            ) from None
        except (PlainFileError, SafetensorError) as error:
            raise ValueError(
                f"{directory}: the learner's files are damaged ({error}); take an older checkpoint"
            ) from None
        document = with_defaults(document)
        if not isinstance(document, dict) or "counters" not in document:
            raise ValueError(
                f"{directory / COUNTERS_FILE}: is missing the learner's counters; take an older checkpoint"
            )
        self.load_state_dict({**document, "tensors": tensors})

    def networks(self) -> dict[str, np.ndarray]:
        """Return copies of the parameters of both networks, by their names in ``tensors``."""
        found = {name: t for name, t in self.tensors().items() if name.startswith(NETWORKS)}
        return {name: t.detach().to("cpu", copy=True).numpy() for name, t in found.items()}

    def snapshot(self) -> PolicySnapshot:
        """Return a copy of the online weights under ``policy_version``."""
        state = self.online.state_dict()
        arrays = tuple(t.detach().to("cpu", torch.float32, copy=True).numpy() for t in state.values())
        return PolicySnapshot(self.policy_version, self.learner_step, tuple(state), arrays)


def write_state(state: dict[str, Any], folder: Folder) -> list[FileEntry]:
    """Write what ``LearnerState.state_dict`` returned into ``folder`` and return the files' entries; OSError when that
    fails.
    """
    tensors = save({name: tensor.contiguous() for name, tensor in state["tensors"].items()})
    document = {name: part for name, part in state.items() if name != "tensors"}
    return [
        write_file(folder, TENSORS_FILE, tensors),
        write_file(folder, COUNTERS_FILE, json.dumps(document, indent=1).encode()),
    ]
