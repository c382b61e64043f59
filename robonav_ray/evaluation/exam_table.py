"""What an exam played: one row for each entrant, scenario and world; on disk ``episodes.parquet`` and ``exam.json``.

::

    exam.json           who took part and what each knows, the scenarios, what is missing and why, versions, command,
                        a hash of the rows
    episodes.parquet    entrant, scenario (numbers in exam.json), world, and the columns of the episode; NaN where it
                        was not told

The files may come from another person, so every value is vetted when they are read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import BASE_COLUMNS, EpisodeTable
from robonav_ray.files.plain_files import read_bytes, read_json, replace
from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT64
from robonav_ray.records import Outcome

FORMAT_VERSION = 1
EXAM_JSON, EPISODES_PARQUET = "exam.json", "episodes.parquet"
MAX_TABLE_BYTES = 4_000_000_000
DRAW = "draw"
"""Key of ``ScenarioFacts.changes`` under which the draw stands, unless it is 0."""
BESIDE = "beside"
"""Key of ``ScenarioFacts.changes`` under which stands who has half of the robots, where an episode is a whole case."""
KINDS = ("run", "checkpoint", "planner", "callable", "sb3", "rllib", "bundle", "ensemble")
_KEYS: dict[str, type[np.generic]] = {"entrant": np.int32, "scenario": np.int32, "world": np.int64}
_TYPES: dict[str, type[np.generic]] = {**_KEYS, **{name: dtype for name, (dtype, _) in BASE_COLUMNS.items()}}


class ExamTableError(UserError):
    """What lies in a folder is no exam, or is damaged; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class EntrantFacts:
    """Who took part."""

    name: str
    """By which tables show it; unique in an exam."""
    kind: str
    """One of ``KINDS``."""
    knows: str
    """What it is shown: ``lidar only``, ``true state``, ..."""
    method: str
    """What it is an instance of: the seeds of one config share it."""
    train_seed: int | None
    """Seed of its training; None where there was none, or it is not known."""
    source: str
    """As the user named it."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Where it comes from: checkpoint, env steps, revision, hashes, settings."""


@dataclass(frozen=True)
class ScenarioFacts:
    """What was played."""

    name: str
    """Unique in its suite."""
    question: str
    suite: str
    family: str
    factor: str
    """What is varied; empty unless it is a point of a sweep."""
    level: float | None
    """How far."""
    stage: str
    changes: dict[str, Any]
    """What differs from the defaults, by dotted key."""
    num_episodes: int
    seed: int
    """Of the worlds."""
    step_s: float | None
    """Seconds per env step."""
    max_steps: int | None
    """Steps at which the worlds end an episode."""

    @property
    def draw(self) -> int:
        """Scenarios that differ in nothing else have the same worlds, in which something else happens."""
        return self.changes.get(DRAW, 0)

    @property
    def beside(self) -> str | None:
        """Who has half of the robots; None where an episode is one robot's."""
        return self.changes.get(BESIDE)


@dataclass(frozen=True)
class Decisions:
    """How long an entrant took to decide, in seconds."""

    p50_s: float
    """Median over the calls for many worlds at once, per world."""
    p99_s: float
    num_calls: int
    num_lanes: int
    """Worlds in a call, at most."""
    single_p50_s: float | None = None
    """Median over calls for one world alone; None where that was not measured."""
    single_p99_s: float | None = None


Cell = tuple[int, int]
"""(entrant, scenario) by number."""


@dataclass(frozen=True)
class ExamTable:
    """The rows of an exam, with what they mean."""

    entrants: tuple[EntrantFacts, ...]
    scenarios: tuple[ScenarioFacts, ...]
    columns: dict[str, np.ndarray]
    """(E,) each, cell by cell: ``entrant`` and ``scenario`` int32, ``world`` int64, the columns of ``EpisodeTable`` and
    float64 others."""
    missing: dict[Cell, str] = field(default_factory=dict)
    """Why a cell is empty, where it is."""
    decisions: dict[Cell, Decisions] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    """Command, versions, revision, time: JSON values."""

    @classmethod
    def of_cells(
        cls,
        entrants: Sequence[EntrantFacts],
        scenarios: Sequence[ScenarioFacts],
        cells: Mapping[Cell, EpisodeTable],
        *,
        missing: Mapping[Cell, str] | None = None,
        decisions: Mapping[Cell, Decisions] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> ExamTable:
        """Return the table of ``cells``, those of one entrant together."""
        order = sorted(cells)
        names = [*BASE_COLUMNS, *sorted({name for cell in order for name in cells[cell].extra})]
        columns: dict[str, np.ndarray] = {
            "entrant": _stacked([np.full(cells[cell].num_episodes, cell[0], np.int32) for cell in order], np.int32),
            "scenario": _stacked([np.full(cells[cell].num_episodes, cell[1], np.int32) for cell in order], np.int32),
            "world": _stacked([cells[cell].world for cell in order], np.int64),
        }
        for name in names:
            columns[name] = _stacked([_column(cells[cell], name) for cell in order], _TYPES.get(name, np.float64))
        return cls(
            tuple(entrants),
            tuple(scenarios),
            columns,
            dict(missing or {}),
            dict(decisions or {}),
            dict(provenance or {}),
        )

    @property
    def num_rows(self) -> int:
        """Episodes in all."""
        return len(self.columns["world"])

    @cached_property
    def scenario_names(self) -> tuple[str, ...]:
        """What tables call the scenarios: by their names, with the suite before one that two suites have."""
        count = Counter(facts.name for facts in self.scenarios)
        return tuple(one.name if count[one.name] == 1 else f"{one.suite}:{one.name}" for one in self.scenarios)

    @cached_property
    def rows_by_cell(self) -> dict[Cell, np.ndarray]:
        """The rows of each cell that was played, (W,) int64 in the order of ``world``."""
        entrant, scenario, world = (self.columns[name] for name in _KEYS)
        order = np.lexsort((world, scenario, entrant))
        cell = entrant[order].astype(np.int64) * len(self.scenarios) + scenario[order]
        begins = np.flatnonzero(np.diff(cell, prepend=-1))
        numbers = [divmod(int(cell[begin]), len(self.scenarios)) for begin in begins]
        return dict(zip(numbers, np.split(order, begins[1:]), strict=True)) if numbers else {}

    def cell(self, entrant: int, scenario: int) -> EpisodeTable:
        """Return the episodes of one cell in the order of ``world``: the same worlds for every entrant; none where the
        cell is missing.
        """
        rows = self.rows_by_cell.get((entrant, scenario), np.zeros(0, np.int64))
        facts = self.scenarios[scenario]
        extra = {
            name: array[rows]
            for name, array in self.columns.items()
            if name not in _TYPES and np.isfinite(array[rows]).any()
        }
        base = {name: self.columns[name][rows] for name in BASE_COLUMNS}
        return EpisodeTable(
            world=self.columns["world"][rows], step_s=facts.step_s, max_steps=facts.max_steps, extra=extra, **base
        )

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write ``episodes.parquet`` and then ``exam.json``, each aside and renamed; return their paths."""
        data = write_rows(self.columns)
        document = {
            "format_version": FORMAT_VERSION,
            "entrants": [dataclasses.asdict(entrant) for entrant in self.entrants],
            "scenarios": [dataclasses.asdict(scenario) for scenario in self.scenarios],
            "missing": [{"entrant": e, "scenario": s, "reason": why} for (e, s), why in sorted(self.missing.items())],
            "decisions": [
                {"entrant": e, "scenario": s, **dataclasses.asdict(told)}
                for (e, s), told in sorted(self.decisions.items())
            ],
            "num_rows": self.num_rows,
            "sha256": {EPISODES_PARQUET: hashlib.sha256(data).hexdigest()},
            "provenance": self.provenance,
        }
        folder.mkdir(parents=True, exist_ok=True)
        replace(folder / EPISODES_PARQUET, data)
        replace(folder / EXAM_JSON, json.dumps(document, indent=1, allow_nan=False) + "\n")
        return folder / EPISODES_PARQUET, folder / EXAM_JSON

    @classmethod
    def load(cls, folder: Path) -> ExamTable:
        """Return the exam in ``folder``.

        Raises:
            ExamTableError: When there is none, or it is damaged; the message names file and key.
        """
        path = folder / EXAM_JSON
        try:
            document = read_json(path)
            data = read_bytes(folder / EPISODES_PARQUET, MAX_TABLE_BYTES)
        except FileNotFoundError as error:
            raise ExamTableError(
                f"{folder}: holds no {Path(str(error.filename or path)).name}, so it is no exam; `robonav compare ... "
                "--out` makes one"
            ) from None
        facts = _Facts(path, document)
        if facts.sha256 != hashlib.sha256(data).hexdigest():
            raise ExamTableError(
                f"{folder / EPISODES_PARQUET}: is not the file that {path} was written for (sha256): take both from "
                "one exam, or give the `robonav compare` that made it again, which plays nothing twice"
            )
        columns = read_rows(data, folder / EPISODES_PARQUET, len(facts.entrants), len(facts.scenarios))
        if len(columns["world"]) == 0:
            raise ExamTableError(f"{folder / EPISODES_PARQUET}: holds no episode")
        return cls(facts.entrants, facts.scenarios, columns, facts.missing, facts.decisions, facts.provenance)


def write_rows(columns: Mapping[str, np.ndarray]) -> bytes:
    """Return rows as the bytes of a parquet file; the same rows, the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = BytesIO()
    table = pa.table({name: pa.array(np.ascontiguousarray(array)) for name, array in columns.items()})
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_rows(data: bytes, path: Path, num_entrants: int, num_scenarios: int) -> dict[str, np.ndarray]:
    """Return the columns in the bytes of a parquet file; ExamTableError, naming ``path`` and the column, for what
    cannot be.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(BytesIO(data))
        columns = {name: table[name].to_numpy() for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise ExamTableError(f"{path}: is no parquet file that can be read ({str(error).splitlines()[0]})") from None
    if lacking := [name for name in _TYPES if name not in columns]:
        raise ExamTableError(f"{path}: the column {lacking[0]!r} is missing")
    highest = {"entrant": num_entrants - 1, "scenario": num_scenarios - 1, "outcome": max(Outcome)}
    for name, array in columns.items():
        dtype = np.dtype(_TYPES.get(name, np.float64))
        if array.dtype != dtype or array.ndim != 1:
            raise ExamTableError(f"{path}: the column {name!r} holds {array.dtype}, and {dtype} belongs there")
        if dtype.kind == "i":
            good = (array >= 0) & (array <= highest.get(name, MAX_COUNT))
        else:
            good = np.isnan(array) | (np.abs(array.astype(np.float64)) <= MAX_FLOAT64)
        if not good.all():
            row = int(np.argmin(good))
            raise ExamTableError(f"{path}: {name}[{row}] is {array[row]}, which it cannot be")
    order = np.lexsort(tuple(columns[name] for name in reversed(_KEYS)))
    keys = [columns[name][order] for name in _KEYS]
    if np.logical_and.reduce([key[1:] == key[:-1] for key in keys]).any():
        raise ExamTableError(f"{path}: an entrant has played one world of a scenario twice")
    return columns


class _Facts:
    """What stands in ``exam.json``, each value of its kind."""

    def __init__(self, path: Path, document: Any) -> None:
        self._path = path
        root = self._mapping(document, "the document")
        if root.get("format_version") != FORMAT_VERSION:
            told = root.get("format_version")
            raise ExamTableError(f"{path}: format_version is {told!r}, and this version reads {FORMAT_VERSION}")
        self.entrants = tuple(
            self._made(EntrantFacts, e, f"entrants.{i}") for i, e in enumerate(self._list(root, "entrants"))
        )
        self.scenarios = tuple(
            self._made(ScenarioFacts, s, f"scenarios.{i}") for i, s in enumerate(self._list(root, "scenarios"))
        )
        called = {
            "entrants": [one.name for one in self.entrants],
            "scenarios": [(one.suite, one.name) for one in self.scenarios],
        }
        for key, names in called.items():
            if not names or len(set(names)) < len(names):
                raise ExamTableError(f"{path}: {key}: there must be some, each by a name of its own")
        for i, one in enumerate(self.scenarios):
            for key, value, kind in ((DRAW, one.draw, "int"), (BESIDE, one.beside, "str | None")):
                if not _fits(value, kind):
                    raise ExamTableError(
                        f"{path}: scenarios.{i}.changes.{key} is {str(value)[:60]!r}, and {kind} belongs there"
                    )
        self.missing = {
            self._cell(m, f"missing.{i}"): str(m.get("reason")) for i, m in enumerate(self._list(root, "missing"))
        }
        self.decisions: dict[Cell, Decisions] = {}
        for i, told in enumerate(self._list(root, "decisions")):
            cell = self._cell(told, f"decisions.{i}")
            figures = {key: value for key, value in told.items() if key not in ("entrant", "scenario")}
            self.decisions[cell] = self._made(Decisions, figures, f"decisions.{i}")
        self.provenance = self._mapping(root.get("provenance"), "provenance")
        self.sha256 = self._mapping(root.get("sha256"), "sha256").get(EPISODES_PARQUET)

    def _mapping(self, value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ExamTableError(f"{self._path}: {key} is no mapping")
        return value

    def _list(self, root: dict[str, Any], key: str) -> list[dict[str, Any]]:
        value = root.get(key)
        if not isinstance(value, list):
            raise ExamTableError(f"{self._path}: {key} is no list")
        return [self._mapping(item, f"{key}.{i}") for i, item in enumerate(value)]

    def _cell(self, value: dict[str, Any], key: str) -> Cell:
        cell = value.get("entrant"), value.get("scenario")
        for number, most in zip(cell, (len(self.entrants), len(self.scenarios)), strict=True):
            if type(number) is not int or not 0 <= number < most:
                raise ExamTableError(
                    f"{self._path}: {key}: entrant and scenario must be numbers of some that there are, not {cell}"
                )
        return cell  # type: ignore[return-value]  # both are int now

    def _made(self, kind: Any, value: dict[str, Any], key: str) -> Any:
        """Return ``value`` as the dataclass ``kind``, each field held against its annotation."""
        fields = {one.name: one for one in dataclasses.fields(kind)}
        if unknown := sorted(value.keys() - fields.keys()):
            raise ExamTableError(f"{self._path}: {key}.{unknown[0]}: unknown key")
        for name, one in fields.items():
            if name not in value:
                if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
                    raise ExamTableError(f"{self._path}: {key}.{name} is missing")
            elif not _fits(value[name], str(one.type)):
                raise ExamTableError(
                    f"{self._path}: {key}.{name} is {str(value[name])[:60]!r}, and {one.type} belongs there"
                )
        return kind(**value)


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value of JSON is of the kind that the annotation of one of the facts names; numbers finite and not
    negative.
    """
    if value is None:
        return "None" in annotation
    if annotation.startswith("dict"):
        return isinstance(value, dict) and ("Any" in annotation or all(isinstance(one, str) for one in value.values()))
    if annotation.startswith("str"):
        return isinstance(value, str)
    if annotation.startswith("int"):
        return type(value) is int and 0 <= value <= MAX_COUNT
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= MAX_FLOAT64


def _stacked(parts: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype)


def _column(table: EpisodeTable, name: str) -> np.ndarray:
    if name in BASE_COLUMNS:
        columns: dict[str, np.ndarray] = vars(table)
        return columns[name]
    return table.extra.get(name, np.full(table.num_episodes, np.nan))
