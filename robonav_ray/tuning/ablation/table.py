"""From the results of the trainings to the table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.evaluation.ablation.table import AblationTable, Row
from robonav_ray.evaluation.statistics import mean
from robonav_ray.tuning.ablation.arms import Comparison, Plan
from robonav_ray.tuning.ablation.results import CellResult


def make_table(config: AblationConfig, plan: Plan, results: Mapping[str, CellResult]) -> AblationTable:
    """Return the table of the results, by key of their cell, that there are."""
    found = {(cell.arm, cell.seed): results[cell.key] for cell in plan.cells if cell.key in results}
    told = all(result.success_frac is not None for result in found.values())
    score = {cell: result.score if told else result.return_mean for cell, result in found.items()}
    against = {comparison.off: comparison for comparison in plan.comparisons}
    rows = [
        _row(comparison.switch, comparison, score, config, told)
        for comparison in (*(_whole(arm) for arm in plan.arms if arm not in against), *plan.comparisons)
    ]
    return AblationTable(
        name=config.name,
        measure="success" if told else "return",
        confidence=config.exam.confidence,
        rows=tuple(rows),
        stages=plan.stages,
        num_episodes=config.exam.num_episodes,
        exam_seed=config.exam.seed,
        suite=config.exam.suite,
        env_steps=config.budget.env_steps,
        num_missing=len(plan.cells) - len(found),
    )


def _whole(arm: str) -> Comparison:
    return Comparison(arm, arm, "", {})


def _row(
    switch: str, comparison: Comparison, score: Mapping[tuple[str, int], float], config: AblationConfig, told: bool
) -> Row:
    seeds = tuple(seed for seed in config.seeds if (comparison.off, seed) in score)
    values = [score[comparison.off, seed] for seed in seeds]
    paired = [seed for seed in seeds if (comparison.whole, seed) in score]
    pairs = [score[comparison.off, seed] - score[comparison.whole, seed] for seed in paired]
    middle, lost = mean(np.array(values), config.exam.confidence), mean(np.array(pairs), config.exam.confidence)
    off = list(comparison.values.values())
    return Row(
        switch=switch,
        key=", ".join(comparison.values),
        off_value=None if not off else off[0] if len(off) == 1 else off,
        against=comparison.whole,
        seeds=seeds,
        success=tuple(values),
        mean=middle.value,
        low=_within(middle.low, 0.0, told),
        high=_within(middle.high, 1.0, told),
        difference=lost.value,
        difference_low=_within(lost.low, -1.0, told),
        difference_high=_within(lost.high, 1.0, told),
        differences=tuple(pairs),
    )


def _within(bound: float | None, end: float, is_rate: bool) -> float | None:
    """Return the bound of a t interval, not beyond the ``end`` of what a rate can be."""
    if bound is None or not is_rate:
        return bound
    return max(bound, end) if end <= 0.0 and bound < end else min(bound, end) if bound > end > 0.0 else bound
