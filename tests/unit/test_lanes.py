"""The suite fails when one of its parts does, and every test belongs to one of them."""

from pathlib import Path

import pytest

from tests.lanes import LAST, PARTS, exit_code, parts

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((0, 5), 0), ((5, 5), 1), ((0, 1), 1), ((0, -9), 1), ((-11, 0), 1), ((2, 5), 1)],
)
def test_one_lane_that_fails_or_is_killed_fails_the_suite(codes: tuple[int, int], expected: int) -> None:
    assert exit_code(*codes) == expected


def test_the_part_with_ray_collects_every_test_that_needs_it_and_the_last_one_what_the_rest_leaves_out() -> None:
    mark = ".".join(("pytest", "mark", "ray"))
    marked = [path.relative_to(ROOT) for path in ROOT.glob("tests/**/test_*.py") if mark in path.read_text()]
    assert [path for path in marked if path.parent.as_posix() not in PARTS["ray"][1]] == []
    assert parts([])["rest"][-len(LAST) :] == [f"--ignore={folder}" for folder in LAST]
    assert [folder for folder in LAST if not (ROOT / folder).is_dir()] == []


def test_paths_that_are_given_take_the_place_of_the_folders() -> None:
    assert parts(["-x"])["ray"][-3:] == ["-x", *PARTS["ray"][1]]
    chosen = parts([__file__, "-x"])
    assert chosen.keys() == {"ray", "rest"}
    assert [command[-2:] for command in chosen.values()] == [[__file__, "-x"]] * 2
