"""The suite fails when one of its lanes does."""

from pathlib import Path

import pytest

from tests.lanes import FOLDERS, command, exit_code

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((0, 5), 0), ((5, 5), 1), ((0, 1), 1), ((0, -9), 1), ((-11, 0), 1), ((2, 5), 1)],
)
def test_one_lane_that_fails_or_is_killed_fails_the_suite(codes: tuple[int, int], expected: int) -> None:
    assert exit_code(*codes) == expected


def test_the_lane_with_ray_collects_every_test_that_needs_it() -> None:
    mark = ".".join(("pytest", "mark", "ray"))
    marked = [path.relative_to(ROOT) for path in ROOT.glob("tests/**/test_*.py") if mark in path.read_text()]
    assert [path for path in marked if path.parent.as_posix() not in FOLDERS["ray"]] == []


def test_paths_that_are_given_are_those_of_both_lanes() -> None:
    assert command("ray", ["-x"])[-2:] == FOLDERS["ray"]
    assert [command(name, [__file__, "-x"])[-2:] for name in FOLDERS] == [[__file__, "-x"]] * 2
