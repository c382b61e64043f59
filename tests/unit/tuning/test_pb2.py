"""PB2's explore step: the model forgets, picks spread out and follow an optimum that moves, and beat random
perturbation."""

import itertools

import numpy as np
import pytest

from robonav_ray.config.tuning import DimensionConfig
from robonav_ray.tuning.pb2 import MAX_OBSERVATIONS, Observation, _Kernel, explore
from robonav_ray.tuning.space import Space

SPACE = Space({key: DimensionConfig(uniform=(0.0, 1.0)) for key in ("a", "b", "c")})
NUM_INTERVALS, NUM_TRIALS = 10, 6


def gain(point: np.ndarray, time: float) -> float:
    """How much an interval is worth: a quadratic whose optimum moves."""
    return 0.3 - float(((point - [0.2 + 0.05 * time, 0.8 - 0.04 * time, 0.5]) ** 2).sum())


def perturbed(params: dict, rng: np.random.Generator) -> dict:
    """The explore step of PBT (Jaderberg et al. 2017)."""
    return {
        key: rng.random() if rng.random() < 0.25 else float(np.clip(value * rng.choice([0.8, 1.2]), 0, 1))
        for key, value in params.items()
    }


def population_score(use_pb2: bool, seed: int) -> tuple[float, float]:
    """Return the score of the best member in the end, and the mean true gain of what was picked in the later half."""
    rng = np.random.default_rng(seed)
    members = [SPACE.sample(rng) for _ in range(NUM_TRIALS)]
    score, seen, picks = np.zeros(NUM_TRIALS), [], []
    for time in range(NUM_INTERVALS):
        for i, params in enumerate(members):
            worth = gain(SPACE.encode(params), time)
            score[i] += worth
            seen.append(Observation(float(time), SPACE.encode(params), worth + 0.02 * rng.normal()))
        low, high = int(np.argmin(score)), int(np.argmax(score))
        score[low] = score[high]
        others = [SPACE.encode(params) for i, params in enumerate(members) if i != low]
        members[low] = explore(SPACE, seen, others, time + 1.0, rng) if use_pb2 else perturbed(members[high], rng)
        picks.append(gain(SPACE.encode(members[low]), time + 1.0))
    return float(score.max()), float(np.mean(picks[NUM_INTERVALS // 2 :]))


def test_picks_beat_random_perturbation_on_average() -> None:
    ours = np.array([population_score(True, seed) for seed in range(8)]).mean(axis=0)
    theirs = np.array([population_score(False, seed) for seed in range(8)]).mean(axis=0)
    assert ours[0] > 1.08 * theirs[0]
    assert ours[1] > theirs[1] + 0.05


def test_the_kernel_is_that_of_the_paper() -> None:
    rows = np.random.default_rng(0).random((5, 4)) * [3.0, 1.0, 1.0, 1.0]
    found = _Kernel(length=0.4, omega=0.1, noise=0.0)(rows, rows)
    for i in range(5):
        for j in range(5):
            far = float(((rows[i, 1:] - rows[j, 1:]) ** 2).sum())
            slow = (1 - 0.1) ** (abs(rows[i, 0] - rows[j, 0]) / 2)
            assert found[i, j] == pytest.approx(np.exp(-far / (2 * 3 * 0.4**2)) * slow)


def observed(num: int, best: float, time: float = 0.0) -> list[Observation]:
    line = Space({"a": DimensionConfig(uniform=(0.0, 1.0))})
    points = [line.encode({"a": a}) for a in np.linspace(0.0, 1.0, num)]
    return [Observation(time, point, -float((point[0] - best) ** 2)) for point in points]


LINE = Space({"a": DimensionConfig(uniform=(0.0, 1.0))})


def test_what_is_new_counts_for_more_than_what_is_old() -> None:
    seen = [*observed(9, best=0.1, time=0.0), *observed(9, best=0.9, time=30.0)]
    picks = [explore(LINE, seen, [], 31.0, np.random.default_rng(seed))["a"] for seed in range(5)]
    assert np.mean(picks) > 0.7


def distances(points: list[np.ndarray]) -> list[float]:
    return [float(np.linalg.norm(one - other)) for one, other in itertools.combinations(points, 2)]


@pytest.mark.parametrize("data", range(3))
def test_picks_of_one_round_spread_out(data: int) -> None:
    rng = np.random.default_rng(data)
    points = [rng.random(3) for _ in range(8)]
    seen = [Observation(0.0, point, float(np.sin(7 * point[0]) + np.cos(6 * point[1]))) for point in points]
    alone = [SPACE.encode(explore(SPACE, seen, [], 1.0, np.random.default_rng(seed))) for seed in range(4)]
    together: list[np.ndarray] = []
    for seed in range(4):
        together.append(SPACE.encode(explore(SPACE, seen, together, 1.0, np.random.default_rng(seed))))
    assert max(distances(alone)) < 0.01
    assert np.mean(distances(together)) > 0.05


def test_the_same_call_gives_the_same_values() -> None:
    first, second = (explore(LINE, observed(6, 0.3), [], 1.0, np.random.default_rng(3)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("gains", [[], [1.0], [np.nan, np.inf, 1.0], [0.5] * 6])
def test_too_little_to_learn_from_still_gives_values(gains: list[float]) -> None:
    seen = [Observation(0.0, np.array([i / 10]), g) for i, g in enumerate(gains)]
    assert 0.0 <= explore(LINE, seen, [], 1.0, np.random.default_rng(0))["a"] <= 1.0


def test_choices_and_whole_numbers_come_out_as_such() -> None:
    space = Space({"n": DimensionConfig(integer=(1, 4)), "c": DimensionConfig(choice=("x", (1, 2)))})
    rng = np.random.default_rng(0)
    seen = [Observation(0.0, space.encode(space.sample(rng)), float(rng.normal())) for _ in range(8)]
    params = explore(space, seen, [], 1.0, rng)
    assert params["n"] in (1, 2, 3, 4)
    assert isinstance(params["n"], int)
    assert params["c"] in ("x", (1, 2))


def test_a_long_record_is_cut() -> None:
    rng = np.random.default_rng(0)
    seen = [Observation(float(i // 4), rng.random(1), float(rng.normal())) for i in range(2 * MAX_OBSERVATIONS)]
    recent = seen[-MAX_OBSERVATIONS:]
    one, other = (explore(LINE, record, [], 200.0, np.random.default_rng(1)) for record in (seen, recent))
    assert one == other
