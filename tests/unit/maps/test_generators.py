"""Generated maps: connected for a body, with doors of their width, the same for the same numbers."""

from __future__ import annotations

import time
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from robonav_ray.config.worlds.maps import Generator, MapConfig
from robonav_ray.worlds.maps.distance_field import room_m
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.generators.cellular import ends, grow, has_way
from robonav_ray.worlds.maps.generators.make_map import MAKERS, make_map, map_seed
from robonav_ray.worlds.maps.grid_map import GridMap

BARN = MapConfig(generator="cellular", width_m=4.5, height_m=11.5, passage_m=0.75, num_maps=300)


def parts_for(grid: GridMap, radius_m: float) -> tuple[np.ndarray, int]:
    """Return the parts of the ground in which a disc of this radius fits, and their number."""
    room = room_m(grid.occupied, grid.resolution_m) >= radius_m
    return ndimage.label(room, np.ones((3, 3)))  # pyright: ignore[reportReturnType]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["rooms", "corridors", "maze", "forest"]),
    st.integers(0, 2**31 - 1),
    st.tuples(st.floats(4, 25), st.floats(4, 25)),
    st.sampled_from([0.05, 0.1, 0.03, 0.25]),
    st.floats(0.4, 3.0),
    st.floats(0.0, 0.6),
    st.sampled_from(["train", "held_out"]),
)
def test_every_free_part_is_reached_from_every_other(
    generator: Generator,
    seed: int,
    size: tuple[float, float],
    resolution_m: float,
    passage_m: float,
    fill_frac: float,
    split: str,
) -> None:
    config = MapConfig(
        generator=generator,
        seed=seed,
        width_m=size[0],
        height_m=size[1],
        resolution_m=resolution_m,
        passage_m=passage_m,
        fill_frac=fill_frac,
        split=split,  # pyright: ignore[reportArgumentType]
    )
    try:
        grid = make_map(config, 0)
    except MapError:
        assume(False)
    assert grid.occupied.shape == (round(size[1] / resolution_m), round(size[0] / resolution_m))
    assert parts_for(grid, max(passage_m / 2 - 0.15, 0.0))[1] == 1


def test_the_default_office_is_one_whole_for_a_body_as_wide_as_its_doors() -> None:
    for index in range(4):
        grid = make_map(MapConfig(), index)
        assert parts_for(grid, 0.7)[1] == 1
        assert 0.6 < 1.0 - grid.occupied.mean() < 0.95


def test_the_same_numbers_give_the_same_map_and_others_another() -> None:
    made = {
        make_map(config, index).content
        for config in (MapConfig(), MapConfig(seed=1), MapConfig(split="held_out"))
        for index in range(3)
    }
    assert len(made) == 9
    assert make_map(MapConfig(), 2).content in made


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(0, 4095), st.integers(0, 4095))
def test_training_never_takes_a_seed_that_is_held_out(one: int, other: int, i: int, j: int) -> None:
    assert map_seed(MapConfig(seed=one), i) % 2 == 0
    assert map_seed(MapConfig(seed=other, split="held_out"), j) % 2 == 1


def test_fields_of_the_barn_set_have_a_way_for_the_jackal() -> None:
    for index in (0, 5, 8):
        grid = make_map(BARN, index)
        begin, end = (grid.cell_of(np.array(point)) for point in ends(grid))
        part, _ = parts_for(grid, 0.75 / 2 - 0.05)
        assert part[tuple(begin)] == part[tuple(end)] > 0
        assert np.linalg.norm(np.subtract(*ends(grid))) == pytest.approx(10.0)
        assert not grid.occupied[: round(3.5 / 0.05), 3:-3].any()
        assert not grid.occupied[-round(3.5 / 0.05) :, 3:-3].any()


def grow_twin(field: np.ndarray, num_smoothings: int) -> np.ndarray:
    """The automaton of jackal-map-creation, place by place; its rows are our columns."""
    field = field.copy()
    field[:, [0, -1]] = True
    for _ in range(num_smoothings):
        before = field.copy()
        for y in range(field.shape[0]):
            for x in range(field.shape[1]):
                count = 0
                for j in (y - 1, y, y + 1):
                    for i in (x - 1, x, x + 1):
                        if 0 <= j < field.shape[0] and 0 <= i < field.shape[1]:
                            count += bool(before[j, i]) and (j, i) != (y, x)
                        else:
                            count += not 0 <= i < field.shape[1]
                field[y, x] = count >= 5 or (before[y, x] and count > 1)
    return field


@pytest.mark.parametrize("seed", range(3))
def test_the_automaton_is_that_of_the_barn_set(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fields = rng.random((3, 12, 15)) < 0.35
    for field, grown in zip(fields, grow(fields, 3), strict=True):
        np.testing.assert_array_equal(grown, grow_twin(field, 3))


def test_a_way_is_as_wide_as_the_window() -> None:
    field = np.ones((2, 10, 12), np.bool_)
    field[0, :, 3:8] = False
    field[1, :, 3:7] = False
    assert has_way(field).tolist() == [True, False]


@pytest.mark.parametrize("generator", get_args(Generator))
def test_what_does_not_fit_is_refused_with_its_key(generator: Generator) -> None:
    with pytest.raises(MapError, match=r"env\.world\.map: generator=.* passage_m=9 does not fit into 5 x 5 m"):
        make_map(MapConfig(generator=generator, width_m=5, height_m=5, passage_m=9), 0)


def test_every_generator_of_the_config_is_made() -> None:
    assert set(MAKERS) == set(get_args(Generator))


@pytest.mark.slow
def test_all_fields_of_the_barn_set_are_drawn() -> None:
    begin = time.perf_counter()
    for index in range(300):
        grid = make_map(BARN, index)
        part, _ = parts_for(grid, 0.75 / 2 - 0.05)
        start, goal = (tuple(grid.cell_of(np.array(point))) for point in ends(grid))
        assert part[start] == part[goal] > 0
    print(f"300 fields in {time.perf_counter() - begin:.1f} s")
