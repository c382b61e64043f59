"""``robonav play --planner``: a film of a planner, and what is typed wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Robonav


def test_it_films_a_planner_without_a_run(robonav_here: Robonav, tmp_path: Path) -> None:
    words = ("--planner", "dwa:default", "--stage", "0", "--episodes", "1", "--seed", "3")
    assert robonav_here("play", *words, cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "play-dwa-default-stage0-seed3.gif") as film:
        assert film.n_frames > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the run whose policy shall drive, or a planner with --planner"),
        (["--planner", "dwe"], "did you mean 'dwa'"),
        (["--planner", ""], "there is no planner ''"),
        (["--planner", "dwa:best"], "leave out the rest"),
        (["--planner", "dwa", "--stage", "9"], "there is no stage '9'"),
        (["--planner", "dwa", "--checkpoint", "best"], "--checkpoint would be ignored"),
        (["--planner", "dwa", "--window", "--output", "a.gif"], "--output goes with a GIF"),
        (["no/such/run", "--planner", "dwa"], "no/such/run"),
    ],
)
def test_what_is_typed_wrong_is_said(words: list[str], message: str, robonav_here: Robonav, tmp_path: Path) -> None:
    code, _, err = robonav_here("play", *words, cwd=tmp_path)
    assert code == 2
    assert message in " ".join(err.split())
    assert not list(tmp_path.iterdir())
