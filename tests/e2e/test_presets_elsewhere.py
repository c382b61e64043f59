"""Every preset, with its defaults, learns environments that are not ours: CartPole-v1 to 450 and Acrobot-v1 to -100."""

from __future__ import annotations

import pytest

from proofs.studies import presets
from robonav_ray.config.preset import preset_names


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("environment", ["CartPole-v1", "Acrobot-v1"])
@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_learns_with_its_defaults(preset: str, environment: str, seed: int) -> None:
    result = presets.train(preset, environment, seed, stop_when_reached=True)
    goal = presets.GOALS[environment]
    assert result.reached_at is not None, f"the greedy policy is at {result.greedy}, not at {goal.mean_return}"
    assert result.reached_at <= goal.env_steps + presets.LOOK_ENV_STEPS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_support_that_is_too_small_is_said_while_it_trains(caplog: pytest.LogCaptureFixture) -> None:
    """A pole held for 40 steps is worth 33."""
    changes = ("algo.v_min=-20", "algo.v_max=20", "budget.max_env_steps=40000")
    presets.train("rainbow", "CartPole-v1", 0, changes)
    said = [record.getMessage() for record in caplog.records if "support" in record.getMessage()]
    assert len(said) == 1, said
    assert "algo.v_max (20) is too low" in said[0]
