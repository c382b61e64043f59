"""All entrants play the same worlds, with a sensor and a body of one's own; an exam of a run is what ``robonav
evaluate`` plays.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.evaluation_suite import Scenario, Suite
from robonav_ray.config.load import ConfigError
from robonav_ray.evaluation.entrants import EntrantError
from robonav_ray.evaluation.exam import ExamPlan, Question, Seat, play, questions_of, seat_of
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.records import Outcome
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectoryError
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.examination.order import ExamOrder
from robonav_ray.runtime.judge import judge_stage
from robonav_ray.worlds.kernels import layout as lay
from tests.made_up_runs import make_run

SMALL = (
    "algo.hidden_dims=[8]",
    "env.world.lidar.num_beams=9",
    "evaluation.num_episodes=50",
    "evaluation.num_worlds=20",
)


def entrants(*words):
    return find_entrants(words, foreign=lambda *_: None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one config, one with another sensor, and one that sees the true state."""
    folder = tmp_path_factory.mktemp("runs")
    for name, words in {
        "seed0": ("name=small",),
        "seed1": ("name=small", "seed=1"),
        "wide": (
            "name=wide",
            "env.world.lidar.num_beams=31",
            "env.world.lidar.encoding=range",
            "env.world.lidar.range_max_m=3",
        ),
        "state": ("name=state", "env.world.observation=state"),
    }.items():
        base = SMALL if name != "state" else tuple(word for word in SMALL if "lidar" not in word)
        make_run(folder / name, (*base, *words), steps=(100,))
    return folder


def scenario(**keys) -> Scenario:
    return Scenario.model_validate({"name": "x", "num_episodes": 50, **keys})


def worlds_of(seat: Seat) -> dict[str, np.ndarray]:
    env = seat.make_env(3, 20)
    env.reset()
    state = env.worlds.state
    places = (
        state.robot[:, 0][:, [lay.X, lay.Y, lay.YAW]].copy(),
        state.goal[..., :2].copy(),
        state.circle[:, :, :7].copy(),
    )
    return dict(zip(("start", "goal", "circle"), places, strict=True))


def test_all_get_the_same_worlds(runs: Path):
    found = entrants(str(runs / "seed0"), str(runs / "wide"), str(runs / "state"), "orca", "stop_and_go")
    assert [one.facts.knows for one in found] == ["lidar only", "lidar only", "true state", "true state", "lidar only"]
    for changes in (
        {},
        {"level.randomization.range_noise": 3, "level.randomization.slip": 2, "level.randomization.obstacle_size": 1},
    ):
        seats = [seat_of(one, scenario(changes=changes)) for one in found]
        assert all(isinstance(seat, Seat) for seat in seats), seats
        first, *others = [worlds_of(seat) for seat in seats if isinstance(seat, Seat)]
        for other in others:
            for name, places in other.items():
                np.testing.assert_array_equal(places, first[name], err_msg=name)
    assert seats[1].world.lidar.num_beams == 31  # type: ignore[union-attr]
    assert seats[3].world.lidar.num_beams == 9, "planners see what the first run sees"  # type: ignore[union-attr]


@pytest.mark.slow
def test_two_bodies_get_the_same_worlds(runs: Path, tmp_path: Path):
    """A kernel is compiled for it."""
    words = ("env.world.robot.radius_m=0.35", "env.world.robot.max_speed=0.5", "name=stout")
    make_run(tmp_path / "stout", (*SMALL, *words), steps=(100,))
    for changes in ({}, {"level.randomization.slip": 2}):
        first, stout = (
            seat_of(one, scenario(changes=changes)) for one in entrants(str(runs / "seed0"), str(tmp_path / "stout"))
        )
        assert isinstance(first, Seat)
        assert isinstance(stout, Seat)
        assert stout.placed_for == (0.25, 1.0)
        for name, places in worlds_of(stout).items():
            np.testing.assert_array_equal(places, worlds_of(first)[name], err_msg=name)
        assert stout.key != first.key
        (alone,) = entrants(str(tmp_path / "stout"))
        seat = seat_of(alone, scenario(changes=changes))
        assert isinstance(seat, Seat)
        assert seat.placed_for is None
        assert not np.array_equal(worlds_of(seat)["start"], worlds_of(first)["start"])
        env = stout.make_env(0, 5)
        obs, _ = env.reset()
        assert env.worlds.config.robot.radius_m == 0.35
        scene = env.worlds.scene(0)
        assert env.observation_space.contains(obs)
        assert scene.robot_radius_m == pytest.approx(0.35)
        played = play(entrants(str(runs / "seed0"), str(tmp_path / "stout"))[1], stout).episodes
        assert np.isfinite(played.min_clearance_m).all()
    same = seat_of(entrants(str(runs / "seed0"), str(runs / "seed1"))[1], scenario())
    assert isinstance(same, Seat)
    assert same.placed_for is None


def test_a_cell_of_a_run_is_what_evaluate_plays(runs: Path):
    (entrant,) = entrants(str(runs / "seed0"))
    question = Question("s", scenario(stage="multi_goal_planning"))
    seat = seat_of(entrant, question.scenario)
    assert isinstance(seat, Seat)
    played = play(entrant, seat, num_worlds=30)
    from robonav_ray.runs.located import find_policy

    run, checkpoint = find_policy(runs / "seed0")
    task = describe_task(run.config)
    judged = judge_stage(load_policy(checkpoint, run.config, task), run.config, task, 2)
    for name in ("world", "outcome", "length", "total_return", "path_length_m", "min_clearance_m"):
        np.testing.assert_array_equal(getattr(played.episodes, name), getattr(judged, name), err_msg=name)
    for name, column in judged.extra.items():
        np.testing.assert_array_equal(
            played.episodes.extra[name], column if name != "level" else 0 * column, err_msg=name
        )
    assert (played.episodes.step_s, played.episodes.max_steps) == (judged.step_s, judged.max_steps)
    assert played.decisions.num_lanes == 30
    assert 0 < played.decisions.p50_s <= played.decisions.p99_s


def test_what_cannot_act_in_a_scenario_is_missing_with_its_reason(runs: Path):
    found = entrants(str(runs / "seed0"), str(runs / "state"), "lookahead", "orca", "stop_and_go")
    suite = Suite.model_validate(
        {
            "name": "s",
            "num_episodes": 50,
            "scenarios": [
                {"name": "beams", "changes": {"env.world.lidar.num_beams": 18}},
                {"name": "crowd", "changes": {"level.num_dynamic": 20}},
                {"name": "walls", "changes": {"env.world.boxes": [{"x_m": 0, "y_m": 0, "width_m": 1, "height_m": 1}]}},
            ],
        }
    )
    plan = ExamPlan.of(found, questions_of([suite]))
    assert set(plan.missing) == {(0, 0), (1, 1), (2, 2)}
    assert "takes 39 observations and 15 actions, and there are 66 and 15 actions here" in plan.missing[0, 0]
    assert "takes" in plan.missing[1, 1]
    assert "walls" in plan.missing[2, 2]


def test_a_true_state_policy_has_room_for_fewer_circles(runs: Path):
    (entrant,) = entrants(str(runs / "state"))
    seat = seat_of(entrant, scenario(stage="basic_navigation"))
    assert isinstance(seat, Seat)
    assert seat.level.num_static == 3
    assert seat.make_env(0, 1).worlds.obs_dim == describe_task_dim(runs / "state")


def describe_task_dim(path: Path) -> int:
    from robonav_ray.runs.run_directory import open_run

    return describe_task(open_run(path).config).obs_dim


def test_seeds_of_one_config_are_one_method(runs: Path):
    found = entrants(
        str(runs / "seed*"), str(runs / "wide"), f"mine={runs / 'seed0' / 'checkpoints' / 'env-000000000100'}"
    )
    assert [one.facts.name for one in found] == ["seed0", "seed1", "wide", "mine"]
    methods = [one.facts.method for one in found]
    assert methods[0] == methods[1] != methods[2]
    assert methods[3] == f"{methods[0]}@100"
    assert [one.facts.kind for one in found] == ["run", "run", "run", "checkpoint"]
    assert found[0].fingerprint == found[3].fingerprint != found[2].fingerprint


def test_a_function_acts_and_is_vetted():
    def good(obs):
        return np.zeros(len(obs), int)

    (entrant,) = entrants(("mine", good))
    seat = seat_of(entrant, scenario(stage="basic_navigation"))
    assert isinstance(seat, Seat)
    outcome = play(entrant, seat).episodes.outcome
    assert set(outcome.tolist()) <= {Outcome.TIMEOUT}, "it stands"
    for bad, told in (
        (lambda obs: np.zeros(len(obs)), "whole numbers belong there"),
        (lambda obs: np.zeros(3, int), r"returned int64 \(3,\) for observations"),
        (lambda obs: np.full(len(obs), 15), "returned the actions 15 to 15, and there are 0 to 14"),
        (lambda obs: obs.nothing, "mine: failed: AttributeError"),
    ):
        (entrant,) = entrants(("mine", bad))
        with pytest.raises(EntrantError, match=told):
            play(entrant, seat)


def test_worlds_are_held_out(runs: Path):
    suite = Suite.model_validate({"name": "s", "seed": 1, "scenarios": [{"name": "a", "num_episodes": 50}]})
    with pytest.raises(RunDirectoryError, match="a: seed 1 is the one that seed1 was trained with"):
        ExamOrder((str(runs / "seed0"), str(runs / "seed1")), (suite,)).plan(lambda *_: None)


def test_what_is_no_entrant_is_told(runs: Path, tmp_path: Path):
    suite = Suite.model_validate(
        {"name": "s", "scenarios": [{"name": "a", "changes": {"env.world.lidar.num_beams": 18}}]}
    )
    make_run(tmp_path / "pole", steps=(100,))
    for words, told in (
        (["orcb"], r"orcb: is no run directory here, no planner \(did you mean 'orca'\?\) and no module"),
        (["orca:nothing"], "orca:nothing"),
        ([str(runs / "gone")], "is not a run directory"),
        ([str(runs / "gone*")], "finds nothing"),
        (["nowhere_module:act"], "there is no module 'nowhere_module'"),
        (["orca", "orca"], "orca: takes part twice"),
        ([str(tmp_path / "pole")], "was trained on env.id=CartPole-v1"),
        ([], "no entrant is named"),
        ([""], "is no run directory"),
    ):
        with pytest.raises(ValueError, match=told):
            ExamOrder(tuple(words), (suite,)).plan(lambda *_: None)
    with pytest.raises(ConfigError, match="seed0: fits no scenario: takes 39 observations"):
        ExamOrder(("orca", str(runs / "seed0")), (suite,)).plan(lambda *_: None)


def test_a_slow_planner_plays_the_first_episodes():
    (entrant,) = entrants("lookahead")
    seat = seat_of(entrant, scenario(num_episodes=1000))
    assert isinstance(seat, Seat)
    assert seat.num_episodes == 200
    assert "slow" in entrant.facts.provenance["episodes"]
