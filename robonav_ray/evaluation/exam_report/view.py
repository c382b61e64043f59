"""An exam seen by method: the seeds of one config are one contestant, and every pair is compared on the worlds that
both played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.evaluation.comparing.seeds import mean_over_seeds
from robonav_ray.evaluation.comparing.verdict import Comparison, Metric, Sample, adjusted, compare
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.metrics.registry import known_metrics
from robonav_ray.evaluation.partner_scores import cases_of
from robonav_ray.evaluation.statistics import wilson_interval
from robonav_ray.records import Outcome

STANDARD = "standard"
SUCCESS, RETURN = Metric(is_share=True), Metric("return", "", True, None)
_SEED = 20_261_130


@dataclass(frozen=True)
class Contestant:
    """An entrant, or all seeds of one method."""

    name: str
    number: int
    """Position in the order in which they were named: gives the colour."""
    entrants: tuple[int, ...]
    """Numbers of the exam's entrants, one per seed."""
    knows: str

    @property
    def num_seeds(self) -> int:
        """Entrants behind it."""
        return len(self.entrants)

    @property
    def shown(self) -> str:
        """The name, with what it knows where that is not what a robot's sensors tell."""
        return f"{self.name} ({self.knows})" if "state" in self.knows else self.name


def contestants_of(table: ExamTable) -> tuple[Contestant, ...]:
    """Return the exam's entrants, those with one ``method`` and training seeds of their own put together."""
    groups: dict[str, list[int]] = {}
    for i, entrant in enumerate(table.entrants):
        key = f"method {entrant.method}" if entrant.train_seed is not None else f"entrant {i}"
        groups.setdefault(key, []).append(i)
    found: list[Contestant] = []
    for group in groups.values():
        seeds = [table.entrants[i].train_seed for i in group]
        parts = (
            [tuple(group)] if len(set(seeds)) == len(seeds) else [(i,) for i in group]
        )  # one seed twice: two checkpoints of it
        for part in parts:
            names = [table.entrants[i].name for i in part]
            found.append(
                Contestant(
                    _common_name(names, table.entrants[part[0]].method), len(found), part, table.entrants[part[0]].knows
                )
            )
    return tuple(found)


def _common_name(names: Sequence[str], method: str) -> str:
    """Return what the names of a method's seeds begin with, without the mark of the seed; of one its name."""
    if len(names) == 1:
        return names[0]
    same = [len(set(letters)) == 1 for letters in zip(*names, strict=False)]
    prefix = names[0][: [*same, False].index(False)].rstrip("0123456789")
    for mark in ("seed", "s"):
        bare = prefix.removesuffix(mark)
        if bare != prefix and bare.rstrip(_JOINTS) != bare:
            prefix = bare
            break
    return prefix.rstrip(_JOINTS) or method


_JOINTS = "-_. =@:/"


class ExamView:
    """What the sections of the report are made from."""

    def __init__(self, table: ExamTable, confidence: float = 0.95) -> None:
        self.table, self.confidence = table, confidence
        self.contestants = contestants_of(table)
        self._rows = table.rows_by_cell
        self._metrics: dict[tuple[int, int], dict[str, np.ndarray]] = {}
        outcome = table.columns["outcome"]
        self.tells_success = bool(((outcome != Outcome.NONE) & (outcome != Outcome.CUT_OFF)).any())
        self.metric = SUCCESS if self.tells_success else RETURN
        self.primary = (
            outcome == Outcome.SUCCESS if self.tells_success else table.columns["total_return"].astype(np.float64)
        )
        """The verdict's metric (rows,) of every episode: bool success, or the return."""

    def rng(self) -> np.random.Generator:
        """Return a generator for resampling, the same each time: the report is a function of the table."""
        return np.random.default_rng(_SEED)

    def has(self, contestant: Contestant, scenario: int) -> bool:
        """Whether all seeds of ``contestant`` played ``scenario``."""
        return all((entrant, scenario) in self._rows for entrant in contestant.entrants)

    def played(self, scenario: int) -> tuple[Contestant, ...]:
        """Return those who played ``scenario``."""
        return tuple(one for one in self.contestants if self.has(one, scenario))

    def rows(self, entrant: int, scenario: int) -> np.ndarray:
        """Return the rows (W,) of a cell in the order of its worlds."""
        return self._rows[entrant, scenario]

    def metrics(self, entrant: int, scenario: int) -> dict[str, np.ndarray]:
        """Return the numbers (W,) of every metric that the episodes of a cell tell."""
        cell = entrant, scenario
        if cell not in self._metrics:
            self._metrics[cell] = known_metrics(self.table.cell(*cell))
        return self._metrics[cell]

    def family(self, *families: str) -> tuple[int, ...]:
        """Return the scenarios of these families that an entrant has played."""
        return tuple(s for s, facts in enumerate(self.table.scenarios) if facts.family in families and self.played(s))

    @cached_property
    def primary_scenarios(self) -> tuple[int, ...]:
        """The scenarios that the verdict is about: the standard ones, or all where there are none."""
        standard = self.family(STANDARD)
        return standard or tuple(s for s in range(len(self.table.scenarios)) if self.played(s))

    def values(self, contestant: Contestant, scenario: int) -> np.ndarray:
        """Return the verdict's metric (S, W) of a contestant, a row per seed, on the worlds that all its seeds
        played.
        """
        return self.pooled([contestant], [scenario])[0]

    def values_of(self, entrant: int, scenario: int) -> np.ndarray:
        """Return the verdict's metric (W,) of one policy."""
        return self.primary[self._rows[entrant, scenario]]

    def estimate(self, contestant: Contestant, scenarios: Sequence[int]) -> Interval | None:
        """Return the metric over all worlds of ``scenarios`` with its interval; None when one of them was not
        played.
        """
        if not scenarios or not all(self.has(contestant, s) for s in scenarios):
            return None
        (values,) = self.pooled([contestant], scenarios)
        if len(values) == 1 and values.dtype == bool:
            count, total = int(values.sum()), values.shape[1]
            return Interval(count / total, *wilson_interval(count, total, self.confidence))
        if values.shape[1] == 1:  # one world says nothing of others
            bounds = (0.0, 1.0) if self.tells_success else (np.nan, np.nan)
            return Interval(float(values.mean()), *bounds)
        return mean_over_seeds(values.astype(np.float64), self.rng(), self.confidence)

    def column(self, metric: str) -> np.ndarray:
        """Return the numbers (rows,) of a metric for all episodes of the table; NaN where it is not told."""
        found = np.full(self.table.num_rows, np.nan)
        for cell, rows in self._rows.items():
            told = self.metrics(*cell).get(metric)
            if told is not None:
                found[rows] = told
        return found

    def pooled(
        self, contestants: Sequence[Contestant], scenarios: Sequence[int], column: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Return the metric (the verdict's, or that of a ``column``) of each contestant on the worlds of ``scenarios``
        that all of them played, (S, W).

        A world is one unit: of scenarios that have the same worlds (one stage and seed, as the levels of a disturbance;
        where robots share it, the same cases beside another partner) its mean over them is taken, since its episodes
        are not independent. Rates stay bool where no world is met twice.
        """
        groups: dict[tuple[str, int, str], list[int]] = {}
        for s in scenarios:
            if all(self.has(one, s) for one in contestants):
                facts = self.table.scenarios[s]
                cases = "" if facts.beside is None else cases_of(facts)
                groups.setdefault((facts.stage, facts.seed, cases), []).append(s)
        told = self.primary if column is None else column
        parts: list[list[np.ndarray]] = [[] for _ in contestants]
        for group in groups.values():
            for part, rows in zip(parts, self._common_rows(contestants, group), strict=True):
                values = told[rows]
                part.append(values[:, 0] if len(group) == 1 else values.mean(1))
        return [
            np.concatenate(part, axis=1) if part else np.zeros((one.num_seeds, 0), told.dtype)
            for one, part in zip(contestants, parts, strict=True)
        ]

    def _common_rows(self, contestants: Sequence[Contestant], scenarios: Sequence[int]) -> list[np.ndarray]:
        """Return (S, G, W) rows of each contestant in the G ``scenarios``, for the worlds that all have in common."""
        world = self.table.columns["world"]
        rows = [[[self._rows[entrant, s] for s in scenarios] for entrant in one.entrants] for one in contestants]
        every = [part for seeds in rows for parts in seeds for part in parts]
        common = world[every[0]]
        if not all(np.array_equal(world[part], common) for part in every):
            for part in every:
                common = np.intersect1d(common, world[part])
        return [
            np.stack([np.stack([part[np.isin(world[part], common)] for part in parts]) for parts in seeds])
            for seeds in rows
        ]

    def comparison(
        self, first: Contestant, second: Contestant, scenarios: Sequence[int], num_claims: int = 1
    ) -> Comparison:
        """Compare two contestants on ``scenarios``; TooFewEpisodesError when they have not enough in common."""
        one, other = (
            Sample(contestant.name, values)
            for contestant, values in zip((first, second), self.pooled([first, second], scenarios), strict=True)
        )
        return compare(one, other, self.metric, rng=self.rng(), confidence=self.confidence, num_claims=num_claims)

    @cached_property
    def ranked(self) -> tuple[Contestant, ...]:
        """The contestants, the best on the verdict's scenarios first; those that lack one of them last."""
        estimates = {one.number: self.estimate(one, self.primary_scenarios) for one in self.contestants}

        def place(one: Contestant) -> tuple[bool, float, int]:
            found = estimates[one.number]
            return (found is None, -found.value if found else 0.0, one.number)

        return tuple(sorted(self.contestants, key=place))

    @cached_property
    def comparisons(self) -> dict[tuple[int, int], Comparison]:
        """All pairs on the verdict's scenarios as one family, by (number, number); the one that ranks higher is the
        first.
        """
        pairs = list(combinations(self.ranked, 2))
        found = adjusted([self.comparison(a, b, self.primary_scenarios, len(pairs)) for a, b in pairs])
        return {(a.number, b.number): one for (a, b), one in zip(pairs, found, strict=True)}
