"""Stop + resume gives the same bits as not stopping, also where updates and acting draw random numbers."""

from pathlib import Path

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters, open_checkpoint
from tests.e2e.test_local_wiring import SMALL, assert_same_bits, bits, wiring

ROUNDS, CUT = 24, 19
VARIANTS = {
    "rainbow": ["preset=rainbow", "algo.num_atoms=11"],
    "iqn_dropout_conv": [
        "preset=navigation", "algo.distribution=iqn", "algo.dropout=0.1", "algo.layer_norm=true",
        "algo.encoder=lidar_conv", "algo.conv_channels=[4, 4]",
    ],
    "attention_noisy": [
        "preset=rainbow", "algo.num_atoms=11", "env.world.observation=state", "env.world.lidar={}",
        "algo.encoder=attention",
    ],
    "munchausen_qr": ["preset=munchausen", "algo.distribution=qr", "algo.num_quantiles=8"],
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_stop_and_resume_is_as_if_never_stopped(tmp_path: Path, name: str) -> None:
    config = load_run_config(None, [*SMALL, *VARIANTS[name]])
    straight, first = wiring(tmp_path, config), wiring(tmp_path, config)
    for _ in range(CUT):
        straight.round()
        first.round()
    writer = CheckpointWriter(tmp_path / "checkpoints", Counters(env_steps=CUT))
    first.save(writer)
    before = first.learner_state.learner_step
    rest = wiring(tmp_path, config, open_checkpoint(writer.commit().path))
    assert before > 20, "the learner must have been at work"
    for _ in range(ROUNDS - CUT):
        straight.round()
        rest.round()
    assert straight.learner_state.learner_step > before
    assert_same_bits(bits(straight), bits(rest))
