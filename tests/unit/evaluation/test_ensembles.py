"""Several policies that act as one: by the mean of their Q values or by a vote, each named by path and hash."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robonav_ray as rn
from robonav_ray.algo.ensemble import EnsemblePolicy
from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.evaluation_suite import Scenario
from robonav_ray.errors import UserError
from robonav_ray.evaluation.entrants import PolicyEntrant
from robonav_ray.evaluation.exam import Seat, play, seat_of
from robonav_ray.evaluation.find_entrants import find_entrants, refuse_trained_on
from robonav_ray.registry.ensembles import open_acting
from robonav_ray.runs.ensembles import EnsembleError, open_ensemble, write_ensemble
from robonav_ray.runs.task import describe_task
from tests.made_up_runs import make_run

SMALL = ("algo.hidden_dims=[8]", "env.world.lidar.num_beams=9")


class Told(Policy):
    """Says the Q values that it was given."""

    def __init__(self, *rows: list[float]) -> None:
        self.values = np.array(rows, np.float32)
        self.obs_dim, self.num_actions, self._version = 1, self.values.shape[1], 1

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        return self.values[: len(obs)].copy()


def entrant(word: str) -> PolicyEntrant:
    (found,) = find_entrants([word], foreign=lambda *_: None)
    assert isinstance(found, PolicyEntrant)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`runs/a`, `b` and `c` of one robot, `c` by another algorithm; `wide` sees more."""
    folder = tmp_path_factory.mktemp("ensembles")
    for number, (name, more) in enumerate(
        {
            "a": (),
            "b": ("seed=1",),
            "c": ("seed=2", "algo.distribution=qr", "algo.reward_scale=0.02"),
            "wide": ("env.world.lidar.num_beams=10",),
        }.items()
    ):
        make_run(folder / "runs" / name, (*SMALL, *more), steps=(100, 200 + number))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_mean_and_a_vote() -> None:
    obs = np.zeros((3, 1), np.float32)
    members = [
        Told([5.0, 0.0, 1.0], [0.0, 1.0, 3.0], [1.0, 1.0, 0.0]),
        Told([0.0, 1.0, 0.5], [0.0, 4.0, 3.0], [0.0, 3.0, 0.0]),
        Told([0.0, 1.0, 0.5], [2.0, 1.0, 0.0], [1.0, 0.0, 2.0]),
    ]
    mean = EnsemblePolicy(members, "mean", (1.0, 1.0, 1.0))
    assert mean.greedy(obs).tolist() == [0, 1, 1]
    assert np.allclose(mean.q_values(obs), np.mean([one.values for one in members], axis=0))
    vote = EnsemblePolicy(members, "vote", (1.0, 1.0, 1.0))
    assert vote.greedy(obs).tolist() == [1, 1, 1]  # a majority; three of one vote each, and the mean decides
    assert EnsemblePolicy(members, "mean", (1.0, 9.0, 9.0)).greedy(obs).tolist() == [1, 1, 1]
    assert vote.greedy(obs[:0]).shape == (0,)
    assert vote.greedy(obs).dtype == np.int32


@pytest.mark.parametrize("seed", range(3))
def test_a_vote_is_as_counted_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members = [Told(*rng.integers(0, 3, (50, 4)).astype(float).tolist()) for _ in range(5)]
    found = EnsemblePolicy(members, "vote", (1.0,) * 5).greedy(np.zeros((50, 1), np.float32))
    for row in range(50):
        votes = [int(one.values[row].argmax()) for one in members]
        most = max(votes.count(action) for action in votes)
        mean = sum(one.values[row] for one in members)
        best = max((a for a in range(4) if votes.count(a) == most), key=lambda a: (mean[a], -a))
        assert found[row] == best


def test_members_of_other_algorithms_count_in_the_same_rewards(here: Path) -> None:
    found = entrant("ensemble:runs/a,runs/c")
    a, c = (entrant(f"runs/{name}").policy for name in "ac")
    obs = np.random.default_rng(0).uniform(-1, 1, (20, a.obs_dim)).astype(np.float32)
    scale = AlgoConfig().reward_scale / 0.02
    assert np.allclose(found.policy.q_values(obs), (a.q_values(obs) + scale * c.q_values(obs)) / 2, atol=1e-6)
    assert found.facts.kind == "ensemble"
    assert found.facts.name == "mean(a+c)"
    assert found.trained_with == (0, 2)
    with pytest.raises(UserError, match="seed 2 is the one that mean"):
        refuse_trained_on([found], 2, "suite")


def test_an_ensemble_takes_part_in_an_exam(here: Path) -> None:
    words = ["one=runs/a", "many=ensemble:vote:runs/[ab],runs/c"]
    one, many = find_entrants(words, foreign=lambda *_: None)
    for taking_part in (one, many):
        seat = seat_of(taking_part, Scenario(name="one", stage="basic_navigation"))
        assert isinstance(seat, Seat), seat
        assert play(taking_part, replace(seat, num_episodes=4), num_worlds=4).episodes.num_episodes == 4
    assert (many.facts.name, many.facts.provenance["how"]) == ("many", "vote of the members")
    again = entrant(f"many={many.facts.source}")  # as an exam is replayed
    assert again.fingerprint == many.fingerprint != entrant("ensemble:runs/a,runs/b,runs/c").fingerprint


def test_a_file_names_members_by_path_and_hash(here: Path) -> None:
    path = here / "pipe/select/ensemble.json"
    write_ensemble(path, "vote", ["runs/a", here / "runs/b/checkpoints/env-000000000100"])
    told = json.loads(path.read_text())
    assert [one["path"] for one in told["members"]] == [
        "../../runs/a/checkpoints/env-000000000200", "../../runs/b/checkpoints/env-000000000100",
    ]  # fmt: skip
    moved = Path(shutil.copytree(here, here.parent / f"{here.name}-moved"))
    found = open_ensemble(moved / "pipe/select/ensemble.json")
    assert found.how == "vote"
    assert [member.facts["env_steps"] for member in found.members] == [200, 100]
    assert len({entrant(str(word)).fingerprint for word in (path, path.parent, f"ensemble:{path}")}) == 1
    policy = found.policy(describe_task(found.config))
    assert policy.greedy(np.zeros((2, policy.obs_dim), np.float32)).shape == (2,)


def test_all_that_acts_is_opened_in_one_place(here: Path) -> None:
    write_ensemble(here / "ensemble.json", "vote", ["runs/a", "runs/b"])
    one, many, file = (open_acting(word) for word in ("runs/a", "ensemble:vote:runs/a,runs/b", "ensemble.json"))
    assert (one.env_steps, many.env_steps) == (200, 401)
    assert many.sha256 == file.sha256 != one.sha256
    obs = np.zeros((1, one.task.obs_dim), np.float32)
    assert rn.load_policy("ensemble.json").act(obs) == many.policy.greedy(obs)
    with pytest.raises(UserError, match="an ensemble names a checkpoint of each member"):
        open_acting("ensemble.json", "best")


def test_what_is_no_ensemble_is_refused(here: Path) -> None:
    make_run(here / "runs/other", ("env.id=CartPole-v1", "algo.hidden_dims=[8]"), steps=(100,))
    make_run(here / "runs/slow", (*SMALL, "env.world.robot.max_speed=0.4"), steps=(100,))
    refused = {
        "ensemble:": "a member is missing",
        "ensemble:runs/a": "has 2 to 32 members, not 1",
        "ensemble:runs/a,,runs/b": "a member is missing",
        "ensemble:runs/a,runs/gone": "the member runs/gone",
        "ensemble:runs/x*,runs/a": "finds nothing",
        "ensemble:runs/a,runs/a": "the member runs/a has the weights of another one",
        "ensemble:runs/a,runs/wide": r"the member runs/wide sees \d+ numbers .*, not the \d+ of runs/a",
        "ensemble:runs/a,runs/other": "the member runs/other was trained on env.id=CartPole-v1",
        "ensemble:runs/a,runs/slow": "the member runs/slow has another env.world.robot than that of runs/a",
        "ensemble:runs/other,runs/a": "the member runs/a was trained on env.id=robonav_ray/Nav-v0",
    }
    with pytest.raises(UserError, match="ensemble"):
        entrant("ensemble:\0")
    for word, says in refused.items():
        with pytest.raises(UserError, match=says):
            entrant(word)


def test_a_file_of_a_stranger_is_looked_at(here: Path) -> None:
    path = here / "ensemble.json"
    write_ensemble(path, "mean", ["runs/a", "runs/b"])
    good = json.loads(path.read_text())
    first, second = good["members"]
    for document, says in (
        ({}, "is no ensemble of ours"),
        ([], "is no ensemble of ours"),
        ({**good, "how": "best"}, "is no ensemble of ours"),
        ({**good, "format_version": 2}, "is no ensemble of ours"),
        ({**good, "members": [first, {"path": 1, "weights_sha256": "x"}]}, "otherwise than by path"),
        ({**good, "members": [first, {**second, "path": "/etc"}]}, "no path relative to it"),
        ({**good, "members": [first, {**second, "path": "runs/b\0"}]}, "no path relative to it"),
        ({**good, "members": [first, {**second, "path": "runs"}]}, "the member runs"),
        ({**good, "members": [first, {**second, "weights_sha256": "0" * 64}]}, "runs/b.* has other weights than"),
        ({**good, "members": [first] * 50}, "has 2 to 32 members, not 50"),
    ):
        text: Any = json.dumps(document)
        path.write_text(text)
        with pytest.raises(EnsembleError, match=says):
            open_ensemble(path)
    path.write_text("{")
    with pytest.raises(EnsembleError, match=r"ensemble\.json"):
        open_ensemble(path)
