"""What an environment tells is read by its kind: ours under our names, that of others as success and as plain
numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import VectorEnv

from robonav_ray.config.worlds import EnvConfig, LevelConfig
from robonav_ray.evaluation.episodes import evaluate_policy
from robonav_ray.records import EpisodeFacts, Outcome
from robonav_ray.worlds.make import describe_env, make_vector_env
from robonav_ray.worlds.told import MAX_KEYS, find_teller, number_of, parse_info
from robonav_ray.worlds.vector_env import EPISODE_INFO, NavVectorEnv
from tests import foreign_envs

LEVELS = (LevelConfig(num_static=0, num_dynamic=0, num_goals=1, max_steps=40),)
WON = {"end", "numpy", "int", "float", "array", "zero_d", "always", "float_or_none", "won_only"}
LOST = WON - {"won_only"}


def make(env_id: str = "Foreign-v0", num: int = 4, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    return make_vector_env(EnvConfig(id=env_id, kwargs=kwargs), LEVELS, num_envs=num, first_world=0, seed=3, gamma=0.99)


def first_facts(env: VectorEnv[Any, Any, Any], num_endings: int = 1) -> EpisodeFacts:
    env.reset()
    teller, known = find_teller(env)
    assert known
    while True:
        *_, terminated, truncated, infos = env.step(np.zeros(env.num_envs, np.int64))
        ended = terminated | truncated
        num_endings -= bool(ended.any())
        if not num_endings:
            return teller.episode_facts(infos, ended)


@pytest.mark.parametrize("kind", [*sorted(WON), "none", "text", "nan", "nothing"])
def test_success_as_others_tell_it(kind: str) -> None:
    """``reset`` has been called twice before the first step, so that the first episode of each lane is won and the
    second is lost."""
    won, lost = Outcome.SUCCESS if kind in WON else Outcome.NONE, Outcome.TIMEOUT if kind in LOST else Outcome.NONE
    for num_endings, outcome in ((1, won), (2, lost)):
        facts = first_facts(make(kind=kind), num_endings)
        np.testing.assert_array_equal(facts.columns["outcome"], outcome)
        assert facts.columns.keys() == {"outcome"}


def test_names_of_ours_are_numbers_like_others_in_an_environment_that_is_not() -> None:
    facts = first_facts(make(kind="ours"))
    np.testing.assert_array_equal(facts.columns["outcome"], Outcome.NONE)
    assert facts.columns.keys() == {"outcome"}
    assert facts.numbers.keys() == {
        "length", "total_return", "task_return", "parked", "path_length_m", "min_clearance_m", "final_obs", "speed",
    }  # fmt: skip
    np.testing.assert_array_equal(facts.numbers["speed"], 1.25)
    assert set(facts.dropped) == {"outcome", "goals_reached", "final_info"}


def test_evaluation_measures_what_others_call_by_our_names() -> None:
    table = evaluate_policy(
        lambda obs: np.zeros(len(obs), np.int64), lambda first, num: make(num=num, kind="ours"), 6, num_worlds=4
    )
    np.testing.assert_array_equal(table.length, 5)
    np.testing.assert_array_equal(table.total_return, 5.0)
    np.testing.assert_array_equal(table.task_return, 5.0)
    assert not table.has_outcomes
    assert np.isnan(table.path_length_m).all()
    assert not table.extra


def test_our_worlds_in_a_users_wrapper_are_ours() -> None:
    described = describe_env(EnvConfig(id="WrappedNav-v0", kwargs={"levels": LEVELS[0].model_dump()}), LEVELS)
    assert described.is_own
    assert not describe_env(EnvConfig(id="Foreign-v0"), LEVELS).is_own
    own, alone = first_facts(make("WrappedNav-v0", 2, levels=LEVELS[0].model_dump())), first_facts(nav(2))
    assert own.columns.keys() == alone.columns.keys() == set(EPISODE_INFO)
    assert not own.numbers
    assert int(own.columns["outcome"][0]) in set(Outcome) - {Outcome.NONE}


def nav(num: int) -> NavVectorEnv:
    return NavVectorEnv(num, levels=LEVELS)


class Bare(NavVectorEnv):
    """A user's vector environment, which says nothing of itself: all there is are its infos."""

    episode_facts = None  # type: ignore[assignment]

    def step(self, actions: np.ndarray) -> Any:
        obs, reward, terminated, truncated, _ = super().step(actions)
        ended = terminated | truncated
        told = {
            "is_success": ended.copy(),
            "_is_success": np.arange(len(ended)) > 0,
            "outcome": np.full(len(ended), 1),
            "speed": ended * 2.0,
        }
        return obs, reward, terminated, truncated, {"final_info": told, "parked": np.ones(len(ended), bool)}


def test_a_vector_environment_that_says_nothing_of_itself_is_heard_under_its_masks() -> None:
    env = Bare(3, levels=LEVELS)
    env.reset()
    teller, known = find_teller(env)
    assert not known
    ended = np.array([True, True, False])
    for infos in ({}, {"final_info": 3}):
        np.testing.assert_array_equal(teller.episode_facts(infos, ended).columns["outcome"], Outcome.NONE)
    *_, infos = env.step(np.zeros(3, np.int64))
    infos["final_info"]["is_success"][:] = True
    facts = teller.episode_facts(infos, ended)
    assert facts.columns["outcome"].tolist() == [Outcome.NONE, Outcome.SUCCESS, Outcome.NONE]
    assert facts.numbers.keys() == {"outcome", "speed"}
    table = evaluate_policy(lambda obs: np.zeros(len(obs), np.int64), lambda first, num: Bare(num, levels=LEVELS), 3)
    assert (table.length > 0).all(), "`parked` of a user's environment is nothing to us"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0), (np.bool_(False), 0.0), (3, 3.0), (np.float32(0.5), 0.5), (np.array([[2]]), 2.0),
        (np.array(7), 7.0), (None, None), ("3", None), (float("inf"), None), (np.nan, None), (10**400, None),
        (1j, None), ([1], None), ({}, None), (np.zeros(2), None), (np.array([None]), None), (np.array(["1"]), None),
        (np.array([]), None),
    ],
)  # fmt: skip
def test_numbers(value: Any, number: float | None) -> None:
    assert number_of(value) == number


def test_names_and_their_number_are_bounded() -> None:
    info = {"ok/name.1-2_3": 1, "": 2, "two words": 3, "x" * 65: 4, "été": 5, "_mask": 6, 7: 7, "[red]": 8}
    words = parse_info(info, own=False)
    assert words.numbers == {"ok/name.1-2_3": 1.0, "7": 7.0}
    assert len(words.dropped) == 6
    assert max(map(len, words.dropped)) == 64
    assert len(parse_info({str(i): i for i in range(10_000)}, own=False).numbers) == MAX_KEYS


def test_the_limit_and_the_pictures_of_an_environment_are_known_before_it_runs() -> None:
    assert foreign_envs.ForeignEnv is not None
    limited = describe_env(EnvConfig(id="Limited-v0"), LEVELS)
    assert (limited.max_episode_steps, limited.draws) == (30, True)
    shorter = EnvConfig(id="Limited-v0", kwargs={"max_episode_steps": 7})
    assert describe_env(shorter, LEVELS).max_episode_steps == 7
    blind = describe_env(EnvConfig(id="Blind-v0"), LEVELS)
    assert (blind.max_episode_steps, blind.draws) == (None, False)
