"""Each test against values from its paper, from scipy, or worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from robonav_ray.evaluation.comparing import effects, means, power, rates, seeds
from robonav_ray.evaluation.comparing.family import equal_means_p, equal_rates_p, false_discovery, holm
from robonav_ray.evaluation.comparing.rates import PairedRates
from robonav_ray.evaluation.comparing.robustness import relative_area
from robonav_ray.evaluation.statistics import mean

RNG = np.random.default_rng


def test_paired_counts_are_told_apart_by_world() -> None:
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    pairs = rates.paired_rates(first, second)
    assert pairs == PairedRates(both=1, only_first=2, only_second=1, neither=1)
    assert (pairs.total, pairs.discordant, pairs.difference) == (5, 3, pytest.approx(0.2))
    with pytest.raises(ValueError, match="one length"):
        rates.paired_rates(first, second[:3])


def test_mcnemar_is_a_fair_coin_over_the_discordant_worlds() -> None:
    assert rates.mcnemar_p(PairedRates(100, 10, 4, 86)) == pytest.approx(2 * stats.binom.cdf(4, 14, 0.5))
    assert rates.mcnemar_p(PairedRates(3, 0, 0, 2)) == 1.0
    assert rates.mcnemar_p(PairedRates(0, 5, 0, 0)) == pytest.approx(0.0625)


def test_newcombes_intervals_are_those_of_his_papers() -> None:
    unpaired = rates.newcombe_unpaired((56, 70), (48, 80))  # Stat. Med. 17:873, table II, example (a), method 10
    assert unpaired == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    paired = rates.newcombe_paired(PairedRates(20, 12, 2, 16))  # Stat. Med. 17:2635, table II, method 10
    assert paired == pytest.approx((0.2, 0.0562, 0.3292), abs=1e-4)
    low, high = rates.newcombe_paired(PairedRates(50, 0, 0, 0))[1:]
    assert -0.1 < low <= 0.0 <= high < 0.1
    assert rates.newcombe_paired(PairedRates(0, 50, 0, 0)) == pytest.approx((1.0, 0.8992, 1.0), abs=1e-3)


def test_cochrans_q_of_two_is_mcnemars_and_of_more_scipys_chi_square() -> None:
    success = RNG(0).random((400, 2)) < [0.6, 0.5]
    pairs = rates.paired_rates(success[:, 0], success[:, 1])
    found = rates.cochran_q(success)
    assert found.statistic == pytest.approx((pairs.only_first - pairs.only_second) ** 2 / pairs.discordant)
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic, 1))
    assert rates.cochran_q(np.ones((9, 3), bool)) == (0.0, 2, 1.0)


def test_odds_ratios() -> None:
    assert rates.odds_ratio_paired(PairedRates(9, 12, 4, 9)).value == pytest.approx(3.0)
    assert rates.odds_ratio_paired(PairedRates(9, 5, 0, 9)).high == math.inf
    found = rates.odds_ratio_unpaired((30, 50), (20, 50))
    assert found.value == pytest.approx(2.25)
    half = stats.norm.ppf(0.975) * math.sqrt(1 / 30 + 1 / 20 + 1 / 20 + 1 / 30)
    assert (found.low, found.high) == pytest.approx((2.25 * math.exp(-half), 2.25 * math.exp(half)))


def test_t_tests_are_scipys() -> None:
    a, b = RNG(1).normal(1.0, 1.0, 40), RNG(2).normal(0.7, 3.0, 40)
    a[3] = np.nan
    known = np.isfinite(a)
    paired, welch = means.paired_t(a, b), means.welch_t(a, b)
    for ours, theirs in (
        (paired, stats.ttest_rel(a[known], b[known])),
        (welch, stats.ttest_ind(a[known], b, equal_var=False)),
    ):
        assert ours.p == pytest.approx(theirs.pvalue)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
        assert ours.df == pytest.approx(theirs.df)
    assert means.paired_t(np.ones(3), np.ones(3)).p == 1.0
    with pytest.raises(ValueError, match="at least two"):
        means.paired_t(np.array([1.0, np.nan]), np.ones(2))


def test_several_samples_are_compared_by_scipy() -> None:
    groups = [RNG(i).normal(0.4 * i, 1.0 + i, 30) for i in range(3)]
    found = means.welch_anova(*groups[:2])
    assert found.p == pytest.approx(stats.f_oneway(*groups[:2], equal_var=False).pvalue)
    assert found.pair_p[0, 1] == pytest.approx(stats.tukey_hsd(*groups[:2], equal_var=False).pvalue[0, 1])
    assert means.welch_f(*groups) == pytest.approx(tuple(stats.f_oneway(*groups, equal_var=False)))
    three = stats.tukey_hsd(*groups, equal_var=False).pvalue
    assert means.games_howell_p(groups[2], groups[1], 3) == pytest.approx(three[1, 2], rel=1e-6)
    assert means.games_howell_p(np.ones(3), np.ones(4), 3) == 1.0
    assert means.games_howell_p(np.ones(3), np.zeros(4), 3) == 0.0
    rank = means.mann_whitney(groups[0], groups[2])
    assert 2 * rank.superiority - 1 == pytest.approx(effects.cliffs_delta(groups[0], groups[2]))
    assert means.dunnett_p(groups[0], groups[1], groups[2], rng=RNG(0)).shape == (2,)


def test_effect_sizes_by_hand() -> None:
    a, b = np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])
    assert effects.cohens_d(a, b) == pytest.approx(2.0 / math.sqrt(2.5))
    assert effects.hedges_g(a, b) == pytest.approx(effects.cohens_d(a, b) * 0.7979, abs=2e-4)  # J(4), Hedges 1981
    assert effects.cohens_h(0.5, 0.25) == pytest.approx(math.pi / 6)
    assert effects.cliffs_delta(a, b) == pytest.approx(sum(np.sign(x - y) for x in a for y in b) / 9)
    assert effects.eta_squared(a, b) == pytest.approx(6.0 / 16.0)
    assert effects.omega_squared(a, b) == pytest.approx((6.0 - 2.5) / (16.0 + 2.5))
    assert math.isnan(effects.cohens_d(np.ones(3), np.ones(3)))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_the_false_discovery_rate_by_hand() -> None:
    assert false_discovery([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert len(false_discovery([])) == 0


def test_equivalence_grows_with_what_is_known() -> None:
    few, many = PairedRates(80, 3, 3, 14), PairedRates(8000, 300, 300, 1400)
    assert equal_rates_p(few, 0.01) > 0.3
    assert equal_rates_p(many, 0.01) < 0.001
    assert equal_rates_p(PairedRates(8000, 500, 300, 1200), 0.01) > 0.9
    assert equal_means_p(0.0, 0.1, 30, 0.3) == pytest.approx(stats.t.sf(3.0, 30))
    assert (equal_means_p(0.0, 0.0, 9, 0.1), equal_means_p(0.2, 0.0, 9, 0.1)) == (0.0, 1.0)
    for margin in (0.02, -0.02):  # the constrained maximum of the likelihood, by search
        assert _tango_by_search(PairedRates(80, 9, 4, 7), margin) == pytest.approx(
            _statistic(PairedRates(80, 9, 4, 7), margin), abs=1e-3
        )


def _statistic(pairs: PairedRates, margin: float) -> float:
    from robonav_ray.evaluation.comparing.family import _tango

    return _tango(pairs, margin)


def _tango_by_search(pairs: PairedRates, margin: float) -> float:
    q = np.linspace(max(0.0, -margin) + 1e-9, (1 - margin) / 2 - 1e-9, 400_001)
    n, b, c = pairs.total, pairs.only_first, pairs.only_second
    likelihood = b * np.log(q + margin) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - margin)
    best = q[np.argmax(likelihood)]
    return (b - c - n * margin) / math.sqrt(n * (2 * best + margin * (1 - margin)))


def test_power_is_that_of_the_design_page() -> None:
    assert power.unpaired_episodes(0.95, 0.97) == 1506
    worlds = power.mcnemar_worlds(0.1, 0.02)
    assert worlds is not None
    assert power.mcnemar_power(worlds, 0.1, 0.02) >= 0.8 > power.mcnemar_power(worlds - 60, 0.1, 0.02)
    least = power.mcnemar_least_difference(2000, 0.1)
    assert power.mcnemar_power(2000, 0.1, least) == pytest.approx(0.8, abs=0.01)
    assert math.isnan(power.mcnemar_least_difference(5, 0.1))
    assert power.mcnemar_worlds(0.1, 0.0) is None
    assert power.mcnemar_power(500, 0.0, 0.0) == 0.0
    many = power.mcnemar_worlds(0.2, 0.01)  # beyond what is searched: by the approximation
    assert many is not None
    assert power.mcnemar_power(many, 0.2, 0.01) == pytest.approx(0.8, abs=0.005)


def test_power_of_t() -> None:
    assert power.t_pairs(1.0, 0.5) == 34  # G*Power: dz .5, alpha .05 two-sided, power .8
    assert power.t_power(0.0, 12.0) == pytest.approx(0.05)
    least = power.t_least_difference(0.1, 10.0)
    assert power.t_power(least / 0.1, 10.0) == pytest.approx(0.8, abs=1e-4)
    assert power.t_power(80.0, 3e5) == 1.0
    assert power.seeds_each([0.04**2, 0.04**2], 0.0, 1000, 0.05) == 12  # two groups of d 1.25, as for t
    assert power.seeds_each([0.01, 0.01], 0.01, 1000, 0.01) is None
    assert power.equal_worlds(0.1, 0.01) == pytest.approx((1.6449 + 1.2816) ** 2 * 0.1 / 0.01**2, rel=1e-3)


def test_power_over_seeds_is_that_of_t_where_one_method_has_seeds() -> None:
    one = [power.Trained(0.03**2, 5)]
    assert power.seeds_power(0.04, one, 0.0, 1000) == pytest.approx(power.t_power(0.04 / 0.03 * 5**0.5, 4), abs=2e-3)
    least = power.seeds_least_difference(one, 1e-5, 1000)
    assert power.seeds_power(least, one, 1e-5, 1000) == pytest.approx(0.8, abs=2e-3)
    assert math.isnan(power.seeds_least_difference([power.Trained(0.0, 3)], 0.0, 1000))


def test_without_variance_between_worlds_the_spread_is_welchs_on_the_seeds_means() -> None:
    first, second = RNG(3).normal(0.8, 0.03, (4, 1)), RNG(4).normal(0.7, 0.06, (3, 1))
    noise = np.tile([0.1, -0.1], 10)
    ours = seeds.difference_over_seeds(first + noise, second - noise, 0.95)
    spread = seeds.spread_of(first + noise, second + noise)
    theirs = means.welch_t(first[:, 0], second[:, 0])
    same = seeds.difference_over_seeds(first + noise, second + noise)
    assert spread.world_variance == 0.0
    assert same == pytest.approx(theirs)
    assert ours.high - ours.low > same.high - same.low, "worlds that tell the two apart in themselves add to it"


def test_one_policy_each_leaves_the_worlds_as_units() -> None:
    first, second = RNG(5).normal(0.5, 1.0, (1, 60)), RNG(6).normal(0.2, 1.0, (1, 60))
    assert seeds.difference_over_seeds(first, second) == pytest.approx(means.paired_t(first[0], second[0]))


def test_two_seeds_have_the_interval_of_t_with_one_degree_of_freedom() -> None:
    """12.706 standard errors: half the distance of the two, as their standard error is half of it."""
    half, noise = 12.7062047 * 0.01, np.tile([0.25, -0.25], 50)
    two = np.array([[0.82], [0.80]]) + noise  # worlds differ, and no more than the episodes' noise makes of them
    plain = mean(two.mean(1))
    assert (plain.value, plain.low, plain.high) == pytest.approx((0.81, 0.81 - half, 0.81 + half))
    alone = np.array([[0.82], [0.80]]) + np.stack([noise, -noise])
    spread, found = seeds.spread_of(alone), seeds.mean_over_seeds(alone, RNG(0))
    assert (spread.df, spread.world_variance) == (pytest.approx(1.0), 0.0)
    assert (found.value, found.low, found.high) == pytest.approx((0.81, 0.81 - half, 0.81 + half))
    paired = means.paired_t(two.mean(1), np.zeros(2))
    assert (paired.df, paired.low, paired.high) == pytest.approx((1.0, 0.81 - half, 0.81 + half))
    assert paired.p == pytest.approx(2 * stats.t.sf(81.0, 1))
    assert seeds.spread_of(two).df > 1.0, "what the worlds add has more than the seeds"


def test_the_bootstrap_over_seeds_refuses_fewer_than_ten() -> None:
    few = RNG(7).random((9, 50))
    with pytest.raises(ValueError, match="9 seeds"):
        seeds.hierarchical_bootstrap(few, RNG(0))
    spread, found = seeds.spread_of(few), seeds.mean_over_seeds(few, RNG(0))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, spread.df) * spread.error)
    assert math.isnan(seeds.over_seeds("iqm", few, RNG(0)).low)


def test_twenty_seeds_give_the_bootstrap_the_width_of_t() -> None:
    values = 0.8 + RNG(8).normal(0, 0.03, (20, 1)) + RNG(9).normal(0, 0.2, (20, 300))
    spread, found = seeds.spread_of(values), seeds.mean_over_seeds(values, RNG(0), num_resamples=4000)
    width = 2 * stats.t.ppf(0.975, spread.df) * spread.error
    assert found.high - found.low == pytest.approx(width, rel=0.08)
    assert found == seeds.mean_over_seeds(values, RNG(0), num_resamples=4000), "the same each time"


def test_scores_over_seeds_by_hand() -> None:
    scores = np.array([[0.1, 0.5], [0.3, 0.9], [0.2, 0.7], [0.4, 0.6]])
    assert seeds.interquartile_mean(scores) == pytest.approx(np.mean([0.3, 0.4, 0.5, 0.6]))
    assert seeds.performance_profile(scores, np.array([0.0, 0.45, 0.9])) == pytest.approx([1.0, 0.5, 0.0])
    assert seeds.probability_of_improvement(scores, scores) == pytest.approx(0.5)
    assert seeds.probability_of_improvement(scores + 1.0, scores) == 1.0


def test_the_noise_floor_shrinks_with_the_root_of_the_worlds() -> None:
    few = seeds.noise_floor(RNG(1).random((1, 200)) < 0.8, RNG(0))
    many = seeds.noise_floor(RNG(1).random((1, 20_000)) < 0.8, RNG(0))
    assert few.halves / many.halves == pytest.approx(10.0, rel=0.3)
    assert math.isnan(few.seeds)
    assert seeds.noise_floor(np.array([[1.0, 0.0], [1.0, 1.0]]), RNG(0)).seeds == pytest.approx(0.5)


def test_the_area_of_a_curve_relative_to_its_clean_end() -> None:
    full, half, none = np.ones(100), np.arange(100) % 2.0, np.zeros(100)
    assert relative_area([0, 1, 2], [full, full, full]).value == 1.0
    assert relative_area([0, 1, 2], [full, half, none]).value == pytest.approx(0.5)
    assert relative_area([0, 1, 3], [full, half, half]).value == pytest.approx((0.75 + 2 * 0.5) / 3)
    assert math.isnan(relative_area([0, 1], [none, full]).value)
    with pytest.raises(ValueError, match="rise"):
        relative_area([1, 1], [full, full])


def test_a_paired_bootstrap_is_as_wide_as_t_for_few_worlds() -> None:
    gap = RNG(2).normal(0.3, 1.0, 25)
    boot = means.paired_bootstrap(gap, np.zeros(25), RNG(0), num_resamples=8000)
    t = means.paired_t(gap, np.zeros(25))
    assert boot.high - boot.low == pytest.approx(t.high - t.low, rel=0.06)
    both = means.paired_bootstraps(np.stack([gap, 2 * gap], axis=1), RNG(0))
    assert both[1] == pytest.approx(tuple(2 * x for x in both[0])), "the same worlds for all"
