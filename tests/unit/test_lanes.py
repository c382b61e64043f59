"""The suite fails when one of its lanes does."""

import pytest

from tests.lanes import exit_code


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((0, 5), 0), ((5, 5), 1), ((0, 1), 1), ((0, -9), 1), ((-11, 0), 1), ((2, 5), 1)],
)
def test_one_lane_that_fails_or_is_killed_fails_the_suite(codes: tuple[int, int], expected: int) -> None:
    assert exit_code(*codes) == expected
