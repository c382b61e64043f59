"""Every key of a run's config has its place: the search's own, changed in flight, changed with a restart, or fixed for
a reason."""

import time
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.config.load import ConfigError
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError, CheckpointWriter, Counters
from robonav_ray.runs.hyperparameters import CHANGEABLE
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.tuning.keys import OWNED, is_covered, known_keys
from robonav_ray.tuning.mutations import (
    FIXED,
    IN_FLIGHT,
    WITH_RESTART,
    check_population,
    in_flight_changes,
    kind_of_change,
)
from robonav_ray.tuning.space import trial_config


def population(space: dict[str, Any], kind: str = "pbt") -> TuningConfig:
    return TuningConfig.model_validate({"space": space, "scheduler": {"kind": kind}})


def test_in_flight_is_what_a_running_learner_takes_over() -> None:
    assert tuple(f"learner.{name}" for name in CHANGEABLE) == IN_FLIGHT


@pytest.mark.parametrize("key", sorted(known_keys()))
def test_every_key_has_exactly_one_place(key: str) -> None:
    places = [
        any(is_covered(key, pattern) for pattern in patterns) for patterns in (OWNED, IN_FLIGHT, WITH_RESTART, FIXED)
    ]
    assert sum(places) == 1, dict(zip(("owned", "in flight", "with restart", "fixed"), places, strict=True))


@pytest.mark.parametrize("pattern", [*OWNED, *IN_FLIGHT, *WITH_RESTART, *FIXED])
def test_every_pattern_is_of_a_key_that_exists(pattern: str) -> None:
    assert any(is_covered(key, pattern) for key in known_keys())


@pytest.mark.parametrize("kind", ["pbt", "pb2"])
def test_a_population_is_refused_a_key_that_stays(kind: str) -> None:
    config = population(
        {"algo.gamma": {"uniform": [0.9, 0.99]}, "learner.learning_rate": {"loguniform": [1e-5, 1e-2]}}, kind
    )
    with pytest.raises(ConfigError) as caught:
        check_population(config)
    told = str(caught.value)
    for part in (
        "space.algo.gamma: ",
        f"scheduler.kind={kind}",
        "already folded",
        "run.algo.gamma",
        "asha",
        *IN_FLIGHT,
    ):
        assert part in told
    assert "space.learner.learning_rate" not in told


def test_what_can_change_is_accepted_and_other_searches_are_not_looked_at() -> None:
    check_population(
        population(
            {
                "learner.batch_size": {"choice": [64, 128]},
                "curriculum.stages.0.epsilon.decay": {"uniform": [0.99, 0.999]},
            }
        )
    )
    check_population(TuningConfig.model_validate({"space": {"algo.gamma": {"uniform": [0.9, 0.99]}}}))


@pytest.mark.parametrize(
    ("after", "kind", "changes"),
    [
        ({}, "none", {}),
        ({"learner.learning_rate": 2e-3}, "in_flight", {"learning_rate": 2e-3}),
        ({"learner.batch_size": 128}, "restart", None),
        ({"learner.batch_size": 128, "learner.learning_rate": 2e-3}, "restart", None),
        ({"curriculum.stages.*.epsilon.decay": 0.99}, "restart", None),
        ({"algo.hidden_dims": [64, 64]}, "none", {}),
    ],
)
def test_kind_of_change(after: dict[str, Any], kind: str, changes: dict[str, Any] | None) -> None:
    before: dict[str, Any] = {
        "learner.learning_rate": 1e-3,
        "learner.batch_size": 64,
        "curriculum.stages.*.epsilon.decay": 0.995,
        "algo.hidden_dims": (64, 64),
    }
    assert kind_of_change(before, before | after) == kind
    assert in_flight_changes(before, before | after) == changes


def test_a_change_that_cannot_be_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"algo\.gamma cannot change"):
        kind_of_change({"algo.gamma": 0.9}, {"algo.gamma": 0.99})
    with pytest.raises(ValueError, match=r"other keys: algo\.gamma, seed"):
        kind_of_change({"algo.gamma": 0.9}, {"seed": 1})


# --- what a checkpoint of a trial survives, tried out
# ---------------------------------------------------------------------------

TINY: dict[str, Any] = {
    "algo": {"hidden_dims": [16, 16], "num_layers": 2},
    "rollout": {"num_worlds": 4, "steps_per_fragment": 8},
    "replay": {"capacity": 800, "min_size": 64},
    "learner": {"batch_size": 16, "batches_per_call": 2, "lr_schedule": "linear"},
    "env": {"world": {"lidar": {"num_beams": 12}}},
}
RUNS: dict[str, dict[str, Any]] = {
    "plain": TINY,
    "iqn": TINY | {"algo": TINY["algo"] | {"distribution": "iqn"}},
    "hindsight": TINY | {"env": {"world": {"reward": {"mode": "sparse"}}}, "hindsight": {"strategy": "future"}},
}
CHANGED: dict[str, Any] = {
    "algo.double": False,
    "algo.num_tau": 4,
    "algo.num_target_tau": 4,
    "algo.num_acting_tau": 16,
    "algo.dropout": 0.1,
    "algo.huber_delta": 2.0,
    "rollout.steps_per_fragment": 4,
    "rollout.max_in_flight": 3,
    "rollout.ladder_exponent": 3.0,
    "hindsight.num_goals": 2,
    "replay.initial_priority": "max",
    "replay.stratified": True,
    "replay.importance_exponent": 0.5,
    "replay.importance_exponent_final": 0.9,
    "replay.importance_anneal_steps": 100,
    "replay.samples_per_insert": 4.0,
    "replay.error_buffer": 1000.0,
    "learner.batch_size": 32,
    "learner.batches_per_call": 4,
    "learner.prefetch_calls": 1,
    "learner.accumulation_steps": 2,
    "learner.lr_schedule": "cosine",
    "learner.lr_warmup_steps": 50,
    "learner.lr_final_frac": 0.5,
    "learner.lr_schedule_steps": 100,
    "learner.precision": "auto",
    "learner.torch_threads": 1,
    "curriculum.epsilon_scale": 0.5,
    "curriculum.stages.*.epsilon.decay": 0.9,
    "curriculum.stages.*.min_episodes": 100,
}
REFUSED: dict[str, Any] = {
    "algo.dueling": False,
    "algo.distribution": "qr",
    "algo.num_layers": 3,
    "algo.hidden_dims": (16, 32),
    "algo.layer_norm": True,
    "algo.noisy": True,
    "algo.tau_embedding_dim": 32,
    "algo.n_step": 5,
    "rollout.num_worlds": 8,
    "hindsight.strategy": "none",
    "replay.capacity": 900,
    "replay.num_shards": 1,
    "replay.sampler": "uniform",
    "replay.priority_exponent": 0.7,
    "replay.priority_epsilon": 0.1,
}


def run_of(key: str) -> str:
    return "iqn" if "tau" in key else "hindsight" if key.startswith("hindsight") else "plain"


def wiring(directory: Path, params: dict[str, Any], name: str, checkpoint: Checkpoint | None = None) -> LocalWiring:
    together = {"algo.noisy": {"curriculum.epsilon_scale": 0.0}, "algo.num_layers": {"algo.hidden_dims": 16}}
    params = params | {k: v for key in params for k, v in together.get(key, {}).items()}
    config = trial_config(RUNS[name], params)
    return LocalWiring(RunSession(config, describe_task(config), RunDirectory(directory), checkpoint, time.monotonic()))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    found = {}
    for name in RUNS:
        directory = tmp_path_factory.mktemp(name)
        run = wiring(directory, {}, name)
        for _ in range(12):
            run.round()
        assert run.learner_state.learner_step > 5
        writer = CheckpointWriter(directory / "checkpoints", Counters(env_steps=run.env_steps))
        run.save(writer)
        found[name] = writer.commit()
    return found


def test_every_change_with_a_restart_is_tried_out() -> None:
    tried = {pattern for pattern in WITH_RESTART if any(is_covered(key, pattern) for key in CHANGED)}
    assert set(WITH_RESTART) - tried == {"learner.compile"}, (
        "which says how the same losses are computed, and takes a minute"
    )
    assert all(any(is_covered(key, pattern) for pattern in FIXED) for key in REFUSED)


@pytest.mark.parametrize("key", CHANGED)
def test_a_trial_goes_on_from_its_checkpoint_after_a_change(
    tmp_path: Path, checkpoints: dict[str, Checkpoint], key: str
) -> None:
    before = checkpoints[run_of(key)]
    run = wiring(tmp_path, {key: CHANGED[key]}, run_of(key), before)
    learner_step = run.learner_state.learner_step
    assert learner_step > 5
    for _ in range(12):
        run.round()
    assert run.learner_state.learner_step > learner_step
    run.replay.check_valid()


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_fixed_does_not_fit_a_checkpoint(tmp_path: Path, checkpoints: dict[str, Checkpoint], key: str) -> None:
    with pytest.raises(CheckpointError):
        wiring(tmp_path, {key: REFUSED[key]}, run_of(key), checkpoints[run_of(key)])
