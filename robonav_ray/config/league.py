"""The league: against whom and beside whom the learning policy plays."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.words import ShownPlace

Scripted = Literal["orca", "social_force", "straight", "stand"]
MIX_KINDS = ("current", "latest", "uniform", "prioritised", "scripted", "verification")
"""Kinds of worlds, in the order in which a draw goes through them."""


class MixConfig(Section):
    """The part of each kind of world; all parts sum to 1. A kind without members goes to ``current``."""

    current: float = Field(default=0.35, ge=0.0, le=1.0)
    """All robots act by the policy that learns."""
    latest: float = Field(default=0.0, ge=0.0, le=1.0)
    """Others act by the newest snapshot."""
    uniform: float = Field(default=0.0, ge=0.0, le=1.0)
    """Others act by any frozen member, each as likely as the next."""
    prioritised: float = Field(default=0.40, ge=0.0, le=1.0)
    """Others act by a frozen member; ``league.prioritise`` says which are more likely."""
    scripted: float = Field(default=0.15, ge=0.0, le=1.0)
    """Others act by a scripted member, chosen as the prioritised ones are."""
    verification: float = Field(default=0.10, ge=0.0, le=1.0)
    """Others act by a frozen member of which few recent results are known: what was once learned is tried again."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> MixConfig:
        parts = {kind: float(getattr(self, kind)) for kind in MIX_KINDS}
        if abs(sum(parts.values()) - 1.0) > 1e-9:
            listed = " + ".join(f"{kind} {part:g}" for kind, part in parts.items() if part)
            raise ValueError(
                f"the parts sum to {sum(parts.values()):g} and must sum to 1 ({listed or 'all are 0'}): raise or lower "
                "some of them; one that is not written down keeps its default"
            )
        return self


class PromotionConfig(Section):
    """When a snapshot takes the place of the best one."""

    num_worlds: int = Field(default=1000, ge=10, le=1_000_000)
    """Worlds that both play, the same ones, in each company (their own kind, the best, and every scripted member and
    member of ``league.members``)."""
    max_p: float = Field(default=0.05, gt=0.0, lt=1.0)
    """Largest p of the paired McNemar test; a company in which the snapshot is worse by the same test forbids it."""
    interval_env_steps: int | None = Field(default=5_000_000, ge=1)
    """Env steps of a run between two challenges: the newest snapshot then plays for the place of the best, in a process
    of its own. What comes of it is taken in half an interval later at the latest (``--local``: just then). None: none
    challenges."""


class LeagueConfig(Section):
    """A population of earlier selves, scripted robots and policies of other runs to learn among."""

    mix: MixConfig = MixConfig()
    prioritise: Literal["partners", "adversaries"] = "partners"
    """How likely a prioritised member is, x being how well the learner does with it: ``partners`` x (1 - x), those of
    which most is learned; ``adversaries`` (1 - x)^2, those that are hardest."""
    floor: float = Field(default=0.1, ge=0.0, le=1.0)
    """Part of the draws within a kind of world that all its members share alike."""
    capacity: int = Field(default=16, ge=2, le=1000)
    """Most snapshots that are kept; scripted members and those of ``league.members`` come on top."""
    snapshot_env_steps: int | None = Field(default=500_000, ge=1)
    """Env steps between two snapshots; None takes none."""
    window: int = Field(default=200, ge=1)
    """Results of a pair that count: with each new one the weight of all older falls by one part in so many."""
    fade: float = Field(default=0.5, ge=0.0, le=1.0)
    """What is left of the weight of the learner's results when a snapshot is taken: it has changed since."""
    scripted: tuple[Scripted, ...] = ("orca", "social_force", "straight")
    """Members that no network drives: ``orca``, ``social_force``, ``straight`` (drives to its goal and does not react),
    ``stand``."""
    members: tuple[ShownPlace, ...] = Field(default=(), max_length=64)
    """Policies of other runs as further members: run directories, or registry names such as ``NAME@champion``."""
    policies_per_worker: int = Field(default=5, ge=1, le=64)
    """Policies that a rollout worker keeps, the learning one included; what was not used for longest is dropped for
    another. One that acts in an episode that is under way stays until it is over, so there can be more."""
    learning_robots: int | None = Field(default=None, ge=1)
    """Robots that learn in a world that is shared, the others being the member's; None draws from 1 to all but one."""
    role: Literal["robot", "obstacle"] = "robot"
    """``obstacle``: robots that learn in shared worlds have no goal, and are paid what the others lose."""
    promotion: PromotionConfig = PromotionConfig()
    num_gate_worlds: int = Field(default=100, ge=10, le=1_000_000)
    """Held-out worlds in which a snapshot plays beside each partner that a gate asks for
    (``curriculum.stages.N.gate.min_partner_success_frac``). What comes of it is taken in half of ``snapshot_env_steps``
    later at the latest (``--local``: just then)."""

    @model_validator(mode="after")
    def _kinds_have_members(self) -> LeagueConfig:
        for key, names in (("scripted", self.scripted), ("members", self.members)):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            if twice:
                raise ValueError(f"{key}: {twice[0]!r} stands twice; name each member once")
        if self.mix.scripted > 0.0 and not self.scripted:
            raise ValueError(
                f"mix.scripted ({self.mix.scripted:g}) has no members, because scripted is empty: name some (orca, "
                "social_force, straight, stand), or set mix.scripted=0 and raise another part"
            )
        return self


def check_partner_gates(curriculum: CurriculumConfig, league: LeagueConfig | None, num_robots: int) -> None:
    """Raise ValueError for a gate that asks for partners where none can ever play; ``num_robots`` are in a world."""
    for i, stage in enumerate(curriculum.stages):
        if stage.gate.min_partner_success_frac is None:
            continue
        key = f"curriculum.stages.{i}.gate.min_partner_success_frac"
        asked = f"{key} ({stage.gate.min_partner_success_frac:g}) asks how a snapshot does beside the league's members"
        remedy = f", or set {key}=null"
        if league is None:
            raise ValueError(f"{asked}, and this run has no league: give it one (league={{}}){remedy}")
        if not league.scripted and not league.members:
            raise ValueError(
                f"{asked}, and of those that always stay there are none: name some in league.scripted (orca, "
                f"social_force, straight, stand) or league.members{remedy}"
            )
        if league.snapshot_env_steps is None:
            raise ValueError(f"{asked}, and league.snapshot_env_steps is null: set it{remedy}")
        if league.role == "obstacle":
            raise ValueError(f"{asked}, and with league.role=obstacle it has no goal to reach: set {key}=null")
        if min(num_robots, stage.level.num_robots or num_robots) < 2:
            raise ValueError(f"{asked}, and stage {stage.name!r} has one robot: give it more{remedy}")
