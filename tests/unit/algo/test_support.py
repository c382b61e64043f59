"""The support of c51: what lies beyond it is measured, reported and said once, with the key to change."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from robonav_ray.algo.categorical import beyond_support
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.learner.meters import LearnerMeters
from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.update import Update
from robonav_ray.runtime.support_watch import SupportWatch
from tests.fakes import FakeReplay


def test_beyond_is_what_a_slow_sum_says():
    rng = np.random.default_rng(0)
    reward, discount = rng.normal(0.0, 3.0, 40), np.where(rng.random(40) < 0.2, 0.0, 0.97)
    probability = rng.dirichlet(np.ones(11), 40)
    low = high = 0.0
    for i in range(40):
        for j, z in enumerate(np.linspace(-4.0, 4.0, 11)):
            value = reward[i] + discount[i] * z
            low, high = low + probability[i, j] * (value < -4.0) / 40, high + probability[i, j] * (value > 4.0) / 40
    found = beyond_support(*(torch.from_numpy(x).float() for x in (reward, discount, probability)), -4.0, 4.0)
    assert [x.item() for x in found] == pytest.approx([low, high], abs=1e-5)


def test_a_support_that_ends_at_a_reward_for_ever_is_not_too_small():
    """n rewards of 0.2 and all probability on 20 = 0.2 / (1 - 0.99), in floats."""
    probability = torch.zeros(1, 51)
    probability[0, -1] = 1.0
    for n in (1, 3, 7):
        reward = torch.tensor([sum(0.2 * 0.99**i for i in range(n))])
        assert [x.item() for x in beyond_support(reward, torch.tensor([0.99**n]), probability, -20.0, 20.0)] == [
            0.0,
            0.0,
        ]
        assert beyond_support(reward, torch.tensor([0.99**n]), probability, -10.0, 10.0)[1].item() == 1.0


@pytest.mark.parametrize("distribution", ["c51", "qr", "none"])
def test_the_learner_reports_it_for_c51_alone(distribution):
    algo = AlgoConfig(
        hidden_dims=(16,), distribution=distribution, **({"v_min": -0.5, "v_max": 0.1} if distribution == "c51" else {})
    )
    config, replay = LearnerConfig(batch_size=64), FakeReplay(6, 3)
    state = LearnerState(6, 3, algo, config, 0, torch.device("cpu"))
    update = Update(state, algo, config, replay.spec)
    meters = LearnerMeters(0)
    assert not {name for name in meters.report(state, update, OneRank()) if "support" in name}
    batches = replay.sample(64, 2)
    assert batches is not None
    for sample in batches:
        update(sample)
    metrics = meters.report(state, update, OneRank())
    if distribution != "c51":
        assert not {name for name in metrics if "support" in name}
        return
    assert 0.2 < metrics["learner/support_above_frac"] < 1.0, "rewards are normal, and the support is narrow"
    assert 0.1 < metrics["learner/support_below_frac"] < 1.0


def looks(watch: SupportWatch, fractions: list[float], side: str = "above") -> None:
    for i, fraction in enumerate(fractions):
        other = "below" if side == "above" else "above"
        metrics = {f"learner/support_{side}_frac": fraction, f"learner/support_{other}_frac": 0.0}
        watch.note({**metrics, "learner/learner_step": 50.0 * i})


def test_a_support_that_is_too_small_is_said_once_with_figure_and_key(caplog):
    watch = SupportWatch(AlgoConfig(distribution="c51"))
    with caplog.at_level(logging.WARNING):
        watch.note({"learner/learner_step": 1.0})
        looks(watch, [0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9])
        assert not caplog.records, "for a moment values may overshoot"
        looks(watch, [0.9] * 30)
    (record,) = caplog.records
    for part in ("algo.v_max (10) is too low", "90% of", "above it", "algo.v_max=30", "r * 20", "algo.reward_scale"):
        assert part in record.getMessage()
    with caplog.at_level(logging.WARNING):
        looks(watch, [0.5] * 9, "below")
    assert "algo.v_min (-10) is too high: 50% of" in caplog.records[1].getMessage()
    assert "algo.v_min=-30" in caplog.records[1].getMessage()
    assert len(caplog.records) == 2
