"""The values that a search may give to a run: drawn, put on a grid, written as points of a cube, and checked before
anything starts.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from robonav_ray.config.load import ConfigError, check_run_config
from robonav_ray.config.run import RunConfig
from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.tuning.keys import EVERY, are_overlapping, problem_with

Params = dict[str, Any]
"""Values by dotted key of a run's config."""
NUM_SAMPLES = 64
"""Samples that ``check_space`` looks at."""
MAX_CORNERS = 256
"""Corners that ``check_space`` looks at: all of them in a small space, so many at random in a larger one."""


class Dimension:
    """Where the values of one key come from, and their place in [0, 1]: every value with equal share there is equally
    likely.

    Whole numbers and choices are cells. Of n equally likely values number i has the cell [i / n, (i + 1) / n) and
    stands for its middle; ``log_integer`` v has the cell of [v - 1/2, v + 1/2) on a logarithmic scale.
    """

    def __init__(self, key: str, config: DimensionConfig) -> None:
        self.key, self.kind = key, config.kind
        self.choices: tuple[Any, ...] = config.choice or ()
        self.low, self.high = (0, 0) if config.choice else getattr(config, config.kind)
        margin = 0.5 if self.kind == "log_integer" else 0.0
        self._is_log = self.kind in ("loguniform", "log_integer")
        if self._is_log:
            self._start, self._end = math.log(self.low - margin), math.log(self.high + margin)
        else:
            self._start, self._end = float(self.low), float(self.high)

    @property
    def values(self) -> tuple[Any, ...] | None:
        """All values of a choice or an integer range, in order; None where they have no end or are not equally
        likely.
        """
        if self.kind == "choice":
            return self.choices
        return tuple(range(self.low, self.high + 1)) if self.kind == "integer" else None

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Both bounds of a number; every value of a choice."""
        return self.choices if self.kind == "choice" else (self.low, self.high)

    def encode(self, value: Any) -> float:
        """Return the place of ``value``; a number beyond the bounds has that of the nearest. ValueError for a value
        that is no choice.
        """
        if self.kind == "choice":
            return (self.index_of(value) + 0.5) / len(self.choices)
        value = min(max(value, self.low), self.high)
        if self.kind == "integer":
            return (value - self.low + 0.5) / (self.high - self.low + 1)
        width = self._end - self._start
        if width == 0.0:  # bounds so near to each other that their logarithms are one number
            return 0.5
        return ((math.log(value) if self._is_log else value) - self._start) / width

    def decode(self, place: float) -> Any:
        """Return the value at ``place`` in [0, 1]."""
        if self.kind == "choice":
            return self.choices[min(int(place * len(self.choices)), len(self.choices) - 1)]
        if self.kind == "integer":
            return min(self.low + int(place * (self.high - self.low + 1)), self.high)
        value = self._start + place * (self._end - self._start)
        value = math.exp(value) if self._is_log else value
        return min(max(round(value) if self.kind == "log_integer" else value, self.low), self.high)

    def index_of(self, value: Any) -> int:
        """Return which choice ``value`` is; lists, as JSON has them, count as tuples. ValueError for one that is
        none.
        """
        value = tuple(value) if isinstance(value, list) else value
        equal = [i for i, choice in enumerate(self.choices) if choice == value]
        alike = [i for i in equal if type(self.choices[i]) is type(value)]  # of 1 and True, the one that is meant
        if not equal:
            raise ValueError(f"space.{self.key}: {value!r} is not one of {', '.join(map(repr, self.choices))}")
        return (alike or equal)[0]


class Space:
    """The dimensions of a search, in the order in which they are written down. Points are (d,) float64 in the unit
    cube.
    """

    def __init__(self, space: Mapping[str, DimensionConfig]) -> None:
        self.dimensions = tuple(Dimension(key, config) for key, config in space.items())
        self.keys = tuple(space)

    def __len__(self) -> int:
        return len(self.dimensions)

    def sample(self, rng: np.random.Generator) -> Params:
        """Draw one value for every key."""
        return self.decode(rng.random(len(self)))

    def encode(self, params: Mapping[str, Any]) -> np.ndarray:
        """Return the point of ``params``. ``decode`` gives back what is discrete exactly, numbers to 1e-9 of their
        range.
        """
        return np.array([dimension.encode(params[dimension.key]) for dimension in self.dimensions])

    def decode(self, point: np.ndarray) -> Params:
        """Return the values at ``point``, which is brought into the cube where it lies outside; ValueError for NaN."""
        if np.isnan(point).any():
            raise ValueError("a point of the search space has no NaN")
        places = np.clip(point, 0.0, 1.0).tolist()
        return {dimension.key: dimension.decode(u) for dimension, u in zip(self.dimensions, places, strict=True)}

    @property
    def grid_size(self) -> int | None:
        """How many combinations there are; None when a key has no end of values."""
        sizes = [None if d.values is None else len(d.values) for d in self.dimensions]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def grid_point(self, index: int) -> Params:
        """Return combination number ``index``, the first key changing most slowly; ValueError when there is no grid."""
        params: Params = {}
        for dimension in reversed(self.dimensions):
            values = dimension.values
            if values is None:
                raise ValueError(f"space.{dimension.key}: {dimension.kind} has no end of values, so there is no grid")
            index, at = divmod(index, len(values))
            params[dimension.key] = values[at]
        return {key: params[key] for key in self.keys}

    def grid(self) -> Iterator[Params]:
        """Yield all combinations, the first key changing most slowly; ValueError when a key has no end of values."""
        size = self.grid_size
        # the first says why there is none
        return (self.grid_point(index) for index in range(1 if size is None else size))

    def corners(self, rng: np.random.Generator, most: int = MAX_CORNERS) -> Iterator[Params]:
        """Yield every combination of bounds and choices, or ``most`` random ones where there are more."""
        extremes = [dimension.extremes for dimension in self.dimensions]
        if math.prod(map(len, extremes)) <= most:
            for values in itertools.product(*extremes):
                yield dict(zip(self.keys, values, strict=True))
            return
        for _ in range(most):
            yield {key: values[rng.integers(len(values))] for key, values in zip(self.keys, extremes, strict=True)}


def apply_params(run: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of ``run`` with ``params`` over them; ``run`` itself is not changed.

    A list that a key goes into and ``run`` does not have is filled in first, as the run would have it: from its preset,
    the defaults, or for an environment without outcomes the one open stage.

    Raises:
        ConfigError: When a key leads nowhere, or ``run`` has to be filled in and is not valid.
    """
    result = with_lists(run, tuple(params))
    for key, value in params.items():
        _set(result, key.split("."), value, key)
    return result


def with_lists(run: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return a copy of ``run`` that has every list that ``keys`` go into; ConfigError as for ``apply_params``."""
    result: dict[str, Any] = _copied(run)
    defaults: dict[str, Any] | None = None
    for key in keys:
        parts = key.split(".")
        depth = next((i for i, part in enumerate(parts) if part == EVERY or part.isdigit()), None)
        if depth is None or _look_up(result, parts[:depth]) is not None:
            continue
        defaults = check_run_config(run, "run").sections_in_use() if defaults is None else defaults
        default = _look_up(defaults, parts[:depth])
        if default is not None:
            _set(result, parts[:depth], _copied(default), key)
    return result


def trial_config(run: Mapping[str, Any], params: Mapping[str, Any]) -> RunConfig:
    """Return the checked config of the run that has ``params`` over ``run``.

    Raises:
        ConfigError: Naming the keys, their values, what is wrong with them and what to do.
    """
    sections = apply_params(run, params)
    try:
        return check_run_config(sections, "run")
    except ConfigError as error:
        told = str(error)
    words = set(re.findall(r"\w+", told))
    guilty = [key for key in params if key.rpartition(".")[2] in words] or list(params)
    names = ", ".join(f"space.{key}" for key in guilty)
    values = ", ".join(f"{key}={_shown(value)}" for key, value in params.items())
    raise ConfigError(
        f"{names}: some values in the space give no valid run, for instance {values}:\n  {told}\n"
        "Narrow the space, or change what all trials have in common (run)"
    )


def probes(config: TuningConfig) -> Iterator[tuple[Params, RunConfig]]:
    """Yield corners and samples of the space, the same every time, each with its run.

    Raises:
        ConfigError: For the first that gives no valid run (see ``trial_config``).
    """
    space, rng = Space(config.space), np.random.default_rng(config.seed)
    run = with_lists(config.run, space.keys)
    samples = (space.sample(rng) for _ in range(NUM_SAMPLES))
    for params in itertools.chain(space.corners(rng), samples):
        yield params, trial_config(run, params)


def check_space(config: TuningConfig) -> None:
    """Refuse a space with keys that do not exist or are not a search's to vary, a ``run`` that is not valid, and values
    that are not.

    Raises:
        ConfigError: One message, with every key that is wrong, or the first values that give no valid run.
    """
    problems = [f"space.{key}: {problem}" for key in config.space if (problem := problem_with(key)) is not None]
    problems += [
        f"space.{one}: sets what space.{other} sets too; keep one of them"
        for one, other in itertools.combinations(config.space, 2)
        if are_overlapping(one, other)
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    check_run_config(config.run, "run")
    for _ in probes(config):
        pass


def _look_up(node: Any, parts: Sequence[str]) -> Any:
    """Return what lies at ``parts`` in nested mappings; None when nothing does."""
    for part in parts:
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _set(node: Any, parts: Sequence[str], value: Any, key: str) -> None:
    """Write ``value`` at ``parts`` below ``node``, into every item where a part is ``*``."""
    part, rest = parts[0], parts[1:]
    if isinstance(node, list):
        for index in _indices(node, part, key):
            if rest:
                _set(node[index], rest, value, key)
            else:
                node[index] = value
    elif not isinstance(node, dict) or part == EVERY or part.isdigit():
        raise ConfigError(f"space.{key}: {part!r} leads nowhere, because what is before it is {_kind(node)}")
    elif not rest:
        node[part] = value
    else:
        if node.get(part) is None:
            node[part] = {}
        _set(node[part], rest, value, key)


def _indices(items: list[Any], part: str, key: str) -> range:
    if part == EVERY and items:
        return range(len(items))
    if part.isdigit() and int(part) < len(items):
        return range(int(part), int(part) + 1)
    there = f"0 to {len(items) - 1}" if items else "none at all"
    raise ConfigError(f"space.{key}: there is no item {part!r} in that list; its items are {there}")


def _copied(node: Any) -> Any:
    """Return ``node`` with mappings and lists copied, as dicts and lists."""
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    return [_copied(item) for item in node] if isinstance(node, list | tuple) else node


def _kind(node: Any) -> str:
    return "a section" if isinstance(node, dict) else f"the value {node!r}"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
