"""WeightSink and WeightSource keep the same promises in one process and over Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from robonav_ray.interfaces import WeightSink, WeightSource
from robonav_ray.records import PolicySnapshot
from robonav_ray.weights.store import WeightStore

NAMES = ("trunk.weight", "trunk.bias")


@dataclass
class Setup:
    sink: WeightSink
    make_source: Callable[[], WeightSource]
    """One per reader."""


@pytest.fixture(params=["plain", pytest.param("ray", marks=pytest.mark.ray)])
def setup(request) -> Iterator[Setup]:
    if request.param == "plain":
        store = WeightStore()
        yield Setup(store, lambda: store)
        return
    request.getfixturevalue("ray_session")
    import ray

    from robonav_ray.weights.remote import RemoteWeights, start_weight_store

    actor, weights = start_weight_store()
    yield Setup(weights, lambda: RemoteWeights(actor))
    ray.kill(actor)


def snapshot(version: int) -> PolicySnapshot:
    """Every number in it says which version it is of."""
    arrays = (np.full((64, 3), version, np.float32), np.full(3, -version, np.float32))
    return PolicySnapshot(version, 10 * version, NAMES, arrays)


def seen(source: WeightSource, version: int) -> PolicySnapshot:
    """Ask until there is something newer than ``version``; a remote source may answer a call late."""
    deadline = time.monotonic() + 120.0
    while (found := source.newer_than(version)) is None:
        assert time.monotonic() < deadline, f"nothing newer than {version} within two minutes"
        time.sleep(0.002)
    return found


def test_an_empty_store_has_nothing(setup):
    source = setup.make_source()
    assert isinstance(setup.sink, WeightSink)
    assert isinstance(source, WeightSource)
    for _ in range(5):
        assert source.newer_than(-1) is None
        time.sleep(0.002)


def test_what_was_published_arrives_whole_and_once(setup):
    setup.sink.publish(snapshot(3))
    for source in (setup.make_source(), setup.make_source()):
        got = seen(source, -1)
        assert (got.version, got.learner_step, got.names, got.num_bytes) == (3, 30, NAMES, 4 * 195)
        for array, expected in zip(got.arrays, snapshot(3).arrays, strict=True):
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, expected)
        for _ in range(5):
            assert source.newer_than(3) is None
            time.sleep(0.002)


def test_a_reader_sees_rising_versions_and_at_last_the_newest(setup):
    source = setup.make_source()
    versions = [-1]
    for version in range(1, 31):
        setup.sink.publish(snapshot(version))
        found = source.newer_than(versions[-1])
        if found is not None:
            assert (found.arrays[0] == found.version).all(), "version and weights belong together"
            versions.append(found.version)
    while versions[-1] < 30:
        versions.append(seen(source, versions[-1]).version)
    assert versions == sorted(set(versions))
    assert seen(setup.make_source(), -1).version == 30, "who comes late gets the newest, not the first"


def test_who_has_nothing_yet_gets_what_there_is_at_the_first_call(setup):
    setup.sink.publish(snapshot(3))
    assert setup.make_source().wait_newer_than(3) is None
    found = setup.make_source().wait_newer_than(-1)
    assert found is not None
    assert found.version == 3


def test_a_version_that_does_not_rise_is_refused_and_changes_nothing(setup):
    def publish_twice(version: int) -> None:
        """A sink that does not wait for the answer raises at its next call."""
        for _ in range(2):
            setup.sink.publish(snapshot(version))

    setup.sink.publish(snapshot(5))
    with pytest.raises(ValueError, match="rise"):
        publish_twice(4)
    assert seen(setup.make_source(), -1).version == 5
    setup.sink.publish(snapshot(6))
    assert seen(setup.make_source(), 5).version == 6
