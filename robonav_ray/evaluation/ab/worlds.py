"""The worlds of an A/B test: batches of scenarios with seeds of their own, and the sweeps that the robustness area
takes.

The worlds of a batch follow from the seed, its number and the scenario's, so that a test with more worlds begins with
those of a shorter one, and no two scenarios share a world: pairs must not depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robonav_ray.config.evaluation_suite import MIN_EPISODES, Scenario, ScenarioKeys, Suite
from robonav_ray.config.load import ConfigError
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for

BATCH_WORLDS = 250
"""Worlds between two looks, over all scenarios."""
MAX_WORLDS = 50_000
MAX_AREA_CELLS = 200
"""Points of sweeps that are played at most."""
AB_SEED = 2_000_003
"""Of the worlds, unless another is said: not that of evaluations and exams, on which a checkpoint may have been
chosen."""
_SEEDS = 2**31


@dataclass(frozen=True)
class Batches:
    """The suite that plays a test, a scenario for each batch and scenario, in the order in which they are played."""

    suite: Suite
    sizes: tuple[int, ...]
    """Worlds in each scenario of each batch."""
    num_scenarios: int
    """Of a batch."""

    def scenarios_of(self, batch: int) -> range:
        """Return the numbers of the suite's scenarios that make a batch."""
        return range(batch * self.num_scenarios, (batch + 1) * self.num_scenarios)

    @property
    def num_worlds(self) -> int:
        """Of all batches."""
        return sum(self.sizes) * self.num_scenarios


def split_suites(suites: Sequence[Suite]) -> tuple[list[Scenario], list[Scenario]]:
    """Return the scenarios that the paired test plays, and the points of sweeps, which are for the robustness area.

    Raises:
        ConfigError: For draws, whose worlds are the same again: pairs would depend on each other.
    """
    scenarios = [scenario for suite in suites for scenario in suite.all_scenarios()]
    if drawn := [scenario.name for scenario in scenarios if scenario.draw]:
        raise ConfigError(
            f"scenario {drawn[0]}: draws the same worlds again (draw), and the pairs of an A/B test must not depend on "
            "each other; name a suite without draws"
        )
    swept = [one for one in scenarios if one.factor is not None and one.level is not None]
    return [one for one in scenarios if one.factor is None or one.level is None], swept


def batches_of(scenarios: Sequence[Scenario], num_worlds: int, seed: int) -> Batches:
    """Return the batches of a test of ``num_worlds`` worlds, shared out evenly over ``scenarios``.

    Raises:
        ConfigError: For a number of worlds, or of scenarios, that cannot be.
    """
    count = len(scenarios)
    if not count:
        raise ConfigError("the suite holds only points of sweeps; name one with a scenario that is none")
    least = MIN_EPISODES * count
    if not least <= num_worlds <= MAX_WORLDS:
        share = f" ({MIN_EPISODES} for each of {count} scenarios)" if count > 1 else ""
        raise ConfigError(f"--worlds {num_worlds}: must be from {least:,}{share} to {MAX_WORLDS:,}")
    each = max(BATCH_WORLDS // count, MIN_EPISODES)
    full, rest = divmod(num_worlds // count, each)
    sizes = [each] * full
    if rest >= MIN_EPISODES:
        sizes.append(rest)
    elif rest:
        sizes[-1] += rest
    keys = [
        ScenarioKeys(
            name=f"batch_{batch + 1:03d}.{number + 1}",
            question=scenario.question,
            family=scenario.family,
            changes=scenario.changes,
            planners=scenario.planners,
            stage=scenario.stage,
            beside=scenario.beside,
            num_episodes=size,
            seed=seed_for(seed, ROLE_EVALUATION, batch * count + number) % _SEEDS,
        )
        for batch, size in enumerate(sizes)
        for number, scenario in enumerate(scenarios)
    ]
    return Batches(Suite(name="ab", scenarios=tuple(keys)), tuple(sizes), count)


def area_suite(swept: Sequence[Scenario], num_worlds: int, seed: int) -> Suite | None:
    """Return the suite of the robustness area: every sweep with a clean level, all on one set of worlds; None where
    there is none.

    Raises:
        ConfigError: For more points than are played, or too few worlds.
    """
    points = [point for factor in sweeps_of(swept).values() for point in factor]
    if not points:
        return None
    if len(points) > MAX_AREA_CELLS:
        raise ConfigError(f"the suite's sweeps have {len(points)} points, and {MAX_AREA_CELLS} are the most in a test")
    if not MIN_EPISODES <= num_worlds <= MAX_WORLDS:
        raise ConfigError(f"--area-worlds {num_worlds}: must be from {MIN_EPISODES} to {MAX_WORLDS:,}")
    own = seed_for(seed, ROLE_EVALUATION, _SEEDS) % _SEEDS
    keys = [
        ScenarioKeys(**{**point.model_dump(), "num_episodes": num_worlds, "seed": own, "draw": None})
        for point in points
    ]
    return Suite(name="ab_area", scenarios=tuple(keys))


def sweeps_of(swept: Sequence[Scenario]) -> dict[str, list[Scenario]]:
    """Return the points of each factor that has two levels or more, one each, in their order."""
    factors: dict[str, dict[float, Scenario]] = {}
    for point in swept:
        if point.factor is not None and point.level is not None:
            factors.setdefault(point.factor, {}).setdefault(point.level, point)
    return {name: [levels[level] for level in sorted(levels)] for name, levels in factors.items() if len(levels) > 1}
