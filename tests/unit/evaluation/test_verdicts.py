"""What is said of two entrants: better, worse, equal, or not enough episodes and how many it would take."""

import math

import numpy as np
import pytest

from robonav_ray.evaluation.comparing import words
from robonav_ray.evaluation.comparing.verdict import Metric, Sample, TooFewEpisodesError, Verdict, adjusted, compare

RNG = np.random.default_rng


def success(name: str, rate: float, num_worlds: int, seed: int, num_seeds: int = 1, spread: float = 0.0) -> Sample:
    """Return success on worlds whose hardness all share."""
    hardness = RNG(99).random(num_worlds)
    luck = RNG(seed).normal(0.0, spread, (num_seeds, 1))
    return Sample(name, 0.6 * hardness + 0.4 * RNG(seed).random((num_seeds, num_worlds)) < rate + luck)


def test_better_and_worse_go_by_the_metrics_direction() -> None:
    good, bad = success("mine", 0.8, 2000, 1), success("dwa", 0.7, 2000, 2)
    found = compare(good, bad, rng=RNG(0))
    assert (found.verdict, found.units, found.test) == (Verdict.BETTER, "worlds", "McNemar's exact test")
    assert compare(bad, good, rng=RNG(0)).verdict is Verdict.WORSE
    seconds = Metric("time", "s", higher_is_better=False, margin=None)
    slow, fast = Sample("slow", RNG(1).normal(9, 1, (1, 80))), Sample("fast", RNG(2).normal(8, 1, (1, 80)))
    assert compare(slow, fast, seconds, rng=RNG(0)).verdict is Verdict.WORSE
    text = words.verdict_text(compare(fast, slow, seconds, rng=RNG(0)))
    assert text.startswith("fast is better than slow: time 8.")
    assert " s (95% interval \N{MINUS SIGN}1." in text
    assert "paired t test" in text


def test_the_text_tells_figures_n_p_and_what_could_have_been_found() -> None:
    text = words.verdict_text(compare(success("mine", 0.8, 2000, 1), success("dwa", 0.7, 2000, 2), rng=RNG(0)))
    for part in (
        "mine is better than dwa: success ",
        " points (95% interval +",
        "2,000 common worlds, p < .0001 by McNemar's exact test",
        "would have been found with a probability of 80%",
        "The claim is about these two policies",
    ):
        assert part in text


def test_too_few_episodes_are_said_to_be_so_and_how_many_it_takes() -> None:
    found = compare(success("a", 0.75, 300, 1), success("b", 0.74, 300, 2), rng=RNG(0))
    assert found.verdict is Verdict.UNDECIDED
    text = words.verdict_text(found)
    assert text.startswith("There are not enough episodes to tell a and b apart")
    assert found.needed_equal is not None
    assert f"showing the two equal within 1 point takes {words.counted(found.needed_equal)} worlds" in text


def test_two_that_do_the_same_are_equal_within_the_margin() -> None:
    one = success("a", 0.8, 3000, 1)
    other = Sample("b", one.values.copy())
    other.values[0, :8] ^= True
    found = compare(one, other, rng=RNG(0))
    assert found.verdict is Verdict.EQUAL
    assert words.headline(found) == "a and b are equal within 1 point of success"
    assert compare(one, other, Metric(margin=None), rng=RNG(0)).verdict is Verdict.UNDECIDED


def test_several_seeds_make_the_claim_one_about_methods() -> None:
    found = compare(success("a", 0.8, 500, 1, 3, 0.02), success("b", 0.6, 500, 2, 3, 0.02), rng=RNG(0))
    assert (found.units, found.num_seeds, found.verdict) == ("seeds", (3, 3), Verdict.BETTER)
    assert "about the two methods" in words.claim_text(found)
    mixed = compare(success("a", 0.8, 500, 1, 3, 0.02), success("dwa", 0.6, 500, 2), rng=RNG(0))
    assert "about a as a method" in words.claim_text(mixed)
    assert "this one policy of dwa" in words.claim_text(mixed)
    many = compare(success("a", 0.8, 500, 1, 12, 0.02), success("b", 0.79, 500, 2, 10, 0.02), rng=RNG(0))
    assert "bootstrap over seeds and worlds" in many.test


def test_seeds_that_differ_much_do_not_let_one_say_better() -> None:
    first, second = success("a", 0.75, 2000, 3, 3, 0.08), success("b", 0.72, 2000, 4, 3, 0.08)
    found = compare(first, second, rng=RNG(0))
    assert found.verdict is Verdict.UNDECIDED
    assert words.headline(found) == "There are not enough seeds to tell a and b apart"


def test_a_family_makes_each_claim_harder() -> None:
    pairs = [compare(success("a", 0.70, 600, i), success("b", 0.68, 600, 50 + i), rng=RNG(0)) for i in range(6)]
    for before, after in zip(pairs, adjusted(pairs), strict=True):
        assert after.p_adjusted >= before.p
        assert after.num_claims == 6
        assert "adjusted for 6 comparisons" in words.figures(after)
    alone = compare(success("a", 0.7, 600, 0), success("b", 0.68, 600, 50), rng=RNG(0))
    among = compare(success("a", 0.7, 600, 0), success("b", 0.68, 600, 50), rng=RNG(0), num_claims=6)
    assert among.least_difference > alone.least_difference


def test_fewer_than_six_worlds_are_refused_with_the_reason() -> None:
    with pytest.raises(TooFewEpisodesError, match=r"a and b have 5 common episodes .* ask for more episodes"):
        compare(success("a", 0.9, 5, 1), success("b", 0.1, 5, 2), rng=RNG(0))


def test_numbers_that_are_missing_leave_their_worlds_out() -> None:
    values = RNG(0).normal(0, 1, (1, 20))
    values[0, :4] = np.nan
    found = compare(Sample("a", values), Sample("b", np.zeros((1, 20))), Metric("jerk", "", False, None), rng=RNG(0))
    assert found.num_worlds == 16


def test_what_never_differs_is_no_claim() -> None:
    ones = Sample("a", np.ones((2, 30), bool))
    found = compare(ones, Sample("b", np.ones((2, 30), bool)), rng=RNG(0))
    assert (found.p, found.verdict) == (1.0, Verdict.EQUAL)
    apart = compare(ones, Sample("b", np.zeros((2, 30), bool)), rng=RNG(0))
    assert apart.verdict is Verdict.BETTER
    assert math.isnan(apart.least_difference)
    assert "No difference" in words.least_text(apart)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.5, "p = .50"), (0.0312, "p = .031"), (0.00123, "p = .0012"), (1e-9, "p < .0001"), (1.0, "p = 1.00")],
)
def test_p_is_told_with_two_digits_that_count(p: float, text: str) -> None:
    assert words.p_text(p) == text


def test_counts_and_signs() -> None:
    assert [words.counted(n) for n in (8, 99, 2044, 21_350)] == ["8", "99", "about 2,100", "about 22,000"]
    assert [words.signed(x, 1) for x in (0.04, -0.04, 2.0, -2.0)] == ["0.0", "0.0", "+2.0", "\N{MINUS SIGN}2.0"]
