"""Who is met how often: closed forms, floors, kinds of worlds without members."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.league import MIX_KINDS, LeagueConfig
from robonav_ray.league.league import League
from robonav_ray.league.matchmaking import (
    adversary_weight,
    drawn,
    normalized,
    partner_weight,
    verification_weight,
)

HASHES = [f"{i:064x}" for i in range(20)]


def league(num_snapshots: int = 3, **config: object) -> League:
    made = League(LeagueConfig.model_validate({"snapshot_env_steps": 10, **config}))
    for i in range(num_snapshots):
        made.snapshot(10 * (i + 1), HASHES[i])
    return made


def only(kind: str, **config: object) -> dict[str, object]:
    return {"mix": {name: float(name == kind) for name in MIX_KINDS}, **config}


def test_weights_are_their_closed_forms():
    x = np.array([0.0, 0.25, 0.5, 1.0])
    assert partner_weight(x).tolist() == [0.0, 0.1875, 0.25, 0.0]
    assert adversary_weight(x).tolist() == [1.0, 0.5625, 0.25, 0.0]
    assert verification_weight(np.array([0.0, 1.0, 3.0])).tolist() == [1.0, 0.5, 0.25]
    assert normalized(np.array([1.0, 3.0]), floor=0.2).tolist() == pytest.approx([0.8 / 4 + 0.1, 0.8 * 3 / 4 + 0.1])
    assert normalized(np.zeros(4)).tolist() == [0.25] * 4


@pytest.mark.parametrize(("prioritise", "weight"), [("partners", partner_weight), ("adversaries", adversary_weight)])
def test_prioritised_members_are_drawn_by_what_is_known_of_them(prioritise, weight):
    made = league(**only("prioritised", prioritise=prioritise, floor=0.1))
    rng = np.random.default_rng(0)
    for i, member in enumerate(made.pool.frozen):
        made.report("main", member.id, (rng.random(60) < (0.1, 0.5, 0.9)[i]).astype(float))
    draw = made.draw()
    frozen = [draw.member.index(member.id) for member in made.pool.frozen]
    x = made.payoff.scores("main", [member.id for member in made.pool.frozen])
    wanted = 0.9 * weight(x) / weight(x).sum() + 0.1 / 3
    assert draw.total[frozen] == pytest.approx(wanted)
    assert draw.total.sum() == pytest.approx(1.0)


def test_each_kind_has_its_members():
    made = league(mix={"current": 0.2, "latest": 0.1, "uniform": 0.1, "prioritised": 0.3, "verification": 0.15})
    made.report("main", "main-0001", np.ones(30))
    draw = made.draw()
    kinds = {kind: draw.probability[k] for k, kind in enumerate(MIX_KINDS)}
    snapshots = [draw.member.index(f"main-{i:04d}") for i in range(3)]
    assert draw.share.tolist() == [0.2, 0.1, 0.1, 0.3, 0.15, 0.15]
    assert not kinds["current"].any()
    assert kinds["latest"][snapshots].tolist() == [0.0, 0.0, 1.0]
    assert kinds["uniform"][snapshots] == pytest.approx([1 / 3] * 3)
    assert kinds["scripted"][[draw.member.index(name) for name in ("orca", "social_force", "straight")]].sum() == 1.0
    forgotten = kinds["verification"][snapshots]
    assert forgotten[1] == min(forgotten), "what is known well needs no verification"
    assert forgotten[1] >= 0.1 / 3, "and is met all the same"


def test_a_kind_without_members_goes_to_the_current_policy():
    draw = league(0).draw()
    assert draw.share.tolist() == pytest.approx([0.85, 0.0, 0.0, 0.0, 0.15, 0.0])
    assert draw.total.sum() == pytest.approx(0.15)
    bare = League(LeagueConfig.model_validate({**only("latest"), "scripted": []})).draw()
    assert bare.member == ()
    assert bare.share[0] == 1.0


def test_a_draw_falls_on_parts_of_some_size():
    assert [drawn(np.array([0.0, 0.5, 0.0, 0.5, 0.0]), at) for at in (0.0, 0.4999, 0.5, 1.0 - 2**-53)] == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mix": {"current": 0.5}}, r"sum to 1\.15 and must sum to 1"),
        ({"mix": {"current": -0.1}}, "greater than or equal to 0"),
        ({"scripted": []}, r"mix\.scripted \(0\.15\) has no members"),
        ({"scripted": ["orca", "orca"]}, "stands twice"),
        ({"members": ["runs/a", "runs/a"]}, "stands twice"),
        ({"scripted": ["crocodile"]}, "orca"),
        ({"capacity": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        LeagueConfig.model_validate(wrong)


def test_a_league_needs_company():
    from robonav_ray.config.load import ConfigError, load_run_config

    assert load_run_config(None, ["league.capacity=4", "env.world.num_robots=4"]).league is not None
    for overrides in (["league={}"], ["league={}", "env.id=CartPole-v1"]):
        with pytest.raises(ConfigError, match="league: needs worlds of"):
            load_run_config(None, overrides)
    with pytest.raises(ConfigError, match=r"league\.mix"):
        load_run_config(None, ["league.mix.current=1", "env.world.num_robots=4"])
