"""The curriculum: stages, their gates and their exploration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue

from robonav_ray.config.base import Section
from robonav_ray.config.words import ShownName
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.config.worlds.limits import levels_for, usual_level


class EpsilonConfig(Section):
    """How the stage's epsilon falls from ``start`` to ``end``: with its finished episodes, or with the env steps in
    them.
    """

    start: float = Field(default=1.0, ge=0.0, le=1.0)
    """Epsilon when the stage begins."""
    end: float = Field(default=0.05, ge=0.0, le=1.0)
    """Epsilon never falls below this."""
    schedule: Literal["exponential", "linear"] = "exponential"
    """``exponential``: max(end, start * decay ** episodes). ``linear``: from start to end over ``steps`` (Mnih et al.
    2015)."""
    decay: float = Field(default=0.995, gt=0.0, le=1.0)
    """Factor per finished episode of this stage; for ``exponential``."""
    steps: int | None = Field(default=None, ge=1)
    """Env steps (in finished episodes of this stage, over all worlds) after which ``end`` is reached; for
    ``linear``."""

    @model_validator(mode="after")
    def _end_not_above_start(self) -> EpsilonConfig:
        if self.end > self.start:
            raise ValueError(f"end ({self.end}) must not be above start ({self.start})")
        return self

    @model_validator(mode="after")
    def _schedule_has_what_it_needs(self) -> EpsilonConfig:
        if self.schedule == "linear":
            if self.steps is None:
                raise ValueError("schedule is linear: say over how many env steps with `steps`")
            if self.decay != type(self).model_fields["decay"].default:
                raise ValueError(f"decay ({self.decay:g}) would be ignored, because schedule is linear: leave it out")
        elif self.steps is not None:
            raise ValueError(f"steps ({self.steps}) would be ignored, because schedule is exponential: leave it out")
        return self

    def value(self, num_episodes: int, num_env_steps: int) -> float:
        """Return epsilon after that many finished episodes of the stage, with that many env steps in them."""
        if self.steps is not None:
            return max(self.end, self.start + (self.end - self.start) * min(1.0, num_env_steps / self.steps))
        return max(self.end, self.start * self.decay**num_episodes)


class GateConfig(Section):
    """Criteria over the window; all must hold. None switches a criterion off."""

    min_success_frac: float | None = Field(default=0.7, ge=0.0, le=1.0)
    """Success rate of the window must be at least this. Where it is not written down and ``env.id`` is not our world's:
    None."""
    min_return: float | None = None
    """Mean task return of the window must be above this."""
    max_collision_frac: float | None = Field(default=None, gt=0.0, le=1.0)
    """Collision rate of the window must be below this."""
    min_partner_success_frac: float | None = Field(default=None, ge=0.0, le=1.0)
    """Of a run with a league: part of the newest snapshot's robots that must arrive in held-out worlds of the stage
    beside each scripted member and each of ``league.members``, and among its own kind. The least of these must be at
    least this. It is played when a snapshot is taken and the other criteria hold; see ``league.num_gate_worlds``."""

    @property
    def is_asking(self) -> bool:
        """Whether there is a criterion."""
        asked = (self.min_success_frac, self.min_return, self.max_collision_frac, self.min_partner_success_frac)
        return any(value is not None for value in asked)


class StageConfig(Section):
    """One stage: what the worlds are like, how greedy to act, when it is passed."""

    name: ShownName
    """By which the stage is shown, forced and evaluated."""
    level: LevelConfig = LevelConfig()
    epsilon: EpsilonConfig = EpsilonConfig()
    gate: GateConfig = GateConfig()
    min_episodes: int = Field(default=0, ge=0)
    """Episodes (that count for the gate) before the stage may be passed."""

    @property
    def is_gated(self) -> bool:
        """Whether there is anything to reach for the stage to be passed."""
        return self.min_episodes > 0 or self.gate.is_asking


def _default_stages() -> tuple[StageConfig, ...]:
    return (
        StageConfig(
            name="basic_navigation",
            level=usual_level(num_static=3, num_dynamic=0, num_goals=1),
            epsilon=EpsilonConfig(start=1.0, end=0.3, decay=0.995),
            gate=GateConfig(min_success_frac=0.7, min_return=5.0, max_collision_frac=0.3),
        ),
        StageConfig(
            name="obstacle_avoidance",
            level=usual_level(num_static=0, num_dynamic=5, num_goals=1),
            epsilon=EpsilonConfig(start=0.5, end=0.1, decay=0.995),
            gate=GateConfig(min_success_frac=0.7, min_return=8.0, max_collision_frac=0.2),
        ),
        StageConfig(
            name="multi_goal_planning",
            level=usual_level(num_static=0, num_dynamic=5, num_goals=3),
            epsilon=EpsilonConfig(start=0.3, end=0.05, decay=0.997),
            gate=GateConfig(min_success_frac=0.7, min_return=12.0, max_collision_frac=0.2),
        ),
        StageConfig(
            name="full_challenge",
            level=usual_level(num_static=0, num_dynamic=7, num_goals=4),
            epsilon=EpsilonConfig(start=0.2, end=0.01, decay=0.998),
            gate=GateConfig(min_success_frac=0.6, min_return=15.0, max_collision_frac=0.25),
        ),
    )


def open_stage(min_return: float | None = None) -> StageConfig:
    """Return the one stage of an environment that knows no outcomes: gated on the mean return only, or (None) on
    nothing.
    """
    gate = GateConfig(min_success_frac=None, min_return=min_return, max_collision_frac=None)
    return StageConfig(name="open", gate=gate, epsilon=EpsilonConfig(start=1.0, end=0.05, decay=0.99))


def stage_number(text: str, names: Sequence[str]) -> int:
    """Return the number, from 0, of the stage that is called ``text``, or has that number; ValueError that names the
    stages otherwise.
    """
    word = text.strip()
    if word in names:
        return list(names).index(word)
    if word.isascii() and word.isdigit() and len(word) < 10 and int(word) < len(names):
        return int(word)
    raise ValueError(
        f"there is no stage {text!r}; the stages are {', '.join(f'{i} ({name})' for i, name in enumerate(names))}"
    )


class CurriculumConfig(Section):
    """Stages in order. An environment without outcomes gets one open stage gated on return."""

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {
        key: {"type": "string"} for key in ("start_stage", "force_stage")
    }

    stages: tuple[StageConfig, ...] = Field(default_factory=_default_stages, min_length=1)
    window: int = Field(default=50, ge=1)
    """Episodes over which a gate looks, in the order in which they started; empties at a transition."""
    epsilon_scale: float = Field(default=1.0, ge=0.0, le=1.0)
    """Factor on the epsilon of every stage; 0 for noisy nets, which explore by themselves (Fortunato et al. 2018,
    section 3.3)."""
    gate_ladder_frac: float = Field(default=0.5, gt=0.0, le=1.0)
    """Part of the worlds (the least exploring ones) whose episodes count for the gate."""
    start_stage: int = Field(default=0, ge=0)
    """Stage to begin with, by name or number from 0."""
    force_stage: int | None = Field(default=None, ge=0)
    """Stay in this stage (by name or number from 0) for the whole run; its gate moves nothing on, but when it opens the
    run counts as passed."""
    max_pending: int = Field(default=100_000, ge=1)
    """Finished episodes that may wait for earlier-started ones before the gate stops waiting (a frozen worker)."""

    @field_validator("start_stage", "force_stage", mode="before")
    @classmethod
    def _by_name(cls, value: Any, info: ValidationInfo) -> Any:
        stages: tuple[StageConfig, ...] = info.data.get("stages", ())
        return stage_number(value, [stage.name for stage in stages]) if isinstance(value, str) and stages else value

    @model_validator(mode="after")
    def _stages_exist(self) -> CurriculumConfig:
        names = [s.name for s in self.stages]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"stages: the name {sorted(twice)[0]!r} stands twice; names must differ")
        for key in ("start_stage", "force_stage"):
            value = getattr(self, key)
            if value is not None and value >= len(self.stages):
                raise ValueError(f"{key}: there is no stage {value}; the stages are 0 to {len(self.stages) - 1}")
        if self.force_stage is not None and self.start_stage != 0:
            raise ValueError(
                f"start_stage ({self.start_stage}) would be ignored: with force_stage ({self.force_stage}) the run "
                "stays in that stage; leave one of the two out"
            )
        return self

    def stages_for(self, has_outcomes: bool) -> tuple[StageConfig, ...]:
        """Return the stages that a run uses: an environment without outcomes that was given none gets one open
        stage.
        """
        return self.stages if has_outcomes or self.stages != _default_stages() else (open_stage(),)

    def as_elsewhere(self) -> CurriculumConfig:
        """Return this as it holds on an environment that is not ours: success is asked for only where it was written
        down.
        """
        stages = [
            stage
            if "min_success_frac" in stage.gate.model_fields_set
            else stage.model_copy(update={"gate": stage.gate.model_copy(update={"min_success_frac": None})})
            for stage in self.stages
        ]
        return self.model_copy(update={"stages": tuple(stages)})

    def in_worlds(self, world: WorldConfig) -> CurriculumConfig:
        """Return this as it holds in ``world``: every limit of steps is a number that is given."""
        levels = levels_for(world, tuple(stage.level for stage in self.stages))
        stages = [stage.model_copy(update={"level": level}) for stage, level in zip(self.stages, levels, strict=True)]
        return self.model_copy(update={"stages": tuple(stages)})

    def check_passable(self, goal_reward: float, finish_reward: float) -> None:
        """Raise ValueError for a stage whose gate our worlds can never open.

        An episode is paid at most ``goal_reward`` per goal and ``finish_reward`` when all are reached, and the mean
        must be *above* ``min_return``. Only for our worlds: what another environment can pay is not known.
        """
        for i, stage in enumerate(self.stages):
            most = goal_reward * stage.level.num_goals + finish_reward
            if stage.gate.min_return is not None and stage.gate.min_return >= most:
                raise ValueError(
                    f"curriculum.stages.{i}.gate.min_return: stage {stage.name!r} can never be passed: its mean return "
                    f"would have to be above {stage.gate.min_return:g}, but {stage.level.num_goals} goals pay at most "
                    f"{most:g} ({goal_reward:g} each, {finish_reward:g} for all); lower it or give the stage more goals"
                )
