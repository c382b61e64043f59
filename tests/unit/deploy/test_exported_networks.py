"""Every kind of network chooses in its bundle as the policy does, on observations of real episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robonav_policy.bundle import read_bundle
from robonav_policy.models import Model, numpy_model, onnx_model, open_model
from robonav_ray.algo.own_network import make_policy
from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.config.preset import preset_names
from robonav_ray.deploy.graph import greedy_module, numpy_bytes, onnx_bytes
from robonav_ray.learner.state import LearnerState
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from robonav_ray.worlds.batched import BatchedWorlds
from tests.conftest import Robonav

NUM_OBSERVATIONS = 100_000
NEAR = 1e-5
ENCODERS = {
    "lidar_conv": ("algo.encoder=lidar_conv",),
    "lidar_conv of 90 beams": ("algo.encoder=lidar_conv", "env.world.lidar.num_beams=90", "algo.conv_stride=3"),
    "deep_set": ("algo.encoder=deep_set", "env.world.observation=neighbors"),
    "attention": ("algo.encoder=attention", "env.world.observation=neighbors"),
    "attention of states": ("algo.encoder=attention", "env.world.observation=state"),
}
SWITCHES = {
    "layer norm": ("algo.layer_norm=true", "algo.hidden_dims=[64,64,64]"),
    "noisy dueling iqn": ("algo.distribution=iqn", "algo.noisy=true", "curriculum.epsilon_scale=0"),
    "plain c51": ("algo.distribution=c51", "algo.dueling=false"),
    "dueling qr": ("algo.distribution=qr", "algo.layer_norm=true"),
    "rainbow with lidar_conv": ("preset=rainbow", "algo.encoder=lidar_conv"),
}
KINDS = {**{name: (f"preset={name}",) for name in preset_names()}, **ENCODERS, **SWITCHES}


def observations(config: RunConfig, num: int) -> np.ndarray:
    """Return (N, D) float32 of episodes in the stages of ``config``, driven at random for some steps at a time."""
    levels = tuple(stage.level for stage in config.curriculum.stages)
    worlds = BatchedWorlds(config.env.world, levels, 256, seed=7, gamma=0.99)
    worlds.set_level(len(levels) - 1)
    worlds.reset()
    table, rng, found, step = worlds.action_table, np.random.default_rng(0), list[np.ndarray](), 0
    assert table is not None
    action = np.zeros(worlds.num_lanes, np.int64)
    while sum(map(len, found)) < num:
        if step % 5 == 0:
            action = rng.integers(0, len(table), worlds.num_lanes)
        worlds.step(action)
        found.append(worlds.out.obs.copy())
        step += 1
    return np.concatenate(found)[:num]


def differences(policy: Policy, models: dict[str, Model], obs: np.ndarray) -> dict[str, tuple[int, float, float]]:
    """Return, for each model, how many actions differ from the policy's and by which gap, and how far Q values are
    apart.
    """
    told = {}
    for name, model in models.items():
        gaps, apart = list[float](), 0.0
        for rows in np.array_split(obs, max(1, len(obs) // 5000)):
            wanted, found = policy.q_values(rows), model(rows)
            chosen, greedy = found.argmax(axis=1), policy.greedy(rows)
            differs = np.flatnonzero(chosen != greedy)
            gaps += (wanted[differs, greedy[differs]] - wanted[differs, chosen[differs]]).tolist()
            apart = max(apart, float(np.abs(wanted - found).max()))
        told[name] = (len(gaps), max(gaps, default=0.0), apart)
    return told


def made(overrides: tuple[str, ...]) -> tuple[Policy, dict[str, Model], RunConfig]:
    """Return the policy of a config, as a learner begins with it, and its networks as a bundle has them."""
    config = load_run_config(None, list(overrides))
    task = describe_task(config)
    learner = LearnerState(task.obs_dim, task.num_actions, config.algo, config.learner, 5, structure=task.structure)
    snapshot = learner.snapshot()
    policy = make_policy(task.obs_dim, task.num_actions, config.algo, task.structure)
    policy.load(snapshot)
    module = greedy_module(snapshot, task.obs_dim, task.num_actions, config.algo, task.structure)
    models = {"onnx": onnx_model(onnx_bytes(module, task.obs_dim))}
    if not config.algo.looks_at_a_set:
        models["numpy"] = numpy_model(numpy_bytes(snapshot, config.algo, task.structure))
    return policy, models, config


def test_a_bundle_chooses_as_the_policy_does(made_bundle: Path, small_run: RunDirectory) -> None:
    config, checkpoint = small_run.config, newest_good_checkpoint(small_run.checkpoints)[0]
    assert checkpoint is not None
    policy, bundle = load_policy(checkpoint, config, describe_task(config)), read_bundle(made_bundle)
    models = {kind: open_model(bundle, kind) for kind in ("onnx", "numpy")}
    for differing, gap, apart in differences(policy, models, observations(config, 2000)).values():
        assert differing == 0 or gap < NEAR
        assert apart < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_chooses_as_the_policy_does_on_100_000_observations(kind: str) -> None:
    policy, models, config = made(KINDS[kind])
    obs = observations(config, NUM_OBSERVATIONS)
    for name, (differing, gap, apart) in differences(policy, models, obs).items():
        print(f"\n{kind}, {name}: {differing} of {NUM_OBSERVATIONS} actions differ, gap {gap:.2g}, Q apart {apart:.2g}")
        assert differing <= NUM_OBSERVATIONS / 10_000
        assert gap < NEAR


@pytest.mark.slow
def test_torch_opens_the_program(small_run: RunDirectory, tmp_path: Path, robonav_here: Robonav) -> None:
    import torch

    done = robonav_here("export", small_run.path, "--out", tmp_path / "bundle", "--format", "pt2,onnx")
    assert done.returncode == 0
    assert robonav_here("export", "--verify", tmp_path / "bundle").returncode == 0
    bundle, obs = read_bundle(tmp_path / "bundle"), observations(small_run.config, 500)
    program = torch.export.load(tmp_path / "bundle" / "policy.pt2").module()
    with torch.no_grad():
        told = program(torch.from_numpy(obs)).numpy()
    assert np.allclose(told, open_model(bundle)(obs), atol=1e-5)
