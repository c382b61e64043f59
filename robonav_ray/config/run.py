"""The whole of a run's config, and the checks that cross rooms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import Field, model_validator

from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.base import Section
from robonav_ray.config.curriculum import CurriculumConfig, StageConfig, stage_number
from robonav_ray.config.evaluation import EvaluationConfig
from robonav_ray.config.hindsight import HindsightConfig
from robonav_ray.config.league import LeagueConfig, check_partner_gates
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.config.preset import load_elsewhere, load_preset, merged, preset_names
from robonav_ray.config.replay import ReplayConfig
from robonav_ray.config.rollout import RolloutConfig
from robonav_ray.config.runtime import BudgetConfig, CheckpointConfig, RuntimeConfig
from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.config.words import FolderPath
from robonav_ray.config.worlds import NATIVE_ENV_ID, EnvConfig, LidarConfig


def _name_the_presets(schema: dict[str, Any]) -> None:
    """Say in the JSON schema which presets there are."""
    schema["anyOf"] = [{"enum": [*preset_names(), None]}]


class RunConfig(Section):
    """Every knob of one training run."""

    preset: str | None = Field(default=None, json_schema_extra=_name_the_presets)
    """Shipped settings that lie under the others (docs/algorithms.md); None takes the defaults."""
    name: str = Field(default="curriculum", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """Run directories are ``output_dir/NAME-TIMESTAMP``."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """All randomness is derived from (seed, role, index)."""
    output_dir: FolderPath = "runs"
    """Where run directories are made."""
    env: EnvConfig = EnvConfig()
    algo: AlgoConfig = AlgoConfig()
    rollout: RolloutConfig = RolloutConfig()
    hindsight: HindsightConfig = HindsightConfig()
    replay: ReplayConfig = ReplayConfig()
    learner: LearnerConfig = LearnerConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    league: LeagueConfig | None = None
    """Null is off; ``{}`` is on with its defaults, in worlds of several robots."""
    budget: BudgetConfig = BudgetConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="before")
    @classmethod
    def _preset_lies_under(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = cast("Mapping[str, Any]", data)
        name, elsewhere = given.get("preset"), not names_ours(given.get("env"))
        if isinstance(name, str):
            preset = load_preset(name)
            if elsewhere and "env" in preset:
                raise ValueError(
                    f"preset: {name} is for robonav's own worlds, whose sensor and stages it sets: take "
                    "preset=navigation here, or leave env.id out"
                )
            given = merged(merged(preset, load_elsewhere(name)) if elsewhere else preset, given)
        return _with_stage_numbers(_with_support(given) if elsewhere else given, elsewhere)

    @model_validator(mode="after")
    def _asks_elsewhere_for_what_was_written(self) -> RunConfig:
        if not self.env.is_native:  # resolved here, so that a dump says what holds and is read as such
            object.__setattr__(self, "curriculum", self.curriculum.as_elsewhere())
        return self

    @model_validator(mode="after")
    def _limits_follow(self) -> RunConfig:
        if self.env.is_native:  # resolved here, as above
            object.__setattr__(self, "curriculum", self.curriculum.in_worlds(self.env.world))
        return self

    @model_validator(mode="after")
    def _explores_once(self) -> RunConfig:
        epsilons = [stage.epsilon.start for stage in self.curriculum.stages_for(self.env.is_native)]
        if self.algo.noisy and self.curriculum.epsilon_scale * max(epsilons) > 0.0:
            raise ValueError(
                f"algo.noisy explores by itself, and a stage begins with epsilon {max(epsilons):g}: set "
                "curriculum.epsilon_scale=0 (as preset=rainbow does), or algo.noisy=false"
            )
        if self.curriculum.epsilon_scale == 0.0 and not self.algo.noisy:
            raise ValueError(
                "curriculum.epsilon_scale (0) leaves nothing that explores, because algo.noisy is false: set "
                "algo.noisy=true, or curriculum.epsilon_scale=1"
            )
        return self

    @model_validator(mode="after")
    def _encoder_fits_the_observation(self) -> RunConfig:
        if self.algo.looks_at_a_set:
            _check_set(self.algo.encoder, self.env)
        elif self.algo.encoder == "lidar_conv":
            _check_ring(self.algo, self.env)
        return self

    @model_validator(mode="after")
    def _league_has_company(self) -> RunConfig:
        if self.league is not None and not self.env.is_native:
            raise ValueError(
                f"league: needs worlds of ours, in which robots meet, and env.id is {self.env.id}: leave league out, "
                "or drive a loop of your own with robonav_ray.SelfPlayLeague"
            )
        if self.league is not None and self.env.world.num_robots < 2:
            raise ValueError(
                "league: needs worlds of several robots, and env.world.num_robots is 1: set env.world.num_robots=4, or "
                "leave league out"
            )
        if self.league is not None and self.league.role == "obstacle" and self.hindsight.strategy != "none":
            raise ValueError(
                f"league.role: an obstacle has no goal that hindsight.strategy ({self.hindsight.strategy}) could put "
                "another in the place of: set hindsight.strategy=none"
            )
        alone = None if self.league is None else self.league.learning_robots
        if alone is not None and alone >= self.env.world.num_robots:
            raise ValueError(
                f"league.learning_robots ({alone}) leaves no robot for a member: env.world.num_robots is "
                f"{self.env.world.num_robots}"
            )
        return self

    @model_validator(mode="after")
    def _gates_have_partners(self) -> RunConfig:
        check_partner_gates(self.curriculum, self.league, self.env.world.num_robots)
        return self

    @model_validator(mode="after")
    def _across_rooms(self) -> RunConfig:
        if self.learner.batch_size % self.learner.num_ranks:  # the next check too would refuse it, less plainly
            raise ValueError(
                f"learner.batch_size ({self.learner.batch_size}) must be a multiple of learner.num_ranks "
                f"({self.learner.num_ranks})"
            )
        if self.learner.batch_size % (self.learner.num_ranks * self.learner.accumulation_steps):
            raise ValueError(
                f"learner.batch_size ({self.learner.batch_size}) must be a multiple of learner.num_ranks x "
                f"learner.accumulation_steps ({self.learner.num_ranks} x {self.learner.accumulation_steps})"
            )
        if self.replay.capacity < self.replay.num_shards:
            raise ValueError(
                f"replay.capacity ({self.replay.capacity}) must be at least replay.num_shards "
                f"({self.replay.num_shards})"
            )
        if self.replay.min_size > self.replay.capacity:
            raise ValueError(
                f"replay.min_size ({self.replay.min_size}) must not be above replay.capacity ({self.replay.capacity}): "
                "learning would never begin"
            )
        if self.replay.min_size < self.learner.batch_size:
            raise ValueError(
                f"replay.min_size ({self.replay.min_size}) must be at least learner.batch_size "
                f"({self.learner.batch_size})"
            )
        if self.evaluation.seed == self.seed:
            raise ValueError(
                f"evaluation.seed ({self.evaluation.seed}) must differ from seed, or the worlds would not be held out"
            )
        no_end = self.budget.needed_s == 0.0 and self.budget.max_env_steps is None and self.budget.env_steps is None
        if self.learner.follows_budget and no_end:
            raise ValueError(
                f"learner.lr_schedule={self.learner.lr_schedule} has no end to run towards: set "
                "learner.lr_schedule_steps, budget.time_s or budget.max_env_steps, or budget.env_steps"
            )
        if self.env.is_native:
            self.curriculum.check_passable(self.env.world.reward.goal, self.env.world.reward.finish)
            self._check_hindsight_in_our_worlds()
        return self

    def sections_in_use(self) -> dict[str, Any]:
        """Return all sections as plain data, with the stages that the run really uses."""
        sections = self.model_dump(mode="json")
        stages = self.curriculum.stages_for(self.env.is_native)
        sections["curriculum"]["stages"] = [stage.model_dump(mode="json") for stage in stages]
        return sections

    def _check_hindsight_in_our_worlds(self) -> None:
        """Refuse hindsight where what another goal would have shown and paid cannot be told."""
        on, world = f"hindsight.strategy={self.hindsight.strategy}", self.env.world
        if self.hindsight.strategy == "none":
            return
        if world.reward.mode != "sparse":
            raise ValueError(
                f"{on} needs rewards that can be computed anew for another goal: set env.world.reward.mode=sparse"
            )
        if world.observation != "lidar":
            raise ValueError(f"{on} exchanges goals in lidar observations only: set env.world.observation=lidar")
        for i, stage in enumerate(self.curriculum.stages):
            for name in ("odometry_noise", "odometry_drift", "observation_latency"):
                if getattr(stage.level.randomization, name):
                    raise ValueError(
                        f"curriculum.stages.{i}.level.randomization.{name}: {on} computes the features of other goals "
                        "from the true pose of now; set it to 0, or hindsight.strategy=none"
                    )

    @model_validator(mode="after")
    def _stages_exist(self) -> RunConfig:
        names = [stage.name for stage in self.curriculum.stages_for(self.env.is_native)]
        keys = {
            "curriculum.start_stage": (self.curriculum.start_stage,),
            "curriculum.force_stage": () if self.curriculum.force_stage is None else (self.curriculum.force_stage,),
            "evaluation.levels": self.evaluation.levels or (),
        }
        for key, stages in keys.items():
            for stage in stages:
                if stage >= len(names):
                    known = f"the stages are {', '.join(f'{i} ({name})' for i, name in enumerate(names))}"
                    if not self.env.is_native and names == ["open"]:
                        known = (
                            f"{self.env.id} has no stages of its own, so there is the one open stage 0; give it "
                            "curriculum.stages"
                        )
                    raise ValueError(f"{key}: there is no stage {stage}; {known}")
        return self

    @model_validator(mode="after")
    def _nothing_ignored(self) -> RunConfig:
        """Refuse a setting that another one switches off; one that stands at its default, as in a resolved config, is
        fine.
        """
        for holds, why, section, keys in (
            (
                self.learner.target_update == "polyak",
                "learner.target_update is polyak",
                "learner",
                ("target_interval",),
            ),
            (self.learner.target_update == "hard", "learner.target_update is hard", "learner", ("target_tau",)),
            (self.learner.lr_schedule == "constant", "learner.lr_schedule is constant", "learner", ("lr_final_frac",)),
            (
                self.hindsight.strategy == "none",
                "hindsight.strategy is none",
                "hindsight",
                ("num_goals", "max_segment"),
            ),
            (self.hindsight.strategy == "final", "hindsight.strategy is final", "hindsight", ("num_goals",)),
            (self.replay.sampler == "uniform", "replay.sampler is uniform", "replay", _PRIORITY_KEYS),
            (self.replay.sampler == "rank", "replay.sampler is rank", "replay", ("priority_epsilon",)),
            (
                self.evaluation.interval_s is None,
                "evaluation.interval_s is null",
                "evaluation",
                ("judged_episodes", "patience", "target_success"),
            ),
            (self.evaluation.interval_s is None, "evaluation.interval_s is null", "checkpoint", ("keep_best",)),
            (
                self.checkpoint.interval_episodes is None,
                "checkpoint.interval_episodes is null",
                "checkpoint",
                ("keep_numbered",),
            ),
            (self.runtime.address is not None, "runtime.address names a running cluster", "runtime", _OWN_CLUSTER_KEYS),
        ):
            values: Section = getattr(self, section)
            for key in keys if holds else ():
                value: object = getattr(values, key)
                default: object = type(values).model_fields[key].default
                if value != default:
                    raise ValueError(
                        f"{section}.{key} ({value}) would be ignored, because {why}: leave it out (or at its default, "
                        f"{default})"
                    )
        shown = self.env.world.observation
        if shown != "lidar" and self.env.world.lidar != LidarConfig():
            raise ValueError(
                f"env.world.lidar would be ignored, because env.world.observation is {shown}: leave its keys out, or "
                "set env.world.observation=lidar"
            )
        return self


def names_ours(env: Any) -> bool:
    """Whether a section ``env``, not checked yet, leaves the environment ours."""
    if isinstance(env, EnvConfig):
        return env.is_native
    return not isinstance(env, Mapping) or cast("Mapping[str, Any]", env).get("id", NATIVE_ENV_ID) == NATIVE_ENV_ID


def _with_support(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the sections with the bounds that c51 is not given: what a reward of -1 and 1 in every step is worth.

    Ten of our scaled rewards, the defaults, are what our worlds pay; what another environment pays is known when it is
    seen, and then ``SupportWatch`` says what does not fit.
    """
    algo: Any = given.get("algo")
    if not isinstance(algo, Mapping) or cast("Mapping[str, Any]", algo).get("distribution") != "c51":
        return given
    section = cast("Mapping[str, Any]", algo)
    fields = AlgoConfig.model_fields
    scale, gamma = (section.get(key, fields[key].default) for key in ("reward_scale", "gamma"))
    if not all(isinstance(value, int | float) for value in (scale, gamma)) or not (
        0.0 < gamma < 1.0 and 0.0 < scale < math.inf
    ):
        return given  # refused with its name when it is checked
    bound = float(f"{scale / (1.0 - gamma):.6g}")
    return {**given, "algo": {"v_min": -bound, "v_max": bound, **section}}


_PRIORITY_KEYS = (
    "initial_priority",
    "priority_exponent",
    "priority_epsilon",
    "importance_exponent",
    "importance_exponent_final",
    "importance_anneal_steps",
)
_OWN_CLUSTER_KEYS = ("num_cpus", "object_store_bytes", "dashboard")


def _with_stage_numbers(given: Mapping[str, Any], elsewhere: bool) -> Mapping[str, Any]:
    """Return ``given`` with the numbers of the stages that it names."""
    found: dict[str, dict[str, Any]] = {}
    for key in ("curriculum", "evaluation"):
        if isinstance(section := given.get(key), Mapping):
            found[key] = dict(cast("Mapping[str, Any]", section))
    own: Any = found.get("curriculum", {}).get("stages")
    if isinstance(own, list | tuple):
        names = [_name_of(stage) for stage in cast("Sequence[Any]", own)]
    else:
        names = ["open"] if elsewhere else [stage.name for stage in CurriculumConfig().stages]
    for section, key in (("curriculum", "start_stage"), ("curriculum", "force_stage"), ("evaluation", "levels")):
        value: Any = found.get(section, {}).get(key)
        items = list(cast("Any", value)) if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, str) for item in items):
            try:
                numbers = [stage_number(item, names) if isinstance(item, str) else item for item in items]
            except ValueError as error:
                raise ValueError(f"{section}.{key}: {error}") from None
            found[section][key] = numbers if key == "levels" else numbers[0]
    return {**given, **found}


def _name_of(stage: Any) -> str:
    if isinstance(stage, StageConfig):
        return stage.name
    return str(cast("Mapping[str, Any]", stage).get("name")) if isinstance(stage, Mapping) else ""


def _check_ring(algo: AlgoConfig, env: EnvConfig) -> None:
    """ValueError when there is no ring that the convolutions fit."""
    world = env.world
    if not env.has_lidar_ring:
        what = "an environment without a lidar" if not env.is_native else f"env.world.observation={world.observation}"
        if env.is_native and world.observation == "lidar":
            what = f"env.world.lidar.field_of_view_rad={world.lidar.field_of_view_rad:.4g}"
        raise ValueError(
            f"algo.encoder=lidar_conv goes around a lidar that looks all around (2 pi), and this is {what}: set "
            "algo.encoder=mlp"
        )
    lengths = algo.ring_lengths(world.lidar.num_beams)
    if algo.conv_kernel // 2 > min(lengths[:-1]):
        raise ValueError(
            f"algo.conv_kernel ({algo.conv_kernel}) is wider than the circle of {min(lengths[:-1])} places "
            f"that a convolution sees (env.world.lidar.num_beams={world.lidar.num_beams}): take a smaller kernel "
            "or algo.conv_stride, or more beams"
        )


def _check_set(encoder: str, env: EnvConfig) -> None:
    """ValueError when observations list no neighbours."""
    if env.has_neighbor_set:
        return
    if not env.is_native:
        raise ValueError(
            f"algo.encoder={encoder} looks at a set of neighbours, and env.id={env.id!r} is not one of our worlds: set "
            "algo.encoder=mlp"
        )
    raise ValueError(
        f"algo.encoder={encoder} looks at a set of neighbours, and env.world.observation={env.world.observation} lists "
        "none: set env.world.observation=neighbors (or state), or algo.encoder=mlp or lidar_conv"
    )
