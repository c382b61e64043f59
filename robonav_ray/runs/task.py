"""The task that a config names: its levels, and the shapes that every room is built for."""

from __future__ import annotations

import json
from dataclasses import dataclass

import gymnasium

from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.structure import Structure, encoded, structure_of
from robonav_ray.config import RunConfig
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.curriculum import open_stage
from robonav_ray.config.evaluation import MAX_EPISODE_STEPS
from robonav_ray.config.load import ConfigError
from robonav_ray.config.worlds import NATIVE_ENV_ID, LevelConfig
from robonav_ray.files.plain_files import replace
from robonav_ray.records import TransitionSpec
from robonav_ray.runs.run_directory import ENV_JSON, ENV_MARKDOWN, RunDirectory
from robonav_ray.worlds.env_table import EnvTable
from robonav_ray.worlds.make import describe_env
from robonav_ray.worlds.mix import with_parts


@dataclass(frozen=True)
class Task:
    """What is practised."""

    env_id: str
    levels: tuple[LevelConfig, ...]
    stage_names: tuple[str, ...]
    obs_dim: int
    num_actions: int
    table: EnvTable
    """What each number of an observation and each action means."""
    structure: Structure | None
    """The ring or the set in the observations, where there is one."""
    has_outcomes: bool
    """Whether every episode that the curriculum sees has an outcome, collisions among them; else success counts as far
    as it is told."""
    max_episode_steps: int
    """Steps within which an episode ends, or after which an evaluation cuts it off where the config says nothing."""
    draws: bool
    """Whether there can be pictures of it."""

    @property
    def is_native(self) -> bool:
        """Whether these are our own worlds, which have levels, metres and pictures."""
        return self.env_id == NATIVE_ENV_ID

    @property
    def spec(self) -> TransitionSpec:
        """Columns of a transition of this task."""
        return TransitionSpec.for_discrete((self.obs_dim,), num_actions=self.num_actions)

    @property
    def has_stages(self) -> bool:
        """Whether there are stages to speak of: those of our worlds, or given ones."""
        return self.is_native or self.stage_names != (open_stage().name,)

    def shown_name(self, stage: int) -> str:
        """Return what an evaluation of ``stage`` is called: the stage's name, or the environment where it has none."""
        return self.stage_names[stage] if self.has_stages else self.env_id

    def steps_of(self, stage: int, asked: int | None) -> int:
        """Return the steps after which an episode of ``stage`` is cut off: what is ``asked`` for, else what ends it by
        itself.
        """
        if asked is not None:
            return asked
        return self.levels[stage].max_steps if self.is_native else self.max_episode_steps

    def shows_the_same(self, other: Task, algo: AlgoConfig) -> bool:
        """Whether a policy of ``algo`` takes the observations of both: as many numbers, or sets of any size for an
        encoder of sets.
        """
        if algo.looks_at_a_set and isinstance(self.structure, NeighborSet):
            return self.structure.is_alike(other.structure)
        return self.obs_dim == other.obs_dim

    def describe(self) -> str:
        """Return one line for people."""
        stages = f", {len(self.levels)} stage{'s' * (len(self.levels) > 1)} ({', '.join(self.stage_names)})"
        return (
            f"{self.env_id}, {self.obs_dim} observations, {self.num_actions} actions{stages if self.has_stages else ''}"
        )


def describe_task(config: RunConfig) -> Task:
    """Return the task, after looking at the environment itself.

    Raises:
        ConfigError: When the environment does not exist or its spaces are not supported.
    """
    all_levels = tuple(stage.level for stage in config.curriculum.stages)
    try:
        env = describe_env(config.env, all_levels)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except (gymnasium.error.Error, TypeError) as error:  # not installed, or env.kwargs that it does not take
        raise ConfigError(
            f"env.id={config.env.id!r} cannot be made with env.kwargs={config.env.kwargs}: {error}"
        ) from None
    if config.hindsight.strategy != "none" and not env.is_goal_env:
        raise ConfigError(
            f"hindsight.strategy={config.hindsight.strategy} needs a goal-env, and env.id={config.env.id!r} is none: "
            "set hindsight.strategy=none, or take an environment with a Dict observation (observation, achieved_goal, "
            "desired_goal) and compute_reward, such as robonav_ray/BitFlip-v0, or our worlds (robonav_ray/Nav-v0) with "
            "env.world.observation=lidar, env.world.reward.mode=sparse and without env.world.map"
        )
    structure = structure_of(config.env, int(env.obs_shape[0]))
    try:
        encoded(config.algo, structure)
    except ValueError as error:  # the config has looked at the kind of observation; the worlds have no neighbour at all
        raise ConfigError(f"{error}, or have circles or robots in the worlds") from None
    # An environment that is not ours and was given no stages has one open stage, also where its episodes tell success.
    stages = config.curriculum.stages_for(config.env.is_native)
    most_steps = max(stage.level.max_steps for stage in stages)
    return Task(
        env_id=config.env.id,
        levels=tuple(stage.level for stage in stages),
        stage_names=tuple(stage.name for stage in stages),
        obs_dim=int(env.obs_shape[0]),
        num_actions=env.num_actions,
        table=env.table,
        structure=structure,
        has_outcomes=env.is_own and stages == config.curriculum.stages,
        max_episode_steps=env.max_episode_steps or (most_steps if config.env.is_native else MAX_EPISODE_STEPS),
        draws=env.draws,
    )


def keep_table(run: RunDirectory, task: Task) -> None:
    """Write what observations and actions mean to ``env.json`` and ``env.md``, unless the run has them already: a run
    keeps its task.
    """
    for name, text in (
        (ENV_JSON, json.dumps(task.table.to_dict(), indent=1) + "\n"),
        (ENV_MARKDOWN, task.table.to_markdown()),
    ):
        if not (run.path / name).exists():
            replace(run.path / name, text)


def check_places(config: RunConfig, task: Task) -> None:
    """Refuse maps that worlds cannot take place in, before anything is started.

    Raises:
        UserError: Naming the map, or the key.
    """
    if task.is_native and config.env.world.map is not None:
        from robonav_ray.worlds.maps.atlas import check_maps  # and scipy, without which a training begins sooner

        check_maps(config.env.world, with_parts(task.levels))


def check_gates(config: RunConfig, task: Task) -> None:
    """Refuse a gate with a criterion that nothing can be held against; for a run that begins, as an earlier one may
    have had it.

    Raises:
        ConfigError: Naming the key.
    """
    for i, stage in enumerate(() if task.has_outcomes else config.curriculum.stages_for(False)):
        if stage.gate.max_collision_frac is not None:
            key = f"curriculum.stages.{i}.gate.max_collision_frac"
            raise ConfigError(
                f"{key} ({stage.gate.max_collision_frac:g}) cannot be judged: env.id={task.env_id!r} is not one of our "
                f"worlds, and no other environment tells collisions; set {key}=null, and have what counts paid for in "
                "the reward (gate.min_return)"
            )
