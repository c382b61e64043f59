"""The one-process wiring: the same seed gives the same bits, and stop + resume gives the same bits as not stopping."""

import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters, open_checkpoint
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.wiring import RunSession

SMALL = [
    "algo.hidden_dims=[32, 32]",
    "rollout.num_worlds=8",
    "rollout.steps_per_fragment=16",
    "replay.capacity=3000",
    "replay.min_size=300",
    "learner.batch_size=32",
    "learner.batches_per_call=4",
    "env.world.lidar.num_beams=12",
    "curriculum.window=4",
    "curriculum.stages.0.gate={min_success_frac: 0.0}",
    "curriculum.stages.0.level.max_steps=40",
    "curriculum.stages.1.level.max_steps=60",
    "curriculum.stages.2.level.max_steps=120",
    "curriculum.stages.3.level.max_steps=120",
    "evaluation.gif_episodes=0",
]
ROUNDS = 60


def wiring(tmp_path: Path, config: RunConfig, checkpoint: Checkpoint | None = None) -> LocalWiring:
    return LocalWiring(RunSession(config, describe_task(config), RunDirectory(tmp_path), checkpoint, time.monotonic()))


def flat(value: Any, name: str = "") -> dict[str, np.ndarray]:
    """Return every leaf of a nested state as an array."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{name}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{name}/{i}").items()}
    return {name: np.asarray(value.numpy() if hasattr(value, "numpy") else value)}


def bits(wiring: LocalWiring) -> dict[str, np.ndarray]:
    curriculum = {k: v for k, v in wiring.curriculum.state_dict().items() if k != "elapsed_s"}
    for transition in curriculum["history"]:
        del transition["elapsed_s"]
    return {
        **flat({k: t.detach() for k, t in wiring.learner_state.tensors().items()}, "learner"),
        **flat(wiring.learner_state.counters(), "counters"),
        **flat(wiring.worker.state_dict(), "worker"),
        **flat(wiring.replay.state_dict(), "replay"),
        **flat(curriculum, "curriculum"),
    }


def assert_same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    different = [
        name for name in one if not np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
    ]
    assert different == []


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    run = wiring(tmp_path_factory.mktemp("straight"), load_run_config(None, SMALL))
    for _ in range(ROUNDS):
        run.round()
    assert run.learner_state.learner_step > 200, "the learner must have been at work"
    assert run.curriculum.progress().stage >= 1, "a transition must lie on the way"
    return bits(run)


def test_the_same_seed_gives_the_same_bits(tmp_path: Path, straight: dict[str, np.ndarray]) -> None:
    run = wiring(tmp_path, load_run_config(None, SMALL))
    lengths = 0.0
    for i in range(ROUNDS):
        run.round()
        if i % 7 == 6 or i == ROUNDS - 1:
            found = {h.name: h for h in run.histograms()}
            assert found["replay/priority"].counts.sum() == sum(shard.size for shard in run.replay.shards)
            lengths += found["rollout/episode_length"].counts.sum()
    assert lengths == run.curriculum.progress().num_episodes, "every episode is counted once"
    assert_same_bits(straight, bits(run))


def test_another_seed_gives_other_bits(tmp_path: Path, straight: dict[str, np.ndarray]) -> None:
    run = wiring(tmp_path, load_run_config(None, [*SMALL, "seed=1"]))
    for _ in range(ROUNDS):
        run.round()
    assert not np.array_equal(straight["learner/online.head.weight"], bits(run)["learner/online.head.weight"])


@pytest.mark.parametrize("cut", [1, 17, 43])
def test_stop_and_resume_is_as_if_never_stopped(tmp_path: Path, straight: dict[str, np.ndarray], cut: int) -> None:
    config = load_run_config(None, SMALL)
    first = wiring(tmp_path, config)
    for _ in range(cut):
        first.round()
    writer = CheckpointWriter(tmp_path / "checkpoints", Counters(env_steps=cut))
    first.save(writer)
    checkpoint = open_checkpoint(writer.commit().path)
    rest = wiring(tmp_path, config, checkpoint)
    for _ in range(ROUNDS - cut):
        rest.round()
    assert_same_bits(straight, bits(rest))


def test_samples_per_insert_is_kept(tmp_path: Path) -> None:
    run = wiring(tmp_path, load_run_config(None, [*SMALL, "replay.samples_per_insert=3"]))
    for _ in range(100):
        run.round()
    assert run.replay.ledger.achieved_samples_per_insert == pytest.approx(3.0, rel=0.05)


def test_a_learner_that_cannot_be_described_trains_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = wiring(tmp_path, load_run_config(None, SMALL))
    run.round()
    run.loop._update.histograms = Mock(side_effect=ValueError("a name is too long"))  # type: ignore[method-assign]
    for _ in range(2):
        assert {h.name for h in run.histograms()} == {"replay/priority", "rollout/episode_length"}
    assert [r.message for r in caplog.records if "histograms" in r.message] == [
        "the learner's histograms are left out: Describe: a name is too long"
    ]
