"""Simulated experiments: how often an interval covers what is true, how often "better" is said of two that are the
same, and whether a test has the power that is computed for it. ``pytest -m slow -s`` shows the figures that
docs/evaluation_statistics.md records.

Success is of a probit model, so that the truth is known: entrant, seed, world and episode each add a normal number, and
above 0 is a success.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from robonav_ray.evaluation.comparing import means, power, rates, seeds
from robonav_ray.evaluation.comparing.family import equal_rates_p
from robonav_ray.evaluation.comparing.robustness import relative_area
from robonav_ray.evaluation.comparing.verdict import Sample, Verdict, compare
from robonav_ray.evaluation.statistics import mean, wilson_interval

pytestmark = pytest.mark.slow
EXPERIMENTS = 2000
SEED_SD, WORLD_SD = 0.15, 1.0
Experiment = Callable[[np.random.Generator], tuple[float, float, float]]
"""Returns (truth, low, high) of one simulated experiment."""


def played(
    rng: np.random.Generator, skill: float, hardness: np.ndarray, num_seeds: int = 1, seed_sd: float = 0.0
) -> np.ndarray:
    """Return success (S, W) bool."""
    luck = rng.normal(0.0, seed_sd, (num_seeds, 1)) if seed_sd else 0.0
    return skill + luck + hardness + rng.normal(size=(num_seeds, len(hardness))) > 0.0


def truth(skill: float, seed_sd: float = 0.0) -> float:
    """Return the rate over all seeds, worlds and episodes."""
    return float(stats.norm.cdf(skill / np.sqrt(1.0 + WORLD_SD**2 + seed_sd**2)))


def worlds(rng: np.random.Generator, num: int) -> np.ndarray:
    return rng.normal(0.0, WORLD_SD, num)


def wilson(rng: np.random.Generator) -> tuple[float, float, float]:
    return 0.9, *wilson_interval(int(rng.binomial(1000, 0.9)), 1000)


def wilson_near_one(rng: np.random.Generator) -> tuple[float, float, float]:
    return 0.98, *wilson_interval(int(rng.binomial(1000, 0.98)), 1000)


def t_mean(rng: np.random.Generator) -> tuple[float, float, float]:
    found = mean(rng.gamma(4.0, 0.25, 200))
    assert found.low is not None
    assert found.high is not None
    return 1.0, found.low, found.high


def newcombe_paired(rng: np.random.Generator) -> tuple[float, float, float]:
    hardness = worlds(rng, 500)
    pairs = rates.paired_rates(played(rng, 1.6, hardness)[0], played(rng, 1.2, hardness)[0])
    return truth(1.6) - truth(1.2), *rates.newcombe_paired(pairs)[1:]


def newcombe_unpaired(rng: np.random.Generator) -> tuple[float, float, float]:
    return 0.05, *rates.newcombe_unpaired((int(rng.binomial(400, 0.9)), 400), (int(rng.binomial(400, 0.85)), 400))[1:]


def odds_paired(rng: np.random.Generator) -> tuple[float, float, float]:
    only_first, only_second, rest = rng.multinomial(600, [0.12, 0.08, 0.8])
    found = rates.odds_ratio_paired(rates.PairedRates(int(rest), int(only_first), int(only_second), 0))
    return 1.5, found.low, found.high


def odds_unpaired(rng: np.random.Generator) -> tuple[float, float, float]:
    found = rates.odds_ratio_unpaired((int(rng.binomial(400, 0.8)), 400), (int(rng.binomial(400, 0.7)), 400))
    return (0.8 / 0.2) / (0.7 / 0.3), found.low, found.high


def paired_t(rng: np.random.Generator) -> tuple[float, float, float]:
    hardness = rng.gamma(2.0, 1.0, 100)
    found = means.paired_t(hardness + rng.exponential(1.0, 100), hardness + rng.exponential(0.8, 100))
    return 0.2, found.low, found.high


def welch_t(rng: np.random.Generator) -> tuple[float, float, float]:
    found = means.welch_t(rng.normal(0.5, 1.0, 12), rng.normal(0.0, 3.0, 30))
    return 0.5, found.low, found.high


def paired_bootstrap(rng: np.random.Generator) -> tuple[float, float, float]:
    hardness = rng.gamma(2.0, 1.0, 200)
    one, other = hardness + rng.exponential(1.0, 200), hardness + rng.exponential(0.8, 200)
    return 0.2, *means.paired_bootstrap(one, other, rng, num_resamples=500)[1:]


def three_seeds(rng: np.random.Generator) -> tuple[float, float, float]:
    values = played(rng, 1.5, worlds(rng, 300), 3, SEED_SD).astype(float)
    return truth(1.5, SEED_SD), *seeds.mean_over_seeds(values, rng)[1:]


def five_against_three_seeds(rng: np.random.Generator) -> tuple[float, float, float]:
    hardness = worlds(rng, 300)
    one, other = played(rng, 1.6, hardness, 5, SEED_SD), played(rng, 1.2, hardness, 3, SEED_SD)
    found = seeds.difference_over_seeds(one.astype(float), other.astype(float))
    return truth(1.6, SEED_SD) - truth(1.2, SEED_SD), found.low, found.high


def three_seeds_against_a_planner(rng: np.random.Generator) -> tuple[float, float, float]:
    hardness = worlds(rng, 300)
    one, other = played(rng, 1.6, hardness, 3, SEED_SD), played(rng, 1.2, hardness)
    found = seeds.difference_over_seeds(one.astype(float), other.astype(float))
    return truth(1.6, SEED_SD) - truth(1.2), found.low, found.high


def twenty_seeds(rng: np.random.Generator) -> tuple[float, float, float]:
    values = played(rng, 1.5, worlds(rng, 200), 20, SEED_SD).astype(float)
    return truth(1.5, SEED_SD), *seeds.hierarchical_bootstrap(values, rng, num_resamples=500)[1:]


def twenty_seeds_each(rng: np.random.Generator) -> tuple[float, float, float]:
    hardness = worlds(rng, 200)
    one, other = (played(rng, skill, hardness, 20, SEED_SD).astype(float) for skill in (1.6, 1.3))
    found = seeds.hierarchical_bootstrap(one, rng, other, num_resamples=500)
    return truth(1.6, SEED_SD) - truth(1.3, SEED_SD), found.low, found.high


def iqm_of_twenty_seeds(rng: np.random.Generator) -> tuple[float, float, float]:
    scores = rng.normal(0.7, 0.1, (20, 1)) + rng.normal(0.0, 0.05, (20, 8))
    return 0.7, *seeds.over_seeds("iqm", scores, rng, num_resamples=500)[1:]


def area(rng: np.random.Generator) -> tuple[float, float, float]:
    hardness, skills = worlds(rng, 300), (1.6, 1.2, 0.6, 0.0)
    values = [played(rng, skill, hardness)[0] for skill in skills]
    level = np.array([truth(skill) for skill in skills])
    exact = float((level[:-1] + level[1:]).sum() / 2 / 3 / level[0])
    return exact, *relative_area([0, 1, 2, 3], values)[1:]


INTERVALS: tuple[Experiment, ...] = (
    wilson,
    wilson_near_one,
    t_mean,
    newcombe_paired,
    newcombe_unpaired,
    odds_paired,
    odds_unpaired,
    paired_t,
    welch_t,
    paired_bootstrap,
    three_seeds,
    five_against_three_seeds,
    three_seeds_against_a_planner,
    twenty_seeds,
    twenty_seeds_each,
    iqm_of_twenty_seeds,
    area,
)


@pytest.mark.parametrize("experiment", INTERVALS, ids=lambda one: one.__name__)
def test_nominal_95_percent_intervals_cover_93_to_97(experiment: Experiment) -> None:
    rng = np.random.default_rng(15)
    drawn = np.array([experiment(rng) for _ in range(EXPERIMENTS)])
    share = float(((drawn[:, 1] <= drawn[:, 0]) & (drawn[:, 0] <= drawn[:, 2])).mean())
    print(f"\n{experiment.__name__}: covers {share:.2%} of {EXPERIMENTS}")
    assert 0.93 <= share <= 0.97


def test_games_and_howells_intervals_cover_together() -> None:
    """An interval covers the truth when its p is above .05 once the truth is taken off; three samples, variances of
    their own.
    """
    rng = np.random.default_rng(15)
    covered = 0
    for _ in range(EXPERIMENTS):
        groups = [rng.normal(0.0, sd, n) for sd, n in ((1.0, 20), (2.0, 15), (3.0, 30))]
        p = stats.tukey_hsd(*groups, equal_var=False).pvalue
        covered += p[np.triu_indices(3, 1)].min() >= 0.05
    print(f"\nGames-Howell, three at once: covers {covered / EXPERIMENTS:.2%} of {EXPERIMENTS}")
    assert 0.93 <= covered / EXPERIMENTS <= 0.97


@pytest.mark.parametrize(
    ("first", "second"), [(1, 1), (3, 3), (3, 1), (5, 3), (20, 20)], ids=lambda count: f"{count}_seeds"
)
def test_better_is_said_of_at_most_64_of_a_thousand_that_are_the_same(first: int, second: int) -> None:
    rng = np.random.default_rng(16)
    said = dict.fromkeys(Verdict, 0)
    for _ in range(1000):
        hardness = worlds(rng, 200)
        pair = [
            Sample(name, played(rng, 1.5, hardness, count, SEED_SD if count > 1 else 0.0))
            for name, count in (("a", first), ("b", second))
        ]
        if (first > 1) != (second > 1):  # a planner is as good as the method is on the whole
            skill = stats.norm.ppf(truth(1.5, SEED_SD)) * np.sqrt(1.0 + WORLD_SD**2)
            pair[1] = Sample("b", played(rng, float(skill), hardness))
        said[compare(*pair, rng=rng).verdict] += 1
    told = said[Verdict.BETTER] + said[Verdict.WORSE]
    print(f"\nA/A with {first} and {second} seeds: better {said[Verdict.BETTER]}, worse {said[Verdict.WORSE]} of 1000")
    assert told <= 64


def test_equal_is_said_of_at_most_5_percent_that_differ_by_the_margin() -> None:
    rng = np.random.default_rng(17)
    told = 0
    for _ in range(EXPERIMENTS):
        only_first, only_second, rest = rng.multinomial(1500, [0.07, 0.05, 0.88])
        told += equal_rates_p(rates.PairedRates(int(rest), int(only_first), int(only_second), 0), 0.02) < 0.05
    print(f"\nTOST at the margin: equal is said in {told / EXPERIMENTS:.2%} of {EXPERIMENTS}")
    assert told / EXPERIMENTS <= 0.06


def test_the_power_of_mcnemar_is_as_computed() -> None:
    rng = np.random.default_rng(18)
    for num, discordant, difference in ((400, 0.2, 0.06), (1000, 0.1, 0.03), (2000, 0.3, 0.03), (60, 0.3, 0.2)):
        share = np.array([(discordant + difference) / 2, (discordant - difference) / 2])
        found = 0
        for _ in range(EXPERIMENTS):
            b, c, rest = rng.multinomial(num, [*share, 1 - discordant])
            found += rates.mcnemar_p(rates.PairedRates(int(rest), int(b), int(c), 0)) < 0.05
        computed = power.mcnemar_power(num, discordant, difference)
        print(f"\nMcNemar, n {num}: power computed {computed:.3f}, simulated {found / EXPERIMENTS:.3f}")
        assert abs(found / EXPERIMENTS - computed) <= 0.03


def test_the_power_of_t_and_of_unpaired_rates_is_as_computed() -> None:
    rng = np.random.default_rng(19)
    found = (
        sum(means.paired_t(rng.normal(0.3, 1.0, 80), np.zeros(80)).p < 0.05 for _ in range(EXPERIMENTS)) / EXPERIMENTS
    )
    computed = power.t_power(0.3 * 80**0.5, 79)
    print(f"\npaired t: power computed {computed:.3f}, simulated {found:.3f}")
    assert abs(found - computed) <= 0.03
    first, second = rng.binomial(800, 0.9, EXPERIMENTS), rng.binomial(800, 0.85, EXPERIMENTS)
    middle = (first + second) / 1600
    z = (first - second) / 800 / np.sqrt(2 * middle * (1 - middle) / 800)
    found = float((np.abs(z) > stats.norm.isf(0.025)).mean())
    computed = power.unpaired_power(800, 0.9, 0.85)
    print(f"\nunpaired rates: power computed {computed:.3f}, simulated {found:.3f}")
    assert abs(found - computed) <= 0.03


@pytest.mark.parametrize(
    ("first", "second", "world_sd"), [(3, 3, 0.0), (5, 3, 0.4), (3, 1, 0.4), (10, 10, 0.4)], ids=str
)
def test_the_power_with_seeds_as_units_is_as_computed(first: int, second: int, world_sd: float) -> None:
    rng = np.random.default_rng(20)
    seed_sd, noise_sd, num, difference = 0.03, 0.3, 400, {3: 0.085, 5: 0.07, 10: 0.055}[first]
    found = 0
    for _ in range(EXPERIMENTS):
        pair = [
            middle
            + (rng.normal(0, seed_sd, (count, 1)) if count > 1 else 0.0)
            + rng.normal(0, world_sd, num)  # how hard a world is for this entrant alone
            + rng.normal(0, noise_sd, (count, num))
            for middle, count in ((difference, first), (0.0, second))
        ]
        found += seeds.difference_over_seeds(*pair).p < 0.05
    methods = [power.Trained(seed_sd**2 + noise_sd**2 / num, count) for count in (first, second) if count > 1]
    of_worlds = (2 * world_sd**2 + (noise_sd**2 if second == 1 else 0.0)) / num
    computed = power.seeds_power(difference, methods, of_worlds, num)
    print(f"\n{first} and {second} seeds: power computed {computed:.3f}, simulated {found / EXPERIMENTS:.3f}")
    assert abs(found / EXPERIMENTS - computed) <= 0.03
