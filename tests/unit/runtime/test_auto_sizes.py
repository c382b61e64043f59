"""Sizes that the user has not set, on plain numbers; and that what was set, or stored, stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.load import dump_config, load_run_config
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.auto_sizes import (
    auto_batches_per_call,
    auto_num_shards,
    auto_steps_per_fragment,
    size_to_machine,
    sizes_of,
    updates_per_s,
)


def sizes(config: RunConfig) -> tuple[int, int, int]:
    return config.rollout.steps_per_fragment, config.learner.batches_per_call, config.replay.num_shards


def test_pieces_are_a_tenth_of_a_second() -> None:
    assert updates_per_s(512) == pytest.approx(364, abs=1)
    steps = {"batch_size": 256, "num_ranks": 1, "samples_per_insert": 4.0, "num_lanes": 64, "rows_per_step": 1}
    assert auto_steps_per_fragment(**steps) == 64  # 580 updates x 256 rows / 4 / 64 lanes = 580 steps a second
    assert auto_steps_per_fragment(**{**steps, "rows_per_step": 5}) == 32, "never less than in one process"
    assert auto_steps_per_fragment(**{**steps, "num_lanes": 4}) == 128, (
        "a fragment that dies with its worker is no larger"
    )
    assert auto_steps_per_fragment(**{**steps, "batch_size": 512, "num_ranks": 2}) == 112, "each rank makes half"
    assert [auto_batches_per_call(batch_size=b, num_ranks=1) for b in (2048, 512, 256, 64)] == [16, 32, 64, 64]
    assert [auto_num_shards(cores) for cores in (1, 2, 4, 8, 48)] == [1, 1, 1, 2, 2]


def test_what_is_not_set_is_chosen_and_said_and_what_is_set_stays() -> None:
    config = load_run_config(None, ["preset=navigation"])
    sized, text = size_to_machine(config, describe_task(config).spec, 2.0)
    assert sizes(sized) == (128, 32, 1)
    assert (
        text
        == "sized to this machine: rollout.steps_per_fragment=128, learner.batches_per_call=32, replay.num_shards=1"
    )
    assert sizes(config) == (32, 16, 2), "one process keeps the config's"
    same = ["rollout.steps_per_fragment=32", "learner.batches_per_call=16", "replay.num_shards=2"]
    set_all = load_run_config(None, ["preset=navigation", *same])
    assert size_to_machine(set_all, describe_task(set_all).spec, 2.0) == (set_all, "")
    set_one = load_run_config(None, ["preset=navigation", "replay.num_shards=3"])
    assert sizes(size_to_machine(set_one, describe_task(set_one).spec, 2.0).config) == (128, 32, 3)


def test_auto_says_that_a_size_is_not_set() -> None:
    config = load_run_config(
        None, ["rollout.steps_per_fragment=auto", "learner.batches_per_call=auto", "replay.num_shards=auto"]
    )
    assert sizes(config) == (32, 16, 2)
    assert sizes(size_to_machine(config, describe_task(config).spec, 2.0).config) == (112, 64, 1)


def test_pieces_stay_small_where_larger_ones_would_not_fit() -> None:
    config = load_run_config(None, ["replay.capacity=15_000"])
    assert sizes(size_to_machine(config, describe_task(config).spec, 2.0).config) == (32, 16, 2)
    tight = load_run_config(None, ["replay.error_buffer=15_000"])
    assert sizes(size_to_machine(tight, describe_task(tight).spec, 2.0).config) == (32, 16, 1)


def test_a_stored_run_keeps_its_sizes_also_under_a_config_that_does_not_set_them(tmp_path: Path) -> None:
    config = load_run_config(None, [])
    spec = describe_task(config).spec
    stored = size_to_machine(config, spec, 2.0).config
    (tmp_path / "config.yaml").write_text(dump_config(stored))
    again = load_run_config(tmp_path / "config.yaml", [], follow=False)
    assert sizes(again) == sizes(stored)
    assert size_to_machine(again, spec, 64.0) == (again, ""), "all of it is written down"
    assert sizes(sizes_of(load_run_config(None, ["learner.batches_per_call=8"]), stored)) == (112, 8, 1)
