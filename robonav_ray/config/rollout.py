"""Rollout workers: how many worlds, how greedy, what they ship."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from robonav_ray.config.base import Section


class RolloutConfig(Section):
    """Worlds are numbered globally; how many workers share them does not change what happens in them."""

    auto_keys: ClassVar[tuple[str, ...]] = ("steps_per_fragment",)

    num_worlds: int = Field(default=64, ge=1)
    """Worlds (environments) over all workers."""
    num_workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Ray actors; ``auto`` takes what the cluster has left beside ranks and shards."""
    steps_per_fragment: int = Field(default=32, ge=1)
    """Vector steps between two shipments; over Ray, where it is not set (or ``auto``), as many as make some ten
    shipments a second."""
    max_in_flight: int = Field(default=1, ge=1)
    """Fragments of one worker that may be under way to the replay (the bound of that queue): as many are lost with a
    worker that dies."""
    ladder_exponent: float = Field(default=7.0, ge=0.0)
    """alpha of the Ape-X ladder: world i of N acts with epsilon ** (1 + alpha * i / (N - 1)) (Horgan et al. 2018, eq.
    1)."""
    max_restarts: int = Field(default=1000, ge=0)
    """How many dead workers are replaced in a session before it gives up. One that dies several times in a row without
    having delivered anything ends the session at once."""
    spares: bool = True
    """Whether a spare process waits on every node with workers, so that one that dies goes on at once instead of after
    the start of a process (some seconds). A spare costs memory (some 200 MB) and two seconds of a core when it
    starts."""
