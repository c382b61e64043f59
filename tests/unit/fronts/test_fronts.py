"""The public names run as users know them, cost nothing until they are asked for, and a stub tells tools about them."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

import robonav_ray

ROOT = Path(__file__).parents[3]


def test_the_snippet_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 4))
    device = torch.device("cpu")
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    criterion = nn.MSELoss()
    batch, step, epoch, path = (torch.randn(8, 10), torch.randn(8, 4)), 3, 1, "checkpoint.safetensors"
    episode, reward, success, collisions = 0, 9.5, True, 0

    from robonav_ray import CurriculumLearningSystem, DeviceManager, DistributedTrainer

    DeviceManager.print_device_info()
    batch_size = DeviceManager.find_optimal_batch_size(model, input_shape=(10,), device=device)

    trainer = DistributedTrainer(model=model, use_amp=True, gradient_accumulation_steps=4)
    metrics = trainer.training_step(batch, optimizer, criterion, step)
    trainer.save_checkpoint(path, epoch, optimizer, scheduler)

    curriculum = CurriculumLearningSystem()
    env_config, epsilon = curriculum.get_current_env_config(), curriculum.get_current_epsilon()
    progressed = curriculum.update(episode, reward, success, collisions)
    curriculum.print_progress()
    curriculum.save_progress(Path("curriculum_progress.json"))

    assert batch_size >= 256
    assert metrics["optimizer_step"] == 1.0
    assert trainer.load_checkpoint(path, optimizer, scheduler) == 1
    assert (epsilon, progressed) == (1.0, False)
    env = gymnasium.make("robonav_ray/Nav-v0", **env_config)
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    env.close()
    assert Path("curriculum_progress.json").is_file()
    printed = capsys.readouterr().out
    assert "cpu" in printed
    assert "> 0 basic_navigation" in printed


def test_the_example_of_the_page_runs_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "distributed_training.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    for epoch in (0, 1):
        known: dict = {}
        exec(compile(example, "distributed_training.md", "exec"), known)
        assert known["epoch"] == epoch
    assert known["trainer"].num_steps == 4
    assert "'optimizer_step': 1.0" in capsys.readouterr().out


def test_the_stub_names_what_can_be_imported():
    stub = ast.parse((ROOT / "robonav_ray" / "__init__.pyi").read_text())
    told = {
        alias.asname: node.module for node in ast.walk(stub) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert told == robonav_ray._FRONTS
    for name, module in told.items():
        found = getattr(robonav_ray, name)
        assert found is getattr(importlib.import_module(module), name) or (
            name in ("registry", "runs") and callable(found)
        )
        assert name in dir(robonav_ray)
    with pytest.raises(AttributeError, match="Optimiser"):
        _ = robonav_ray.Optimiser


def play(curriculum, episodes, first=0, **figures):
    """Report equal episodes until one opens the gate; return how many it took, None when none did."""
    figures = {"reward": 20.0, "success": True, "collisions": 0} | figures
    return next((i + 1 for i in range(episodes) if curriculum.update(first + i, **figures)), None)


def test_the_curriculum_climbs_through_its_four_stages_and_is_passed():
    from robonav_ray import CurriculumLearningSystem

    curriculum = CurriculumLearningSystem()
    first, config = 0, None
    for stage in range(4):
        assert curriculum.stage == stage
        assert curriculum.get_current_env_config() != config
        config = curriculum.get_current_env_config()
        assert not curriculum.passed
        took = play(curriculum, 200, first)
        assert took == 50, "a window of good episodes opens a gate"
        first += took
    assert curriculum.passed
    assert curriculum.stage == 3
    assert [t.reason for t in curriculum.progress.transitions] == ["gate", "gate", "gate", "passed"]
    assert [s.num_episodes for s in curriculum.progress.stages] == [50] * 4


def test_gates_look_at_success_collisions_and_reward():
    from robonav_ray import CurriculumLearningSystem

    for figures in ({"success": False}, {"success": False, "collisions": 2}, {"reward": 4.0}):
        assert play(CurriculumLearningSystem(), 120, **figures) is None
    mixed = CurriculumLearningSystem()
    outcomes = np.arange(50) % 5 == 0
    opened = [mixed.update(i, 20.0, not bad, int(bad), env_steps=7) for i, bad in enumerate(outcomes)]
    assert opened == [False] * 49 + [True]
    first = mixed.progress.stages[0]
    assert (first.num_successes, first.num_collisions, first.num_env_steps) == (40, 10, 350)


def test_epsilon_falls_with_the_episodes_and_a_forced_stage_stays():
    from robonav_ray import CurriculumLearningSystem
    from robonav_ray.config.worlds import WorldConfig

    curriculum = CurriculumLearningSystem(world=WorldConfig(num_robots=1, difficulty="fast"))
    epsilons = []
    for episode in range(5):
        epsilons.append(curriculum.get_current_epsilon())
        curriculum.update(episode, 0.0, False, 0)
    assert epsilons == pytest.approx([0.995**i for i in range(5)])
    curriculum.force_stage(2)
    assert curriculum.get_current_env_config()["levels"]["num_goals"] == 3
    assert curriculum.get_current_env_config()["world"]["difficulty"] == "fast"
    assert play(curriculum, 60, 5) == 50
    assert curriculum.stage == 2
    curriculum.force_stage(None)
    assert play(curriculum, 60, 100) is not None
    assert curriculum.stage == 3
    with pytest.raises(ValueError, match="no stage 9"):
        curriculum.force_stage(9)


def test_the_curriculum_goes_on_from_its_state():
    from robonav_ray import CurriculumLearningSystem

    one, other = CurriculumLearningSystem(), CurriculumLearningSystem()
    assert play(one, 30) is None
    other.load_state_dict(one.state_dict())
    assert play(other, 60, 30) == play(one, 60, 30) == 20
    assert other.get_current_epsilon() == one.get_current_epsilon()
    with pytest.raises(ValueError, match="keys"):
        other.load_state_dict({})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1.0, True, 0), "reported after 0"),
        ((1, float("nan"), True, 0), "finite"),
        ((1, 1.0, True, -1), "not negative"),
    ],
)
def test_figures_that_cannot_be_are_refused(arguments, message):
    from robonav_ray import CurriculumLearningSystem

    curriculum = CurriculumLearningSystem()
    curriculum.update(0, 1.0, True, 0)
    with pytest.raises(ValueError, match=message):
        curriculum.update(*arguments)
    assert curriculum.progress.num_episodes == 1
