"""Hindsight in the whole one-process wiring: it solves bit flipping where plain DQN sees nothing but -1, and resumes to
the bit."""

import time
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.algo.policy import Policy
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.evaluation.episodes import evaluate_policy
from robonav_ray.records import Outcome
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters, open_checkpoint
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.sizes import max_fragment_rows
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.worlds.make import make_vector_env
from tests.e2e.test_local_wiring import assert_same_bits, bits

BITFLIP = Path(__file__).parents[2] / "configs/run/bitflip.yaml"
SMALL = [
    "algo.hidden_dims=[32]",
    "replay.capacity=20_000",
    "replay.min_size=500",
    "learner.batch_size=32",
    "rollout.num_worlds=8",
]
SPARSE = [
    *SMALL, "hindsight.strategy=future", "env.world.reward.mode=sparse", "env.world.lidar.num_beams=12",
    "algo.n_step=3", "learner.batches_per_call=4",
    "curriculum.stages.0.gate={min_success_frac: 0.0}", "curriculum.stages.0.level.max_steps=40",
    "curriculum.stages.1.gate={min_success_frac: 0.0}", "curriculum.stages.1.level.max_steps=40", "curriculum.window=4",
]  # fmt: skip


def wiring(tmp_path: Path, path: Path | None, overrides: list[str], checkpoint=None) -> LocalWiring:
    config = load_run_config(path, overrides)
    return LocalWiring(RunSession(config, describe_task(config), RunDirectory(tmp_path), checkpoint, time.monotonic()))


def greedy_success(run: LocalWiring) -> float:
    """Return the part of 200 held-out episodes in which the greedy policy reaches the goal."""
    session = run._session
    policy = Policy(session.task.obs_dim, session.task.num_actions, session.config.algo)
    policy.load(run.learner_state.snapshot())
    seed = seed_for(1, ROLE_EVALUATION)
    table = evaluate_policy(
        policy.greedy,
        lambda first, num: make_vector_env(
            session.config.env, (), num_envs=num, first_world=first, seed=seed, gamma=0.98
        ),
        200,
    )
    return float((table.outcome == Outcome.SUCCESS).mean())


def test_ten_bits_are_learned_in_seconds(tmp_path: Path) -> None:
    run = wiring(tmp_path, BITFLIP, ["env.kwargs.num_bits=10"])
    while run.env_steps < 60_000 and not (run.curriculum.progress().passed and greedy_success(run) >= 0.95):
        run.round()
    assert greedy_success(run) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("num_bits", [13, 15, 20, 25, 30])
def test_as_many_bits_as_the_paper_shows(tmp_path: Path, num_bits: int) -> None:
    run = wiring(tmp_path, BITFLIP, [f"env.kwargs.num_bits={num_bits}"])
    success = 0.0
    while run.env_steps < 1_000_000 and success < 0.95:
        for _ in range(20):
            run.round()
        success = greedy_success(run)
    assert success >= 0.95


@pytest.mark.slow
def test_without_hindsight_twenty_bits_are_never_solved(tmp_path: Path) -> None:
    run = wiring(tmp_path, BITFLIP, ["env.kwargs.num_bits=20", "hindsight.strategy=none"])
    while run.env_steps < 1_500_000:
        run.round()
    assert greedy_success(run) < 0.05


@pytest.mark.parametrize(("path", "overrides"), [(BITFLIP, [*SMALL, "env.kwargs.num_bits=6"]), (None, SPARSE)])
def test_stop_and_resume_is_as_if_never_stopped(tmp_path: Path, path: Path | None, overrides: list[str]) -> None:
    straight, first = wiring(tmp_path, path, overrides), wiring(tmp_path, path, overrides)
    for _ in range(24):
        straight.round()
    for _ in range(9):
        first.round()
    writer = CheckpointWriter(tmp_path / "checkpoints", Counters())
    first.save(writer)
    rest = wiring(tmp_path, path, overrides, open_checkpoint(writer.commit().path))
    for _ in range(15):
        rest.round()
    assert straight.learner_state.learner_step > 20
    assert_same_bits(bits(straight), bits(rest))
    assert sum(s.num_inserted for s in straight.replay.stats()) > 2 * straight.env_steps, (
        "relabelled rows must be among them"
    )


def test_in_our_worlds_a_collision_stays_one_under_any_goal(tmp_path: Path) -> None:
    run = wiring(tmp_path, None, [*SPARSE, "algo.n_step=1", "algo.reward_scale=1.0"])
    for _ in range(40):
        run.round()
    columns = [np.concatenate([s._rows[name][: s.size] for s in run.replay.shards]) for name in ("reward", "discount")]
    reward, discount = columns
    assert set(np.unique(reward)) <= {-5.0, 0.0, 5.0, 10.0}
    assert (discount[reward == -5.0] == 0.0).all()
    assert (discount[reward == 10.0] == 0.0).all()
    assert (reward == 10.0).mean() > 0.01, "hindsight finds goals that were reached"
    assert min((reward == value).sum() for value in (-5.0, 0.0, 10.0)) > 10


def test_a_fragment_has_room_for_the_relabelled_rows() -> None:
    config = load_run_config(BITFLIP)
    assert max_fragment_rows(config, 32) == 5 * 32 * (16 + 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["env.id=CartPole-v1", "hindsight.strategy=future"],
            "hindsight.strategy=future needs a goal-env, and env.id='CartPole-v1'",
        ),
        (["hindsight.strategy=future"], r"env\.world\.reward\.mode=sparse"),
        (["hindsight.strategy=futur"], "future"),
        ([*SPARSE, "hindsight.strategy=final", "hindsight.num_goals=3"], "would be ignored"),
        (["hindsight.max_segment=50"], "hindsight.strategy is none"),
        (["env.world.reward.mode=sparse", "env.world.reward.time=-0.1"], "task terms only"),
        ([*SPARSE, "env.world.observation=state"], "env.world.observation=lidar"),
        (
            [*SPARSE, "curriculum.stages.1.level.randomization.odometry_noise=1"],
            r"curriculum.stages.1.level.randomization.odometry_noise",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_relabelled_is_refused_at_load(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        describe_task(load_run_config(None, overrides))
