"""Numbers of saved states: in their range, or named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robonav_ray.ranges import RangeError, check_generator, check_numbers, columns, count, like, real, require, within


def refused(declared: Any, value: Any) -> str:
    with pytest.raises(RangeError) as caught:
        declared.check("x", value)
    return str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -0.1])
@pytest.mark.parametrize("at", [0, 99_999, 123_456])
def test_one_number_among_many_is_found(value: float, at: int) -> None:
    array = np.full((200_000, 3), 0.5, np.float32)
    like(array, 0.0, 1.0).check("x", array)
    array[at, 1] = value
    assert refused(like(array, 0.0, 1.0), array).startswith(f"x[{at}, 1] is ")


def test_columns_have_bounds_of_their_own() -> None:
    low, high = columns(3, {1: (-5, 5)}, 0, 1, np.int64)
    array = np.array([[0, -5, 1], [1, 5, 0]])
    like(array, low, high).check("x", array)
    array[1, 2] = 2
    assert refused(like(array, low, high), array) == "x[1, 2] is 2 and must be from 0 to 1"


@pytest.mark.parametrize("value", [True, "1", None, [], {}, [1], 1.0, 1.5, 2**63, -(2**70), 10**400, [[1], [1, 2]]])
def test_what_json_may_hold_in_the_place_of_a_count(value: Any) -> None:
    count().check("x", 7)
    assert refused(count(), value).startswith("x")


def test_numbers_in_json_may_be_whole_where_they_need_not() -> None:
    real().check("x", 1)
    real(None, 2).check("x", [])
    real(None, 2).check("x", [[1, 2.5], [3, 4]])
    for value in (True, "nan", [[1, 2], [3]], [[1, 2, 3]], 1e200):
        refused(real(None, 2) if isinstance(value, list) else real(), value)


def test_a_bool_is_one_byte_of_two() -> None:
    array = np.array([0, 1, 7], np.uint8).view(np.bool_)
    assert refused(like(array, 0, 1), array) == "x[2] is 7 and must be from 0 to 1"


def test_another_shape_or_dtype_is_of_another_config_and_no_range() -> None:
    mine = np.zeros((2, 3), np.int32)
    for other in (np.zeros((2, 2), np.int32), np.zeros((2, 3), np.int64), np.zeros((2, 3), ">i4")):
        with pytest.raises(ValueError, match=r"the state: x: expected int32 \(2, 3\)") as caught:
            check_numbers("the state", {"x": other}, {"x": like(mine, 0, 1)})
        assert not isinstance(caught.value, RangeError)
    for state in ({}, {"x": mine, "y": 1}, [1]):
        with pytest.raises(ValueError, match="the state"):
            check_numbers("the state", state, {"x": like(mine, 0, 1)})  # type: ignore[arg-type]


def test_places_are_put_before() -> None:
    with pytest.raises(RangeError, match=r"^file: array: too large$"), within("file: "), within("array: "):
        require(np.array([True, False]), "too large")


def test_a_generators_state_is_one_that_numpy_takes() -> None:
    state: Any = np.random.default_rng(3).bit_generator.state
    check_generator("rng", state)
    bad = [
        {**state, "bit_generator": "MT19937"},
        {**state, "uinteger": 2**32},
        {**state, "has_uint32": 2},
        {**state, "state": {**state["state"], "inc": 2}},
        {**state, "state": {**state["state"], "state": -1}},
        {**state, "state": 7},
        {**state, "state": {**state["state"], "state": 2**128}},
        None,
    ]
    for other in bad:
        with pytest.raises(RangeError, match="rng: is no state of PCG64"):
            check_generator("rng", other)
