"""Floor plans: which maps the worlds take place in, and the way through them that a robot is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.words import ShownPlace

GENERATORS = ("rooms", "corridors", "maze", "cellular", "forest")
"""Kinds of maps that are made."""
Generator = Literal["rooms", "corridors", "maze", "cellular", "forest"]


class Point(Section):
    """A place in a map, in the map's own frame, in which its origin is given."""

    x_m: float
    """Along the map's x axis."""
    y_m: float
    """Along its y axis."""


class MapConfig(Section):
    """Maps for the worlds: files, or a generator. Every episode draws one of them.

    ``env.world.map=my_map.yaml`` is short for ``env.world.map.files=[my_map.yaml]``.
    """

    files: tuple[ShownPlace, ...] = Field(default=(), max_length=4096)
    """Map files as map_server writes them (YAML), folders of such, or names of shipped maps (``office``)."""
    held_out: tuple[ShownPlace, ...] = Field(default=(), max_length=4096)
    """The same, of maps that are kept for evaluation: ``split=held_out`` takes these in place of ``files``."""
    generator: Generator | None = "rooms"
    """Where no files are named: ``rooms`` (offices along a corridor, furnished), ``corridors``, ``maze``, ``cellular``
    (a cellular automaton, as the BARN set), ``forest`` (trunks). null with files."""
    split: Literal["train", "held_out"] = "train"
    """Whether the worlds take the maps for training, or those held out: of a generator, made from seeds that training
    never takes."""
    num_maps: int = Field(default=32, ge=1, le=4096)
    """Maps that the generator makes."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """From which the generator's maps follow; another seed gives other maps."""
    width_m: float = Field(default=20.0, ge=4.0, le=100.0)
    """Of a generated map, along x."""
    height_m: float = Field(default=20.0, ge=4.0, le=100.0)
    """Of a generated map, along y."""
    resolution_m: float = Field(default=0.05, ge=0.01, le=0.5)
    """Side of a cell of a generated map."""
    passage_m: float = Field(default=1.4, gt=0.2, le=10.0)
    """Least width of doors and corridors that the generator makes; for ``forest`` between two trunks."""
    fill_frac: float = Field(default=0.2, ge=0.0, le=0.6)
    """Part of the ground that the generator fills at first: furniture, cells of the automaton, trunks."""
    unknown: Literal["occupied", "free"] = "occupied"
    """What cells are that a map says nothing of."""
    clearance_m: float | None = Field(default=None, gt=0.0, le=5.0)
    """Routes, starts and goals keep the robot's centre this far from walls; None takes the body's outer radius and 10
    cm."""
    num_goals: int = Field(default=64, ge=2, le=1024)
    """Places per map that goals are drawn from, spread over what is reachable; routes to each are kept."""
    goals: tuple[Point, ...] = Field(default=(), max_length=256)
    """Places that goals are drawn from instead, in the frame of the one map there is."""
    course: Literal["free", "ends"] = "free"
    """``free``: every episode draws its map, start and goal. ``ends``, for ``cellular``: it leads from one end of its
    map to the other, as in the BARN set, and the maps take turns, world i beginning with map i."""
    memory_mb: float = Field(default=512.0, gt=0.0, le=65536.0)
    """The most that maps and their routes may take in a process; more is refused before anything starts."""

    @model_validator(mode="before")
    @classmethod
    def _files_need_no_generator(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("files") and "generator" not in data:  # pyright: ignore
            return {**data, "generator": None}  # pyright: ignore[reportUnknownVariableType]
        return data  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _one_source(self) -> MapConfig:
        given = self.model_fields_set
        if self.generator is None and not self.files:
            raise ValueError(f"name map files (files), or a generator: one of {', '.join(GENERATORS)}")
        if self.generator is not None and (self.files or self.held_out):
            raise ValueError(f"files and held_out would be ignored with generator={self.generator}: leave one side out")
        if self.generator is None:
            idle = sorted(given & {"num_maps", "seed", "width_m", "height_m", "resolution_m", "passage_m", "fill_frac"})
            default = {name: type(self).model_fields[name].default for name in idle}
            idle = [name for name in idle if getattr(self, name) != default[name]]
            if idle:
                raise ValueError(f"{idle[0]} is for a generator, and would be ignored with files: leave it out")
            if self.split == "held_out" and not self.held_out:
                raise ValueError("split=held_out needs maps that were held out: name them in held_out")
        if self.course == "ends" and self.generator != "cellular":
            raise ValueError("course=ends is for maps with two ends: set generator=cellular, or leave course out")
        if self.generator is not None and self.goals:
            raise ValueError("goals are places of one map; generated maps are all different: leave goals out")
        return self


def map_section(value: Any) -> Any:
    """Return what ``env.world.map`` may be given as, a file or a list of files, as a mapping of ``MapConfig``."""
    if isinstance(value, str):
        return {"files": [value]}
    if isinstance(value, list | tuple):
        return {"files": value}  # pyright: ignore[reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


class PathConfig(Section):
    """The way ahead, as a global planner gives it: the next points of the route to the goal, in the robot's frame."""

    num_points: int = Field(default=0, ge=0, le=16)
    """Points in an observation; 0 shows the goal alone."""
    spacing_m: float = Field(default=0.6, gt=0.0, le=10.0)
    """Way between two of them, along the route."""
    replan_m: float = Field(default=0.5, gt=0.0, le=10.0)
    """A robot farther than this from its route gets a new one."""
