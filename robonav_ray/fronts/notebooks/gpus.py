"""Which GPU a session was given, and what that means for a training."""

from __future__ import annotations

from dataclasses import dataclass

from robonav_ray.fronts.device_manager import DeviceManager

KINDS = {
    "T4": "2018, 16 GB: the free one of Colab and Kaggle; `learner.precision=fp16` is the half precision that it has",
    "P100": "2016, 16 GB: Kaggle's single one; it has no fast half precision",
    "V100": "2017, 16 GB: `learner.precision=fp16` is the half precision that it has",
    "L4": "2023, 24 GB: has bf16, which `learner.precision=auto` takes",
    "A100": "2020, 40 or 80 GB: has bf16, which `learner.precision=auto` takes",
    "H100": "2022, 80 GB: has bf16, which `learner.precision=auto` takes",
}
"""Of the kinds that notebooks are given: the year, the memory, and which precision fits."""


@dataclass(frozen=True)
class FoundGpu:
    """The first GPU of a session; ``kind`` is None where there is none, or one of another kind."""

    name: str
    kind: str | None
    memory_gib: float
    count: int

    def _repr_markdown_(self) -> str:
        if self.count == 0:
            return (
                "**No GPU**: the training runs on the processor, which is enough for networks of this size. "
                "To have one: *Runtime, Change runtime type* (Colab) or *Session options, Accelerator* (Kaggle)."
            )
        several = f"{self.count} x " if self.count > 1 else ""
        told = KINDS.get(self.kind or "", "none of those that notebooks are usually given; it is used as it is")
        return f"**{several}{self.name}**, {self.memory_gib:.0f} GiB. {told}."


def find_gpu() -> FoundGpu:
    """Return the GPU of this session."""
    gpus = [info for info in DeviceManager.device_info() if info.device != "cpu"]
    if not gpus:
        return FoundGpu("none", None, 0.0, 0)
    first = gpus[0]
    return FoundGpu(first.name, kind_of(first.name), first.memory_total_bytes / 2**30, len(gpus))


def kind_of(name: str) -> str | None:
    """Return which of ``KINDS`` a GPU of this name is: ``Tesla T4`` is a T4, ``NVIDIA A100-SXM4-40GB`` an A100."""
    words = name.replace("-", " ").split()
    return next((kind for kind in KINDS if kind in words), None)
