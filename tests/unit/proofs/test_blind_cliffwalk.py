"""The known answer of prioritised replay: uniform takes about exponentially many updates, prioritised far fewer, an
oracle hardly any."""

import numpy as np
import pytest

from proofs.studies import blind_cliffwalk as cliffwalk


def median(n_states: int, kind: cliffwalk.Kind) -> float:
    return float(np.median([cliffwalk.run(n_states, kind, seed) for seed in range(5)]))


def test_the_memory_holds_one_success() -> None:
    for n in (2, 5, 9):
        stored = cliffwalk.memory(n)
        assert len(stored) == 2 ** (n + 1) - 2
        assert (stored == 2 * n - 1).sum() == 1
        truth = cliffwalk.true_values(n)
        assert max(abs(cliffwalk.td_error(truth, t)) for t in range(2 * n)) < 1e-12


def test_uniform_grows_exponentially_and_both_variants_of_per_far_less() -> None:
    updates = {(n, kind): median(n, kind) for n in (4, 7, 10) for kind in cliffwalk.KINDS}
    for n in (4, 7):  # three states more: 8 times the transitions
        assert 5.0 < updates[n + 3, "uniform"] / updates[n, "uniform"] < 15.0
        assert updates[n + 3, "oracle"] / updates[n, "oracle"] < 3.0
    speedup = {n: updates[n, "uniform"] / updates[n, "proportional"] for n in (4, 7, 10)}
    assert speedup[4] < speedup[7] < speedup[10]
    for kind in ("proportional", "rank"):
        assert updates[10, kind] < updates[10, "uniform"] / 7.0
        assert updates[4, kind] < 2.0 * updates[4, "oracle"]
        assert updates[10, kind] > updates[10, "oracle"]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        cliffwalk.run(1, "uniform", 0)
    with pytest.raises(ValueError, match="kind"):
        cliffwalk.run(3, "best", 0)  # type: ignore[arg-type]
