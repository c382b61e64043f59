"""An exam over Ray is the same as here; one with a function of the program is played in the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import robonav_ray
from robonav_ray.errors import UserError

pytestmark = pytest.mark.ray


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "name: tiny\nnum_episodes: 50\nstage: basic_navigation\nscenarios: [{name: a}, {name: b, seed: 5}]\n"
    )
    return path


@pytest.mark.timeout(1200)
def test_over_ray_it_is_the_same_as_here(ray_session: None, tmp_path: Path, suite: Path):
    entrants = ("go_to_goal", "orca", "stop_and_go")
    here = robonav_ray.compare(*entrants, suite=suite, out=tmp_path / "here", local=True, quiet=True)  # compiles, once
    over_ray = robonav_ray.compare(*entrants, suite=suite, out=tmp_path / "ray", quiet=True)
    assert over_ray.columns.keys() == here.columns.keys()
    for name, column in here.columns.items():
        np.testing.assert_array_equal(over_ray.columns[name], column, err_msg=name)


def test_a_function_that_fails_is_one_message(ray_session: None, tmp_path: Path, suite: Path):
    def fails(obs):
        raise KeyError("mine")

    with pytest.raises(UserError, match="mine: failed: KeyError"):
        robonav_ray.compare("go_to_goal", {"mine": fails}, suite=suite, out=tmp_path / "out", quiet=True)
