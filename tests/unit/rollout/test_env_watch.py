"""Numbers of an environment become means over its last episodes; what cannot be one, and what never ends, is said
once."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from robonav_ray.records import EpisodeFacts
from robonav_ray.rollout.env_numbers import MAX_NAMES, NumberSums, sums_of
from robonav_ray.rollout.env_watch import WINDOW, EnvWatch
from robonav_ray.rollout.rollout_stats import RolloutStats


def test_sums_leave_out_what_an_episode_did_not_tell() -> None:
    known: set[str] = set()
    facts = EpisodeFacts(
        numbers={"a": np.array([1.0, np.nan, 3.0]), "b": np.array([np.nan, 5.0, np.nan])}, dropped=("c", "c")
    )
    told = sums_of(facts, known).plus(sums_of(facts, known))
    assert told == NumberSums({"a": (8.0, 4), "b": (10.0, 2)}, 4, ("c",))
    assert NumberSums().plus(told) == told


def test_no_more_names_than_so_many_are_taken() -> None:
    known: set[str] = set()
    facts = EpisodeFacts(numbers={f"n{i}": np.array([1.0, 1.0]) for i in range(MAX_NAMES + 3)})
    told = sums_of(facts, known)
    assert (len(told.sums), told.num_dropped) == (MAX_NAMES, 6)
    assert sums_of(EpisodeFacts(numbers={"late": np.ones(1), "n0": np.ones(1)}), known).sums == {"n0": (1.0, 1)}


def test_means_go_over_the_last_episodes(caplog: pytest.LogCaptureFixture) -> None:
    watch = EnvWatch(100)
    assert watch.metrics() == {}
    for value in (1.0, 2.0, 3.0):
        watch.add(RolloutStats(fragments=1, told=NumberSums({"x": (value * WINDOW, WINDOW)})))
    assert watch.metrics() == {"info/x": 3.0}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            watch.add(RolloutStats(fragments=1, told=NumberSums({}, 2, ("text", "inf"))))
    assert watch.metrics() == {"info/x": 3.0, "rollout/info_dropped": 6.0}
    assert len(caplog.records) == 1
    assert "'text', 'inf'" in caplog.text


def test_an_episode_without_end_is_said_while_it_runs(caplog: pytest.LogCaptureFixture) -> None:
    watch = EnvWatch(100)
    with caplog.at_level(logging.WARNING):
        for longest in (100, 101, 500):
            watch.add(RolloutStats(fragments=1, longest_episode=longest))
    assert "has not ended for 500 env steps" in watch.message
    assert len(caplog.records) == 1
    watch.add(RolloutStats())
    assert watch.message, "no news"
    watch.add(RolloutStats(fragments=1, longest_episode=3))
    assert not watch.message
