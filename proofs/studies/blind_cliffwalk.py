"""The blind cliffwalk of prioritised replay (Schaul et al. 2016, figures 1 and 2): how many updates until the values
are known?

n states in a row; one action leads on, the other ends the episode with nothing, and only the last state's right action
pays 1. The memory holds what all 2**n sequences of actions give: 2**(n + 1) - 2 transitions, one of which ever paid.
Tabular Q-learning (step size 1/4, gamma = 1 - 1/n, values begin at N(0, .1)) replays one transition at a time until the
mean squared error is below .001 (appendix B.1).

Half of the transitions are copies of one, and a priority is what was seen when *that copy* was last replayed: so the
prioritised variants need about one update per transition, where uniform replay needs some fifteen, and an oracle hardly
more than the values are many.

    python -m proofs blind_cliffwalk --states 4 8 12 --seeds 10
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Literal, get_args

import numba
import numpy as np

from robonav_ray.replay.rank_heap import RankHeap
from robonav_ray.replay.sum_tree import SumTree
from robonav_ray.screen import say

Kind = Literal["uniform", "oracle", "proportional", "rank"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STEP_SIZE, MAX_ERROR, MAX_UPDATES = 0.25, 1e-3, 50_000_000
ALPHA = {"proportional": 1.0, "rank": 1.0}
EPSILON = 1e-4
_BLOCK = 4096


def memory(num_states: int) -> np.ndarray:
    """Return the (2**(n + 1) - 2,) transitions as 2 * state + (1 when right), as often as random behaviour meets
    them.
    """
    counts = np.repeat(2 ** np.arange(num_states - 1, -1, -1), 2)
    return np.repeat(np.arange(2 * num_states), counts)


def true_values(num_states: int) -> np.ndarray:
    """Return Q (2 n,): gamma**(steps to go) for right actions, 0 for wrong ones."""
    q = np.zeros(2 * num_states)
    q[1::2] = (1.0 - 1.0 / num_states) ** np.arange(num_states - 1, -1, -1)
    return q


@numba.njit(cache=True)
def td_error(q: np.ndarray, transition: int) -> float:
    """Return R + gamma max_a Q(s', a) - Q(s, a) of a transition."""
    num_states = q.shape[0] // 2
    target = 0.0
    if transition == 2 * num_states - 1:
        target = 1.0
    elif transition % 2 == 1:
        target = (1.0 - 1.0 / num_states) * max(q[transition + 1], q[transition + 2])
    return target - q[transition]


@numba.njit(cache=True)
def _replay(q: np.ndarray, truth: np.ndarray, transitions: np.ndarray) -> int:
    """Replay transitions in order until the values are known; return how many were, or one more than there are when
    they are not.
    """
    for i in range(transitions.shape[0]):
        q[transitions[i]] += STEP_SIZE * td_error(q, transitions[i])
        if ((q - truth) ** 2).mean() < MAX_ERROR:
            return i + 1
    return transitions.shape[0] + 1


def _uniform(q: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> int:
    stored, done = memory(len(q) // 2), 0
    while done < MAX_UPDATES:
        used = _replay(q, truth, stored[rng.integers(0, len(stored), _BLOCK)])
        if used <= _BLOCK:
            return done + used
        done += _BLOCK
    return done


def _oracle(q: np.ndarray, truth: np.ndarray, _rng: np.random.Generator) -> int:
    """Replay the transition that brings the values nearest to the truth."""
    for done in range(MAX_UPDATES):
        if ((q - truth) ** 2).mean() < MAX_ERROR:
            return done
        changed = q + STEP_SIZE * np.array([td_error(q, t) for t in range(len(q))])
        best = int(np.argmin((changed - truth) ** 2 - (q - truth) ** 2))
        q[best] = changed[best]
    return MAX_UPDATES


def _prioritised(
    q: np.ndarray, truth: np.ndarray, rng: np.random.Generator, kind: Literal["proportional", "rank"]
) -> int:
    """Replay by the last TD error seen of each transition; all begin with the one they have at the start."""
    stored = memory(len(q) // 2)
    error = np.array([abs(td_error(q, t)) for t in range(len(q))])[stored]
    index = SumTree(len(stored)) if kind == "proportional" else RankHeap(len(stored), ALPHA[kind])
    leaf = (error + EPSILON) ** ALPHA[kind] if kind == "proportional" else error
    index.set(np.arange(len(stored)), leaf)
    if isinstance(index, RankHeap):
        index.sort()
    for done in range(MAX_UPDATES):
        if ((q - truth) ** 2).mean() < MAX_ERROR:
            return done
        slot = index.sample(rng.random(1))
        transition = int(stored[slot[0]])
        q[transition] += STEP_SIZE * td_error(q, transition)
        now = abs(td_error(q, transition))
        index.set(slot, np.array([(now + EPSILON) ** ALPHA[kind] if kind == "proportional" else now]))
    return MAX_UPDATES


def run(n_states: int, kind: Kind, seed: int) -> int:
    """Return the number of updates until the values of a cliffwalk of ``n_states`` are known."""
    if n_states < 2 or kind not in KINDS:
        raise ValueError(f"n_states must be at least 2 and kind one of {', '.join(KINDS)}, got {n_states} and {kind!r}")
    rng = np.random.default_rng(seed)
    q, truth = rng.normal(0.0, 0.1, 2 * n_states), true_values(n_states)
    if kind == "uniform":
        return _uniform(q, truth, rng)
    return _oracle(q, truth, rng) if kind == "oracle" else _prioritised(q, truth, rng, kind)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the median number of updates for every kind and size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--states", type=int, nargs="+", default=[2, 4, 6, 8, 10, 12, 14, 16])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args(arguments)
    began, found = time.perf_counter(), {}
    say(f"{'states':>6} {'transitions':>11} " + " ".join(f"{kind:>13}" for kind in args.kinds))
    for n in args.states:
        medians = {kind: float(np.median([run(n, kind, seed) for seed in range(args.seeds)])) for kind in args.kinds}
        found[n] = medians
        say(f"{n:>6} {2 ** (n + 1) - 2:>11} " + " ".join(f"{medians[kind]:>13.0f}" for kind in args.kinds))
    say(f"medians over {args.seeds} seeds, {time.perf_counter() - began:.1f} s")
    if args.json:
        say(json.dumps({"num_updates_median": found, "seconds": time.perf_counter() - began}))
