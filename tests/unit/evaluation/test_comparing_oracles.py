"""The same figures as statsmodels and rliable give, where these are installed (they are no dependency: ``pip install
statsmodels``, ``pip install --no-deps rliable arch``)."""

import importlib
import warnings
from typing import Any

import numpy as np
import pytest

from robonav_ray.evaluation.comparing import effects, means, power, rates, seeds
from robonav_ray.evaluation.comparing.family import equal_means_p, holm
from robonav_ray.evaluation.statistics import wilson_interval

RNG = np.random.default_rng


def oracle(name: str) -> Any:
    """Return a module of an oracle, what it warns of while it is imported left aside; skip the test without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name.partition('.')[0]} is not installed, and only tests compare with it ({error})")


def test_rates_are_those_of_statsmodels() -> None:
    proportion, tables = oracle("statsmodels.stats.proportion"), oracle("statsmodels.stats.contingency_tables")
    assert wilson_interval(87, 100) == pytest.approx(proportion.proportion_confint(87, 100, method="wilson"))
    ours = rates.newcombe_unpaired((56, 70), (48, 80))
    theirs = proportion.confint_proportions_2indep(56, 70, 48, 80, compare="diff", method="newcomb")
    assert (ours.low, ours.high) == pytest.approx(theirs)
    pairs = rates.PairedRates(100, 17, 6, 40)
    table = [[pairs.both, pairs.only_first], [pairs.only_second, pairs.neither]]
    assert rates.mcnemar_p(pairs) == pytest.approx(tables.mcnemar(table, exact=True).pvalue)
    success = RNG(0).random((300, 4)) < [0.7, 0.75, 0.8, 0.7]
    found = tables.cochrans_q(success)
    assert (rates.cochran_q(success).statistic, rates.cochran_q(success).p) == pytest.approx(
        (found.statistic, found.pvalue)
    )
    assert effects.cohens_h(0.9, 0.8) == pytest.approx(proportion.proportion_effectsize(0.9, 0.8))


def test_means_are_those_of_statsmodels() -> None:
    weight, oneway = oracle("statsmodels.stats.weightstats"), oracle("statsmodels.stats.oneway")
    one, other, third = (RNG(i).normal(0.2 * i, 1.0 + i, 25 + 5 * i) for i in range(3))
    welch = weight.CompareMeans(weight.DescrStatsW(one), weight.DescrStatsW(other))
    ours = means.welch_t(one, other)
    assert (ours.low, ours.high) == pytest.approx(welch.tconfint_diff(usevar="unequal"))
    gap = one - other[:25]
    paired = means.paired_t(one, other[:25])
    theirs = weight.ttost_paired(one, other[:25], -1.0, 1.0)[0]
    assert equal_means_p(paired.value, gap.std(ddof=1) / 5.0, paired.df, 1.0) == pytest.approx(theirs)
    found = oneway.anova_oneway([one, other, third], use_var="unequal")
    assert means.welch_anova(one, other, third).p == pytest.approx(found.pvalue)


def test_families_and_power_are_those_of_statsmodels() -> None:
    multi, powers = oracle("statsmodels.stats.multitest"), oracle("statsmodels.stats.power")
    p = RNG(1).random(20) ** 3
    assert holm(p) == pytest.approx(multi.multipletests(p, method="holm")[1])
    one, two = powers.TTestPower(), powers.TTestIndPower()
    assert power.t_power(0.4 * 30**0.5, 29) == pytest.approx(one.power(0.4, 30, 0.05))
    assert power.t_power(0.6 * (20 / 2) ** 0.5, 38) == pytest.approx(two.power(0.6, 20, 0.05))
    assert power.t_pairs(1.0, 0.3) == int(np.ceil(one.solve_power(0.3, power=0.8, alpha=0.05)))


def test_scores_over_seeds_are_those_of_rliable() -> None:
    metrics = oracle("rliable.metrics")
    first, second = RNG(2).random((7, 5)).round(1), RNG(3).random((9, 5)).round(1)
    assert seeds.interquartile_mean(first) == pytest.approx(metrics.aggregate_iqm(first))
    assert seeds.probability_of_improvement(first, second) == pytest.approx(
        metrics.probability_of_improvement(first, second)
    )
    library = oracle("rliable.library")
    taus = np.linspace(0.0, 1.0, 21)
    theirs = [library.run_score_deviation(first, tau) for tau in taus]
    assert seeds.performance_profile(first, taus) == pytest.approx(theirs)
