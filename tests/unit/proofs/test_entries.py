"""Every published result is declared whole: its config loads, its tests exist, its bound is the one that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from proofs.reproduction import program as reproduce
from proofs.reproduction.entries import ENTRIES, UnknownEntryError, chosen_entries, with_seeds
from proofs.reproduction.entry import ROOT, Command, Training
from proofs.reproduction.store import task_hash, trial_of
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.sizes import check_sizes

TRAININGS = [entry for entry in ENTRIES if isinstance(entry.task, Training)]
COMMANDS = [entry for entry in ENTRIES if isinstance(entry.task, Command)]


def test_every_row_of_the_list_is_there():
    assert {entry.group for entry in ENTRIES} == {"cartpole", "her_bitflip", "per_cliffwalk", "suites", "peers"}
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", TRAININGS, ids=lambda e: e.name)
def test_configs_load_and_end_by_themselves(entry):
    config = entry.task.config(entry.seeds[0])
    assert config.seed == entry.seeds[0]
    assert config.budget.max_env_steps is not None
    check_sizes(config, describe_task(config).spec, memory_bytes=8 << 30)
    assert (
        str(entry.task.measure.episodes if "training" in entry.task.measure.what else config.evaluation.num_episodes)
        in entry.measured
    )


@pytest.mark.parametrize("entry", [e for e in ENTRIES if "minus one" in e.tolerance], ids=lambda e: e.name)
def test_the_bound_is_the_published_mean_minus_one_deviation(entry):
    mean, std = map(float, re.findall(r"\d+\.\d+", entry.published)[:2])
    assert entry.threshold == pytest.approx(mean - std)
    assert entry.bound == "at least"
    assert entry.level == mean


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda e: e.name)
def test_commands_name_what_is_there(entry):
    for part in entry.task.arguments:
        if part.startswith("scripts/"):
            assert (ROOT / part).is_file()
        if part.startswith("tests/"):
            path, _, function = part.partition("::")
            assert re.search(rf"^def {function}\(", (ROOT / path).read_text(), flags=re.MULTILINE), part


def test_the_published_settings_are_those_of_the_configs():
    by_name = {entry.name: entry.task.config(1) for entry in TRAININGS}
    dqn, c51 = by_name["cleanrl_dqn_cartpole"], by_name["cleanrl_c51_cartpole"]
    for config in (dqn, c51):
        steps_per_update = config.learner.batch_size / config.replay.samples_per_insert
        assert (steps_per_update, steps_per_update * config.learner.target_interval) == (10, 500)
        assert config.curriculum.stages[0].epsilon.steps == config.budget.max_env_steps / 2 == 250_000
    assert (c51.algo.num_atoms, c51.algo.v_min, c51.algo.v_max, c51.learner.adam_eps) == (101, -100, 100, 0.01 / 128)
    for name in ("zoo_dqn_cartpole", "zoo_qrdqn_cartpole"):
        config = by_name[name]
        updates = config.replay.samples_per_insert * config.rollout.steps_per_fragment / config.learner.batch_size
        assert (config.rollout.steps_per_fragment, updates, config.learner.target_interval) == (256, 128, 128)
        assert config.curriculum.stages[0].epsilon.steps == 0.16 * config.budget.max_env_steps
    assert by_name["zoo_qrdqn_cartpole"].learner.adam_eps == 0.01 / 64


def test_names_groups_and_all():
    assert [e.name for e in chosen_entries(["zoo_dqn_cartpole", "rllib_cartpole"])] == [
        "rllib_cartpole",
        "zoo_dqn_cartpole",
    ]
    assert {e.group for e in chosen_entries(["cartpole"])} == {"cartpole"}
    assert chosen_entries(["all", "suites"]) == list(ENTRIES)
    with pytest.raises(UnknownEntryError, match="did you mean 'cleanrl_c51_cartpole'"):
        chosen_entries(["cleanrl_c51_cartpol"])


def test_a_bad_name_ends_with_2_and_names_the_nearest(capsys):
    assert reproduce.main(["run", "her_bitflip_3"]) == 2
    assert "did you mean 'her_bitflip_30'" in capsys.readouterr().err


def test_list_shows_every_entry(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert reproduce.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(entry.name in shown for entry in ENTRIES)


def test_seeds_begin_with_the_entrys_own(tmp_path):
    training, command = TRAININGS[0], COMMANDS[0]
    assert with_seeds(training, None) == training.seeds
    assert with_seeds(replace(training, seeds=(11, 12)), 3) == (11, 12, 13)
    assert with_seeds(command, 3) == command.seeds
    assert trial_of(training, 1, tmp_path).folder != trial_of(training, 2, tmp_path).folder


def test_the_hash_follows_what_is_asked_for_and_nothing_else():
    entry = TRAININGS[0]
    assert task_hash(entry, 1) == task_hash(replace(entry, minutes=99, published="else"), 1)
    other = replace(entry.task, overrides=("learner.learning_rate=1e-5",))
    assert task_hash(entry, 1) != task_hash(replace(entry, task=other), 1)
    unseen = replace(entry.task, overrides=("checkpoint.keep=7",))
    assert task_hash(entry, 1) == task_hash(replace(entry, task=unseen), 1)


def test_the_script_runs_from_anywhere(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "run", "al"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean 'all'" in done.stderr
