"""The learner's parts (precision, accumulation, ranks, checkpoints) around a model and an optimiser of the user's
own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch import distributed as dist

from robonav_ray.errors import UserError
from robonav_ray.fronts.trainer_processes import Strategy, chosen_strategy, join_torchrun, precision_name, wrapped
from robonav_ray.fronts.user_batch import called, parts_of
from robonav_ray.learner.accumulation import averaged, begin_gradients
from robonav_ray.learner.bad_batches import MAX_BAD_IN_A_ROW
from robonav_ray.learner.compilation import check_compile, compiled
from robonav_ray.learner.devices import named_device, pick_device
from robonav_ray.learner.parallel import has_process_group, with_sync_batch_norm
from robonav_ray.learner.precision import Precision, check_precision
from robonav_ray.learner.randomness import check_rng_state, rng_state, seed_rank, set_rng_state
from robonav_ray.learner.ranks import OneRank, ProcessGroupRanks
from robonav_ray.learner.tensor_tree import to_device, to_float32
from robonav_ray.learner.tree_file import load_tree, save_tree
from robonav_ray.ranges import MAX_COUNT, check_numbers, count
from robonav_ray.runs.saved_learner import LOSS_SCALE

CHECKPOINT_VERSION = 1


class DistributedTrainer:
    """Trains any model on the devices that are there: one process, one or several GPUs, ranks under torchrun or in Ray
    Train workers.

    Every rank makes the same calls in the same order. A batch is ``(inputs, targets)``, ``{"inputs": ..., "targets":
    ...}`` or an object with these two fields; inputs are a tensor, a tuple (the model's arguments), a mapping (its
    keywords), or a list, a dataclass or a named tuple that the model takes as it is. All that holds tensors may hold
    others, to any depth. Each rank brings its own rows.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        use_amp: bool = False,
        gradient_accumulation_steps: int = 1,
        device: torch.device | str | None = None,
        strategy: Strategy = "auto",
        amp_dtype: Literal["auto", "bf16", "fp16"] = "auto",
        max_grad_norm: float | None = None,
        sync_batch_norm: bool = False,
        compile: Literal["off", "default", "reduce-overhead"] = "off",
        find_unused_parameters: bool = False,
    ) -> None:
        """Take the model over: it is moved to the device, and with several ranks it gets rank 0's weights.

        Args:
            model: What is trained; its parameters stay the same objects, so an optimiser may be made before or after.
            use_amp: Mixed precision: bf16 where the device has it, else on a GPU fp16 with a GradScaler; on a CPU that
                has neither, float32, with a warning (``amp_dtype`` chooses, and is refused where it cannot be had).
            gradient_accumulation_steps: Calls of ``training_step`` that make one step of the optimiser.
            device: None takes this rank's GPU, or the CPU where there is none.
            strategy: ``ddp`` averages gradients over the ranks of the process group, ``dp`` shares every batch out over
                the GPUs of this process, ``none`` does neither; ``auto`` takes the first of them that there is.
            amp_dtype: Format with ``use_amp``.
            max_grad_norm: Norm at which gradients are clipped; None never.
            sync_batch_norm: BatchNorm over all ranks; needs ranks with a GPU each.
            compile: As ``learner.compile``.
            find_unused_parameters: For models that do not use every parameter in every pass, with ``ddp``.

        Raises:
            UserError: When something is asked for that the device or the processes cannot do, with the alternatives.
        """
        if gradient_accumulation_steps < 1:
            raise UserError(f"gradient_accumulation_steps ({gradient_accumulation_steps}) must be at least 1")
        if max_grad_norm is not None and not max_grad_norm > 0.0:
            raise UserError(f"max_grad_norm ({max_grad_norm}) must be above 0; None does not clip")
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        """Rank among the processes of this machine; chooses the GPU."""
        self.device = pick_device("auto", self.local_rank) if device is None else named_device(device)
        name = precision_name(use_amp, amp_dtype, self.device)
        check_precision(name, self.device, "amp_dtype" if amp_dtype != "auto" else "use_amp")
        check_compile(compile, self.device, "compile")
        self._owns_group = join_torchrun(self.device)
        strategy = chosen_strategy(strategy, self.device)
        self._ranks = ProcessGroupRanks() if has_process_group() else OneRank()
        if sync_batch_norm:
            model = with_sync_batch_norm(model, self.device)
        self.module = model.to(self.device)
        """The model itself."""
        self.model = wrapped(self.module, self.device, strategy, find_unused_parameters)
        """What is called: the model, perhaps wrapped."""
        self.strategy = strategy
        self.gradient_accumulation_steps, self.max_grad_norm = gradient_accumulation_steps, max_grad_norm
        self._call = compiled(self.model, compile)
        self._must_mark = compile == "reduce-overhead"
        self._precision = Precision(name, self.device)
        self._pending = 0
        self._optimizer: torch.optim.Optimizer | None = None
        self._loss_is_finite = True
        self._grad_norm = 0.0
        self.num_steps = 0
        """Steps that the optimiser made."""
        self.num_skipped = 0
        """Steps that it did not make because a loss or gradient was not finite."""
        self._bad_in_a_row = 0

    @property
    def world_size(self) -> int:
        """Ranks in all; 1 without a process group."""
        return self._ranks.world_size

    @property
    def rank(self) -> int:
        """Number of this rank, from 0."""
        return self._ranks.rank

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, which writes and prints."""
        return self._ranks.rank == 0

    @property
    def precision(self) -> str:
        """``float32``, ``bf16`` or ``fp16``."""
        return self._precision.name

    def training_step(
        self, batch: Any, optimizer: torch.optim.Optimizer, criterion: Callable[[Any, Any], Tensor], step: int
    ) -> dict[str, float]:
        """Add the gradients of one batch, and let the optimiser move at every ``gradient_accumulation_steps``-th call.

        Args:
            batch: This rank's rows; see the class.
            optimizer: Of all or some of the model's parameters, the same for all calls that make one step. The
                gradients of the others are dropped with its own, and neither clipped nor looked at.
            criterion: (outputs, targets) -> loss, a scalar or one per row; outputs are float32 in any precision.
            step: Number of this call from 0, going on over epochs: the optimiser moves when step + 1 is a multiple.

        Returns:
            Means over ranks: ``loss``, ``grad_norm`` (of the newest step, before clipping), ``learning_rate``,
            ``optimizer_step`` (1 when it moved), ``skipped`` (1 when it should have and did not, because something was
            not finite), ``loss_scale``.

        Raises:
            FloatingPointError: After three steps in a row that had to be skipped for another reason than the scale of
                fp16; with ``ddp`` on every rank.
            ValueError: When the batch is none of those that the class describes, or the optimiser changes within a
                step.
        """
        inputs, targets = (to_device(part, self.device) for part in parts_of(batch))
        is_last = (step + 1) % self.gradient_accumulation_steps == 0
        self._begin(optimizer)
        if self._must_mark:
            torch.compiler.cudagraph_mark_step_begin()
        with averaged(self.model, is_last):
            with self._precision.autocast():
                outputs = called(self._call, inputs, self.module)
            loss = criterion(to_float32(outputs), targets).mean()
            value = loss.detach()
            # An infinite loss may have a finite gradient; inf - inf makes it NaN, on every rank.
            self._precision.backward(loss * (1.0 / self.gradient_accumulation_steps + (value - value)))
        self._pending += 1
        self._loss_is_finite &= math.isfinite(value.item())
        moved = skipped = 0.0
        if is_last:
            moved = float(self._step(optimizer))
            skipped = 1.0 - moved
        return self.all_reduce_metrics(
            {
                "loss": value.item(),
                "grad_norm": self._grad_norm,
                "learning_rate": float(optimizer.param_groups[0]["lr"]),
                "optimizer_step": moved,
                "skipped": skipped,
                "loss_scale": self._precision.loss_scale,
            }
        )

    def clip(self, max_norm: float | None = None, optimizer: torch.optim.Optimizer | None = None) -> float:
        """Scale the gradients down to ``max_norm`` together (None: leave them) and return the norm that they had.

        Those of ``optimizer``'s parameters, or of all the model's.
        """
        parameters = self.module.parameters() if optimizer is None else _optimized(optimizer)
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if max_norm is None else max_norm)
        return float(norm)

    def all_reduce_metrics(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the mean over ranks of each number; every rank must give the same names. A collective."""
        names = sorted(metrics)
        return dict(zip(names, self._ranks.mean([float(metrics[name]) for name in names]), strict=True))

    def barrier(self) -> None:
        """Wait for every rank."""
        self._ranks.barrier()

    def save_checkpoint(
        self, path: str | Path, epoch: int, optimizer: torch.optim.Optimizer, scheduler: Any = None
    ) -> None:
        """Write everything that training needs to go on into one file. Every rank calls it; only the main process
        writes.

        Model, optimiser, scheduler, loss scale, counters, and every rank's random numbers. Batches accumulated since
        the optimiser last moved are not in it.

        Raises:
            ValueError: On every rank, when a state cannot be saved without pickle.
            OSError: On every rank, when the file cannot be written.
        """
        rng = self._ranks.gather(rng_state(self.device))
        problem: tuple[str, str] | None = None
        if rng is not None:
            tree = {
                "version": CHECKPOINT_VERSION,
                "epoch": epoch,
                "model": dict(self.module.state_dict()),
                "optimizer": optimizer.state_dict(),
                "scheduler": None if scheduler is None else scheduler.state_dict(),
                "precision": self._precision.state_dict(),
                "counters": {"num_steps": self.num_steps, "num_skipped": self.num_skipped},
                "rng": rng,
            }
            try:
                save_tree(Path(path), tree)
            except (ValueError, OSError) as error:
                problem = ("user" if isinstance(error, ValueError) else "disk", str(error))
        _raise(self._ranks.broadcast(problem))

    def load_checkpoint(
        self, path: str | Path, optimizer: torch.optim.Optimizer | None = None, scheduler: Any = None
    ) -> int:
        """Go on from what ``save_checkpoint`` wrote and return its epoch. Every rank calls it; only the main process
        reads.

        A rank takes up the random numbers of the rank of the same number. Where there are more ranks than were saved,
        the new ones begin with numbers derived from the steps made and their rank; where there are fewer, the rest is
        left. All else is the same for all.

        Raises:
            ValueError: On every rank, when the file is missing, damaged, or of another model or optimiser; nothing is
                changed then.
        """
        tree, problem = None, None
        if self.is_main_process:
            try:
                tree = _checked(load_tree(Path(path)), path, scheduler is not None)
            except ValueError as error:
                problem = ("user", str(error))
        tree, problem = self._ranks.broadcast((tree, problem))
        _raise(problem)
        before = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        try:
            self.module.load_state_dict(tree["model"])
            if optimizer is not None:
                optimizer.load_state_dict(tree["optimizer"])
        except (RuntimeError, ValueError) as error:  # torch's own words say which weights differ
            self.module.load_state_dict(before)
            raise ValueError(f"{path}: is of another model or optimizer: {error}") from None
        if scheduler is not None:
            scheduler.load_state_dict(tree["scheduler"])
        self._precision.load_state_dict(tree["precision"])
        self.num_steps, self.num_skipped = tree["counters"]["num_steps"], tree["counters"]["num_skipped"]
        self._pending = 0
        if self.rank < len(tree["rng"]):
            set_rng_state(tree["rng"][self.rank], self.device)
        else:
            seed_rank(self.num_steps, self.rank)
        return int(tree["epoch"])

    def close(self) -> None:
        """Leave the process group that this trainer joined, if it did; a second call does nothing."""
        if self._owns_group:
            self._owns_group = False
            dist.destroy_process_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Drop all gradients in front of the first of the calls that make one step: the model's, and those of what else
        is optimised.
        """
        if self._pending:
            if optimizer is not self._optimizer:
                raise ValueError(
                    f"the optimizer changed after {self._pending} of the {self.gradient_accumulation_steps} calls that "
                    "make one step: give all of them the same"
                )
            return
        self._optimizer = optimizer
        in_place = self._must_mark and self.gradient_accumulation_steps > 1
        begin_gradients({*self.module.parameters(), *_optimized(optimizer)}, in_place=in_place)
        self._loss_is_finite = True

    def _step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Clip and move; False when the gradients are not finite: with ``ddp`` the same on every rank, because they are
        averaged.
        """
        self._pending = 0
        self._precision.unscale(optimizer)
        self._grad_norm = self.clip(self.max_grad_norm, optimizer)
        if math.isfinite(self._grad_norm):
            self._precision.step(optimizer)
            self.num_steps += 1
            self._bad_in_a_row = 0
            return True
        self.num_skipped += 1
        bad = float(not self._loss_is_finite)
        # all ranks are here, and must call it the same; without shared gradients each decides alone
        if self.strategy == "ddp":
            (bad,) = self._ranks.mean([bad])
        if not self._precision.skip(bad == 0.0):
            self._bad_in_a_row += 1
        if self._bad_in_a_row >= MAX_BAD_IN_A_ROW:
            raise FloatingPointError(
                f"{self._bad_in_a_row} steps in a row had a loss or gradient that is not finite (after "
                f"{self.num_steps} good ones); weights are as before: lower the learning rate or max_grad_norm, or "
                "look for NaN in the batches"
            )
        return False


def _optimized(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters that it moves."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _checked(tree: Any, path: str | Path, wants_scheduler: bool) -> dict[str, Any]:
    if not isinstance(tree, dict) or tree.get("version") != CHECKPOINT_VERSION:
        raise ValueError(f"{path}: is no checkpoint of a DistributedTrainer of this version ({CHECKPOINT_VERSION})")
    try:
        if wants_scheduler and tree["scheduler"] is None:
            raise ValueError("was saved without a scheduler; load it without one")
        check_numbers("counters", tree["counters"], {"num_steps": count(), "num_skipped": count()})
        count(low=-MAX_COUNT).check("epoch", tree["epoch"])
        if tree["precision"]:
            check_numbers("precision", tree["precision"], LOSS_SCALE)
        for state in tree["rng"]:
            check_rng_state(state)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    return tree


def _raise(problem: tuple[str, str] | None) -> None:
    if problem is not None:
        raise ValueError(problem[1]) if problem[0] == "user" else OSError(problem[1])
