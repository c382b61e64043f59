"""Seeds in plain integers are those of the kernels' streams."""

from __future__ import annotations

import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from robonav_ray.counter_rng import derive_key, mix64, seed_for


@settings(deadline=None)  # the first one waits for the kernels
@given(seed=st.integers(0, 2**64 - 1), role=st.integers(1, 6), index=st.integers(0, 2**62))
def test_a_seed_is_what_the_kernels_derive(seed: int, role: int, index: int) -> None:
    key = derive_key(np.uint64(derive_key(np.uint64(mix64(np.uint64(seed))), role)), index)
    assert seed_for(seed, role, index) == int(key) >> 1
    assert 0 <= seed_for(seed, role, index) <= sys.maxsize


def test_seeds_never_change() -> None:
    """Stored runs are resumed, and results compared, by them."""
    assert [seed_for(0, 1), seed_for(7, 4), seed_for(2**40 + 3, 3, 12 << 20)] == KNOWN


KNOWN = [4624407066859349662, 1361909157041011049, 5472622150605577110]
