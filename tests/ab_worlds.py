"""Pairs of episodes that could be real: two entrants meet the same worlds, some of which are hard for both."""

from __future__ import annotations

import numpy as np
from scipy import special

from robonav_ray.evaluation.episodes import EpisodeTable, EvaluationProgress
from robonav_ray.evaluation.exam import Played
from robonav_ray.evaluation.exam_table import Decisions
from robonav_ray.records import Outcome

BATCH, SUCCESS, COLLISION = 250, 0, 1


def joint(champion: tuple[float, float], challenger: tuple[float, float], shared: float) -> np.ndarray:
    """Return (3, 3), how probable each pair of endings is: success, collision, timeout of the challenger by those of
    the champion.

    Args:
        champion: Its rates of success and collisions.
        challenger: The same.
        shared: Part of the luck that both have in common because the world is the same, 0 to 1 (a Gaussian copula).
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    parts = []
    for success, collision in (challenger, champion):
        edges = special.ndtri([success, 1.0 - collision])
        below = special.ndtr((edges[:, None] - np.sqrt(shared) * nodes) / np.sqrt(1.0 - shared))
        parts.append(np.stack([below[0], 1.0 - below[1], below[1] - below[0]]))
    return np.einsum("in,jn,n->ij", *parts, weights / weights.sum())


def correlation(cells: np.ndarray) -> float:
    """Return phi, the correlation of the two successes."""
    p, q = cells[0].sum(), cells[:, 0].sum()
    return float((cells[0, 0] - p * q) / np.sqrt(p * (1 - p) * q * (1 - q)))


def running_totals(
    rng: np.random.Generator, cells: np.ndarray, num_tests: int, num_worlds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return running totals of pairs (T, L, 3) by success and by collision, of ``num_tests`` tests in batches."""
    drawn = rng.multinomial(BATCH, cells.ravel(), (num_tests, num_worlds // BATCH)).cumsum(1)
    drawn = drawn.reshape(*drawn.shape[:2], 3, 3)

    def pairs(kind: int) -> np.ndarray:
        mine, theirs = drawn[..., kind, :].sum(-1), drawn[..., :, kind].sum(-1)
        both = drawn[..., kind, kind]
        total = drawn.sum((-1, -2))
        return np.stack([theirs - both, total - mine - theirs + 2 * both, mine - both], -1)

    return pairs(SUCCESS), pairs(COLLISION)


def made_up_play(rates: dict[str, tuple[float, float]], shared: float = 0.6, played: list[str] | None = None):
    """Return what takes the place of ``evaluation.exam.play``: episodes with these rates of success and collisions by
    entrant, the luck of a world the same for all; the first entrant named is the champion.
    """
    champion = next(iter(rates))

    def play(entrant, seat, progress=None, num_worlds: int = 256) -> Played:
        del num_worlds
        name = entrant.facts.name
        cells = joint(rates[champion], rates[name], shared)
        drawn = np.random.default_rng(seat.seed % 2**32).random((2, seat.num_episodes))
        theirs = np.searchsorted(cells.sum(0).cumsum(), drawn[0]).clip(0, 2)
        mine = (np.cumsum(cells / cells.sum(0), 0)[:, theirs] < drawn[1]).sum(0).clip(0, 2)
        ending = ENDINGS[theirs if name == champion else mine]
        if played is not None:
            played.append(name)
        if progress is not None:
            progress(EvaluationProgress(seat.num_episodes, seat.num_episodes, 100))
        blank = np.zeros(seat.num_episodes, np.float32)
        table = EpisodeTable(
            np.arange(seat.num_episodes), ending, np.full(seat.num_episodes, 50, np.int32), *[blank] * 6, step_s=0.2,
        )  # fmt: skip
        return Played(table, Decisions(1e-4, 2e-4, 50, 250, 1e-4, 3e-4))

    return play


ENDINGS = np.array([Outcome.SUCCESS, Outcome.COLLISION_DYNAMIC, Outcome.TIMEOUT], np.int8)
