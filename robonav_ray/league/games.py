"""Matrix games between members: how far a mix is from an equilibrium, and the equilibrium itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


def nash_conv(first: np.ndarray, second: np.ndarray, row_mix: np.ndarray, column_mix: np.ndarray) -> float:
    """Return what both players of a matrix game could gain together by a best response each: 0 at an equilibrium.

    sum_i max_a u_i(a, mix of the other) - u_i(mix, mix) (Lanctot et al. 2017), as OpenSpiel's ``nash_conv``.

    Args:
        first: (A, B): what the first player gets, who chooses rows.
        second: (A, B): what the second player gets, who chooses columns.
        row_mix: (A,) probabilities.
        column_mix: (B,) probabilities.
    """
    rows, columns = first @ column_mix, row_mix @ second
    return float(rows.max() - row_mix @ rows + columns.max() - columns @ column_mix)


def pool_nash_conv(payoff: np.ndarray, mix: np.ndarray) -> float:
    """Return ``nash_conv`` of a population that plays ``mix`` (M,) against itself; ``payoff`` (M, M) is the score of
    rows.
    """
    return nash_conv(payoff, payoff.T, mix, mix)


class Equilibrium(NamedTuple):
    """Of a zero-sum matrix game."""

    row_mix: np.ndarray
    """(A,): of all optimal ones that of the highest entropy, so that twins share alike (Balduzzi et al. 2018)."""
    column_mix: np.ndarray
    """(B,): likewise."""
    value: float
    """What the row player gets."""


def equilibrium(payoff: np.ndarray) -> Equilibrium:
    """Return the equilibrium of highest entropy of the game in which rows get ``payoff`` (A, B) and columns lose it.

    Raises:
        ValueError: For an empty matrix, or numbers that are not finite.
    """
    payoff = np.asarray(payoff, np.float64)
    if payoff.ndim != 2 or not payoff.size or not np.isfinite(payoff).all():
        raise ValueError(f"a matrix of finite numbers is wanted, not {payoff.shape}")
    value = _value(payoff)
    return Equilibrium(_widest(payoff, value), _widest(-payoff.T, -value), value)


def _value(payoff: np.ndarray) -> float:
    """Return max over row mixes of the least column, as a linear program."""
    from scipy.optimize import linprog  # what only plays never solves a game

    rows, columns = payoff.shape
    solved = linprog(
        np.append(np.zeros(rows), -1.0),
        A_ub=np.column_stack([-payoff.T, np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * rows + [(None, None)],
    )
    return float(-solved.fun)


def _widest(payoff: np.ndarray, value: float) -> np.ndarray:
    """Return the row mix of highest entropy that gets ``value`` from every column, but for a millionth of the spread.

    Its dual: x ~ exp(payoff @ w) with the w >= 0 that minimise logsumexp(payoff @ w) - (value - slack) sum(w).
    """
    from scipy.optimize import minimize

    spread = float(np.ptp(payoff)) or 1.0
    scaled = (payoff - value) / spread + 1e-6

    def dual(w: np.ndarray) -> tuple[float, np.ndarray]:
        logits = scaled @ w
        top = float(logits.max())
        weight = np.exp(logits - top)
        total = float(weight.sum())
        return top + float(np.log(total)), (weight / total) @ scaled

    columns = scaled.shape[1]
    bounds = [(0.0, None)] * columns
    found = minimize(
        dual, np.zeros(columns), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 5000, "ftol": 1e-15}
    )
    logits = scaled @ found.x
    weight = np.exp(logits - logits.max())
    return weight / weight.sum()
