"""Equilibria and exploitability of matrix games, by hand and beside OpenSpiel; rock, paper, scissors."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.league import MIX_KINDS, LeagueConfig
from robonav_ray.counter_rng import seed_for
from robonav_ray.league.games import equilibrium, nash_conv, pool_nash_conv
from robonav_ray.league.league import League
from robonav_ray.league.matchmaking import drawn

RPS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
"""What rock, paper and scissors get (rows)."""


def test_nash_conv_by_hand():
    even, rock = np.full(3, 1 / 3), np.array([1.0, 0.0, 0.0])
    assert pool_nash_conv(RPS, even) == pytest.approx(0.0)
    assert pool_nash_conv(RPS, rock) == 2.0, "each of the two gains 1 by paper"
    assert pool_nash_conv(RPS, np.array([0.5, 0.5, 0.0])) == pytest.approx(1.0), "paper gets .5, and 0 on average"
    assert nash_conv(np.array([[3.0, 0.0], [5.0, 1.0]]), np.array([[3.0, 5.0], [0.0, 1.0]]), *np.eye(2)[[0, 0]]) == 4.0


def test_nash_conv_as_openspiel_computes_it():
    pyspiel = pytest.importorskip("pyspiel", reason="open_spiel is not installed: pip install open_spiel")
    from open_spiel.python import policy
    from open_spiel.python.algorithms import exploitability

    rng = np.random.default_rng(3)
    for _ in range(5):
        first, second = rng.normal(size=(2, 3, 4))
        row_mix, column_mix = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4))
        game = pyspiel.create_matrix_game(first.tolist(), second.tolist())
        sequential = pyspiel.convert_to_turn_based(game)
        table = policy.TabularPolicy(sequential)
        table.action_probability_array[0, :3], table.action_probability_array[1, :4] = row_mix, column_mix
        theirs = exploitability.nash_conv(sequential, table)
        assert nash_conv(first, second, row_mix, column_mix) == pytest.approx(theirs, abs=1e-9)


def test_of_all_equilibria_the_widest_is_found():
    assert equilibrium(RPS).row_mix == pytest.approx([1 / 3] * 3, abs=1e-4)
    clones = [0, 1, 2, 2]
    cloned = equilibrium(RPS[np.ix_(clones, clones)])
    assert cloned.row_mix == pytest.approx([1 / 3, 1 / 3, 1 / 6, 1 / 6], abs=1e-3), "twins share alike"
    assert cloned.value == pytest.approx(0.0, abs=1e-9)
    dominated = equilibrium(np.array([[1.0, 2.0], [0.0, 0.5]]))
    assert dominated.row_mix == pytest.approx([1.0, 0.0], abs=1e-3)
    assert dominated.column_mix == pytest.approx([1.0, 0.0], abs=1e-3)
    assert dominated.value == pytest.approx(1.0)
    with pytest.raises(ValueError, match="finite"):
        equilibrium(np.array([[np.nan]]))


def test_random_games_are_solved():
    rng = np.random.default_rng(4)
    for shape in ((2, 2), (5, 3), (12, 12), (3, 20)):
        payoff = rng.normal(size=shape)
        found = equilibrium(payoff)
        assert nash_conv(payoff, -payoff, found.row_mix, found.column_mix) < 1e-3
        assert found.row_mix @ payoff @ found.column_mix == pytest.approx(found.value, abs=1e-3)


def best_response(mix: np.ndarray) -> int:
    return int(np.argmax(RPS @ mix))


def play(config: LeagueConfig, seed: int = 7, generations: int = 60, games: int = 60) -> tuple[League, list[int]]:
    """Train a learner that answers what it met in a generation best, and then is frozen; return what it played."""
    league = League(config, scripted=())
    moves: dict[str, int] = {}
    learned, history = 0, []
    for generation in range(generations):
        met = np.zeros(3)
        for game in range(games):
            draw = league.draw()
            at = [seed_for(seed, generation, 2 * game + i) / 2.0**63 for i in range(2)]
            kind = drawn(draw.share, at[0])
            other = draw.member[drawn(draw.probability[kind], at[1])] if kind else "main"
            theirs = moves.get(other, learned)
            met[theirs] += 1
            if other != "main":
                score = (1.0 + RPS[learned, theirs]) / 2.0
                league.report("main", other, [score]), league.report(other, "main", [1.0 - score])
        member = league.snapshot((generation + 1) * games, f"{learned:064x}")
        moves[member.id] = learned
        history.append(learned)
        learned = best_response(met)
    return league, history


def rates(league: League, history: list[int], weight: np.ndarray, members: tuple[str, ...]) -> np.ndarray:
    rate = np.zeros(3)
    for member, part in zip(members, weight, strict=True):
        rate[history[int(member.rpartition("-")[2])]] += part
    return rate


COMMON = {"snapshot_env_steps": 60, "capacity": 36, "scripted": []}


def test_latest_only_cycles():
    mix = {kind: float(kind == "latest") for kind in MIX_KINDS}
    _, history = play(LeagueConfig.model_validate({**COMMON, "mix": mix}))
    assert history[1:] == ([1, 1, 2, 2, 0, 0] * 10)[:59], "paper, scissors, rock, paper, ..."
    assert pool_nash_conv(RPS, np.eye(3)[history[-1]]) == 2.0, "what is met loses to one move alone"


@pytest.mark.parametrize("prioritise", ["partners", "adversaries"])
def test_the_mix_that_is_met_in_the_league_comes_near_nash(prioritise):
    mix = {"current": 0.35, "prioritised": 0.40, "scripted": 0.0, "verification": 0.25}
    league, history = play(LeagueConfig.model_validate({**COMMON, "mix": mix, "prioritise": prioritise}))
    draw = league.draw()
    met = rates(league, history, draw.total / draw.total.sum(), draw.member)
    assert met == pytest.approx([1 / 3] * 3, abs=0.1)
    assert pool_nash_conv(RPS, met) < 0.4
