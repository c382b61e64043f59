"""Counts between edges: nothing is lost that is finite, nothing else is counted."""

import numpy as np
import pytest

from robonav_ray.histograms import Histogram, count_between


def test_every_finite_value_is_counted_once() -> None:
    values = np.array([[0.0, 1.0, np.nan], [np.inf, 0.25, 1.0]])
    found = Histogram.of("room/x", values, num_bins=4)
    np.testing.assert_array_equal(found.edges, [0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_array_equal(found.counts, [1, 1, 0, 2])


def test_without_finite_values_there_is_no_histogram() -> None:
    for values in (np.zeros(0), np.full(3, np.nan)):
        with pytest.raises(ValueError, match="at least one finite value"):
            Histogram.of("room/x", values)


def test_values_beyond_the_ends_are_counted_at_the_ends() -> None:
    np.testing.assert_array_equal(count_between(np.array([-5.0, 0.5, 9.0, np.inf]), np.array([0.0, 1.0, 2.0])), [2, 1])
