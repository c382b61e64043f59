"""The learner: optimiser, target network, ranks and what they wait for."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section


class LearnerConfig(Section):
    """One DDP rank per ``num_ranks``; batch sizes are global."""

    auto_keys: ClassVar[tuple[str, ...]] = ("batches_per_call",)

    num_ranks: int = Field(default=1, ge=1)
    """DDP ranks (workers of the TorchTrainer)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes a GPU when the cluster has one for every rank."""
    batch_size: int = Field(default=256, ge=1)
    """Rows per gradient step over all ranks; each rank draws its part."""
    batches_per_call: int = Field(default=16, ge=1)
    """Batches that travel together from replay to a rank; over Ray, where it is not set (or ``auto``), about ten calls'
    worth a second."""
    prefetch_calls: int = Field(default=2, ge=1)
    """Calls that may wait, ready, in front of a rank (the bound of that queue)."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Adam's step size; with a schedule, the highest."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate falls after the warm-up (``cosine``: Loshchilov and Hutter 2017, without restarts)."""
    lr_warmup_steps: int = Field(default=0, ge=0)
    """Learner steps over which the learning rate first rises in a straight line (Goyal et al. 2017, section 2.2)."""
    lr_final_frac: float = Field(default=0.1, ge=0.0, le=1.0)
    """Part of ``learning_rate`` that is left at the end of the schedule, and kept from then on."""
    lr_schedule_steps: int | None = Field(default=None, ge=1)
    """Learner steps, warm-up included, at which the schedule ends: exact. None follows the run's budget (what is left
    of ``budget.time_s`` once the curriculum is passed, or ``budget.max_env_steps``, whichever is further), so that a
    run bounded by time decays over just that time, and one on a slow machine keeps its rate until it has passed."""
    adam_eps: float = Field(default=1e-8, gt=0.0)
    """Adam's epsilon."""
    max_grad_norm: float = Field(default=10.0, gt=0.0)
    """Global norm at which gradients are clipped."""
    target_update: Literal["polyak", "hard"] = "polyak"
    """``polyak`` moves the target net by ``target_tau`` every step; ``hard`` copies it every ``target_interval``
    steps."""
    target_tau: float = Field(default=0.01, gt=0.0, le=1.0)
    """Polyak coefficient."""
    target_interval: int = Field(default=250, ge=1)
    """Learner steps between hard copies: ``target_interval * batch_size / replay.samples_per_insert`` env steps."""
    publish_interval: int = Field(default=20, ge=1)
    """Learner steps between two published versions of the weights."""
    report_interval: int = Field(default=50, ge=1)
    """Learner steps between two looks at the mailbox (metrics out, commands in)."""
    max_restarts: int = Field(default=3, ge=0)
    """How often Ray Train may restart the ranks after a failure."""
    precision: Literal["float32", "bf16", "fp16", "auto"] = "float32"
    """Format of matrix products (Micikevicius et al. 2018); weights, gradients and losses stay float32. ``bf16`` on a
    GPU from compute capability 8.0 or a CPU with AVX-512; ``fp16``, with scaled losses, on a GPU only; ``auto`` is bf16
    where the device has instructions of its own for it, else float32."""
    accumulation_steps: int = Field(default=1, ge=1)
    """Pieces in which a rank goes through its part of a batch: the gradient of the whole in the memory of one piece."""
    compile: Literal["off", "default", "reduce-overhead"] = "off"
    """torch.compile of the losses (Ansel et al. 2024); ``reduce-overhead`` also captures them as a CUDA graph, on a
    GPU."""
    torch_threads: int = Field(default=1, ge=1)
    """Intra-op threads of a rank."""

    def check_device(self, device: str) -> None:
        """Refuse what a device of the kind ``cpu`` or ``cuda`` cannot do; ValueError with the alternatives."""
        if device == "cpu" and self.precision == "fp16":
            raise ValueError(
                "learner.precision=fp16 needs a GPU, and the learner computes on a CPU: take learner.precision=bf16 "
                "where the processor has it, or float32"
            )
        if device == "cpu" and self.compile == "reduce-overhead":
            raise ValueError(
                "learner.compile=reduce-overhead captures CUDA graphs, and the learner computes on a CPU: take "
                "learner.compile=default or off"
            )

    @property
    def follows_budget(self) -> bool:
        """Whether the runtime has to tell the learner what part of the budget is used."""
        return self.lr_schedule != "constant" and self.lr_schedule_steps is None

    @model_validator(mode="after")
    def _device_can(self) -> LearnerConfig:
        self.check_device(self.device)
        return self

    @model_validator(mode="after")
    def _schedule_ends_after_its_warmup(self) -> LearnerConfig:
        if self.lr_schedule == "constant" and self.lr_schedule_steps is not None:
            raise ValueError(
                f"learner.lr_schedule_steps ({self.lr_schedule_steps}) would be ignored, because learner.lr_schedule "
                "is constant: leave it out, or take learner.lr_schedule=linear or cosine"
            )
        if self.lr_schedule_steps is not None and self.lr_schedule_steps <= self.lr_warmup_steps:
            raise ValueError(
                f"learner.lr_schedule_steps ({self.lr_schedule_steps}) must be above learner.lr_warmup_steps "
                f"({self.lr_warmup_steps}), which it includes"
            )
        return self
