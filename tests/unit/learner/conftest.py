"""A small learner and everything around it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.learner.loop import LearnerLoop
from robonav_ray.learner.state import LearnerState
from tests.fakes import FakeReplay, FakeWeights, ScriptedCommands

OBS_DIM, NUM_ACTIONS = 6, 3
ALGO = AlgoConfig(hidden_dims=(16, 16))
CONFIG = LearnerConfig(batch_size=32, batches_per_call=4, publish_interval=5, report_interval=8, learning_rate=3e-3)


@dataclass
class Bench:
    state: LearnerState
    replay: FakeReplay
    weights: FakeWeights
    commands: ScriptedCommands
    loop: LearnerLoop


def make_state(seed: int = 0, config: LearnerConfig = CONFIG, algo: AlgoConfig = ALGO) -> LearnerState:
    return LearnerState(OBS_DIM, NUM_ACTIONS, algo, config, seed)


def make_bench(*script, until=None, seed=0, config=CONFIG, algo=ALGO, replay=None, weights=None, **wiring) -> Bench:
    state = make_state(seed, config, algo)
    replay = replay or FakeReplay(OBS_DIM, NUM_ACTIONS, seed=seed)
    weights, commands = weights or FakeWeights(), ScriptedCommands(*script, until=until)
    loop = LearnerLoop(
        state, algo, config, replay.spec, source=replay, priorities=replay, weights=weights, commands=commands, **wiring
    )
    return Bench(state, replay, weights, commands, loop)


@pytest.fixture
def bench() -> Bench:
    return make_bench()
