"""A comparison in words and figures, for a terminal as for a page."""

from __future__ import annotations

import math

from robonav_ray.evaluation.comparing.verdict import Comparison, Verdict

MINUS = "\N{MINUS SIGN}"


def p_text(p: float) -> str:
    """Return ``p = .023``, with two digits that count, ``p < .0001`` below."""
    if p < 1e-4:
        return "p < .0001"
    digits = max(2, 1 - math.floor(math.log10(p)))
    text = f"{p:.{digits}f}"
    return f"p = {text.removeprefix('0')}"


def signed(value: float, digits: int) -> str:
    """Return a number with its sign, also that of a plus."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0.0 else f"{'+' if value > 0 else MINUS}{text}"


def counted(number: int) -> str:
    """Return a number of episodes that is only about right, with two digits that count: ``about 2,100``."""
    step = 10 ** max(len(str(number)) - 2, 0)
    return f"about {-(-number // step) * step:,}" if step > 1 else f"{number}"


def value_text(comparison: Comparison, value: float) -> str:
    """Return a value of the metric: ``93.1%`` of a rate, ``8.21 s`` else."""
    if comparison.is_rate:
        return f"{100 * value:.1f}%"
    return f"{value:.3g} {comparison.metric.unit}".strip().replace("-", MINUS)


def difference_text(comparison: Comparison, value: float) -> str:
    """Return a difference: ``+4.2 points`` of a rate, ``+0.35 s`` else."""
    return f"{signed_value(comparison, value)} {unit_text(comparison)}".strip()


def signed_value(comparison: Comparison, value: float) -> str:
    """Return a difference without its unit."""
    return signed(100 * value, 1) if comparison.is_rate else signed(value, _digits(value))


def _digits(value: float) -> int:
    return 2 if value == 0.0 else min(max(1 - math.floor(math.log10(abs(value))), 0), 6)


def unit_text(comparison: Comparison) -> str:
    """Return the unit of a difference."""
    return "points" if comparison.is_rate else comparison.metric.unit


def interval_text(comparison: Comparison) -> str:
    """Return the bounds of the difference: ``+2.1 to +6.3``."""
    low, high = comparison.difference.low, comparison.difference.high
    return f"{signed_value(comparison, low)} to {signed_value(comparison, high)}"


def number_text(comparison: Comparison) -> str:
    """Return what was counted: ``8,000 common worlds``, ``3 training seeds against 1 on 8,000 common worlds``."""
    worlds = f"{comparison.num_worlds:,} common worlds"
    if comparison.units == "worlds":
        return worlds
    return f"{comparison.num_seeds[0]} training seeds against {comparison.num_seeds[1]} on {worlds}"


def headline(comparison: Comparison) -> str:
    """Return the verdict as one short sentence."""
    c, what = comparison, comparison.metric.name
    match c.verdict:
        case Verdict.BETTER:
            return f"{c.first} is better than {c.second}"
        case Verdict.WORSE:
            return f"{c.first} is worse than {c.second}"
        case Verdict.EQUAL:
            return f"{c.first} and {c.second} are equal within {_margin(c)} of {what}"
        case Verdict.UNDECIDED:
            units = "seeds" if c.units == "seeds" else "episodes"
            return f"There are not enough {units} to tell {c.first} and {c.second} apart"


def _margin(comparison: Comparison) -> str:
    margin = comparison.metric.margin or 0.0
    if comparison.is_rate:
        return f"{100 * margin:g} point{'s' * (100 * margin != 1)}"
    return f"{margin:g} {comparison.metric.unit}".strip()


def figures(comparison: Comparison) -> str:
    """Return difference, interval, n and p as one sentence."""
    c = comparison
    family = f", adjusted for {c.num_claims} comparisons" if c.num_claims > 1 else ""
    return (
        f"{c.metric.name} {value_text(c, c.values[0])} against {value_text(c, c.values[1])}, a difference of "
        f"{difference_text(c, c.difference.value)} ({c.confidence:.0%} interval {interval_text(c)}); {number_text(c)}, "
        f"{p_text(c.p_adjusted)} by {c.test}{family}"
    )


def least_text(comparison: Comparison) -> str:
    """Return what could have been found, as a sentence."""
    c = comparison
    if not math.isfinite(c.least_difference):
        return "No difference, however large, would have been found with a probability of 80%."
    size = f"{100 * c.least_difference:.1f}" if c.is_rate else f"{c.least_difference:.2g}"
    return f"A difference of {size} {unit_text(c)} would have been found with a probability of 80%."


def needed_text(comparison: Comparison) -> str:
    """Return how many units it would take, as a sentence; empty where the verdict stands already."""
    c = comparison
    if c.verdict is not Verdict.UNDECIDED:
        return ""
    unit = "seeds of each method" if c.units == "seeds" else "worlds"
    parts = []
    if c.needed is not None:
        parts.append(f"A difference as large as the one seen takes {counted(c.needed)} {unit}")
    else:
        parts.append(f"A difference as small as the one seen is not found by any sensible number of {unit}")
    if c.needed_equal is not None:
        parts.append(f"showing the two equal within {_margin(c)} takes {counted(c.needed_equal)} worlds")
    return "; ".join(parts) + "."


def claim_text(comparison: Comparison) -> str:
    """Return what the claim is about, as a sentence."""
    c = comparison
    if c.units == "seeds" and min(c.num_seeds) > 1:
        return "The claim is about the two methods: their training seeds are the units."
    if c.units == "seeds":
        method, policy = (c.first, c.second) if c.num_seeds[0] > 1 else (c.second, c.first)
        return (
            f"The claim is about {method} as a method, whose training seeds are the units, and about this one policy "
            f"of {policy}."
        )
    return (
        "The claim is about these two policies: the worlds are the units, and a method that is trained again may do "
        "otherwise."
    )


def verdict_text(comparison: Comparison) -> str:
    """Return the whole verdict as one paragraph."""
    parts = [
        f"{headline(comparison)}: {figures(comparison)}.",
        needed_text(comparison),
        least_text(comparison),
        claim_text(comparison),
    ]
    return " ".join(part for part in parts if part)
