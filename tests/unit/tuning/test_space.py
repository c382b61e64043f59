"""The search space: values and points correspond, draws have the shape that was asked for, and every mistake is told at
load."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, load_tuning_config
from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.tuning.keys import OWNED, are_overlapping, is_covered, known_keys
from robonav_ray.tuning.mutations import check_population
from robonav_ray.tuning.space import Space, apply_params, check_space, trial_config

SHIPPED = sorted((Path(__file__).parents[3] / "configs" / "tuning").glob("*.yaml"))


def space_of(**dimensions: DimensionConfig) -> Space:
    return Space(dimensions)


def tuning(space: dict[str, Any], run: dict[str, Any] | None = None, **others: Any) -> TuningConfig:
    return TuningConfig.model_validate({"space": space, "run": run or {}, **others})


def refusal(space: dict[str, Any], run: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        check_space(tuning(space, run))
    return str(caught.value)


# --- values and points
# ---------------------------------------------------------------------------------------------------------

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-9, 1e9)
scalars = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-5, 5), st.text("ab", max_size=3), st.none())
choices = st.lists(st.one_of(scalars, st.lists(scalars, max_size=3).map(tuple)), min_size=1, max_size=9, unique_by=repr)


@given(st.tuples(finite, finite).filter(lambda b: b[0] < b[1]), st.floats(0, 1))
def test_numbers_round_trip(bounds: tuple[float, float], place: float) -> None:
    space = space_of(x=DimensionConfig(uniform=bounds))
    value = bounds[0] + place * (bounds[1] - bounds[0])
    value = min(max(value, bounds[0]), bounds[1])
    assert space.decode(space.encode({"x": value}))["x"] == pytest.approx(
        value, abs=1e-9 * (abs(bounds[0]) + abs(bounds[1]))
    )


@example((999999999.9999999, 1e9), 0.0)
@given(st.tuples(positive, positive).filter(lambda b: b[0] < b[1]), st.floats(0, 1))
def test_numbers_on_a_logarithmic_scale_round_trip(bounds: tuple[float, float], place: float) -> None:
    space = space_of(x=DimensionConfig(loguniform=bounds))
    value = min(max(bounds[0] * (bounds[1] / bounds[0]) ** place, bounds[0]), bounds[1])
    assert space.decode(space.encode({"x": value}))["x"] == pytest.approx(value, rel=1e-9)


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.floats(0, 1))
def test_whole_numbers_round_trip(low: int, width: int, place: float) -> None:
    space, value = space_of(n=DimensionConfig(integer=(low, low + width))), low + round(place * width)
    decoded = space.decode(space.encode({"n": value}))["n"]
    assert decoded == value
    assert isinstance(decoded, int)


@given(st.integers(1, 10**6), st.integers(1, 10**9), st.floats(0, 1))
def test_whole_numbers_on_a_logarithmic_scale_round_trip(low: int, width: int, place: float) -> None:
    space, value = space_of(n=DimensionConfig(log_integer=(low, low + width))), low + round(place * width)
    decoded = space.decode(space.encode({"n": value}))["n"]
    assert decoded == value
    assert isinstance(decoded, int)


@given(choices)
def test_choices_round_trip_also_as_json_has_them(values: list[Any]) -> None:
    space = Space({"c": DimensionConfig.model_construct(choice=tuple(values))})
    for value in values:
        for written in (value, list(value) if isinstance(value, tuple) else value):
            decoded = space.decode(space.encode({"c": written}))["c"]
            assert decoded == value
            assert type(decoded) is type(value)


@given(st.lists(st.floats(-0.5, 1.5), min_size=5, max_size=5))
def test_every_point_has_values_within_the_bounds(point: list[float]) -> None:
    space = space_of(
        u=DimensionConfig(uniform=(-1, 2)),
        log=DimensionConfig(loguniform=(1e-5, 1e-2)),
        i=DimensionConfig(integer=(2, 4)),
        li=DimensionConfig(log_integer=(1, 1000)),
        c=DimensionConfig(choice=("x", "y", "z")),
    )
    params = space.decode(np.array(point))
    assert -1 <= params["u"] <= 2
    assert 1e-5 <= params["log"] <= 1e-2
    assert params["i"] in (2, 3, 4)
    assert 1 <= params["li"] <= 1000
    assert params["c"] in ("x", "y", "z")
    inside = space.encode(params)
    assert ((inside >= 0) & (inside <= 1)).all()
    assert space.decode(inside)["li"] == params["li"]


def test_cells_are_told_by_their_middle() -> None:
    space = space_of(c=DimensionConfig(choice=("x", "y")), i=DimensionConfig(integer=(1, 5)))
    assert space.encode({"c": "y", "i": 1}).tolist() == [0.75, 0.1]
    assert space.encode({"c": "x", "i": 99}).tolist() == [0.25, 0.9]
    with pytest.raises(ValueError, match=r"space\.c: 'z' is not one of 'x', 'y'"):
        space.encode({"c": "z", "i": 1})
    with pytest.raises(ValueError, match="NaN"):
        space.decode(np.array([0.5, np.nan]))


# --- draws
# ---------------------------------------------------------------------------------------------------------------------


def draws(dimension: DimensionConfig, num: int = 4000) -> list[Any]:
    space, rng = space_of(x=dimension), np.random.default_rng(0)
    return [space.sample(rng)["x"] for _ in range(num)]


def test_each_order_of_magnitude_is_as_likely_as_any_other() -> None:
    found = np.log10(draws(DimensionConfig(loguniform=(1e-5, 1e-2))))
    assert stats.kstest(found, "uniform", args=(-5, 3)).pvalue > 0.01
    found = np.log(draws(DimensionConfig(log_integer=(10_000, 100_000))))
    assert stats.kstest(found, "uniform", args=(math.log(1e4), math.log(10))).pvalue > 0.01


def test_numbers_are_uniform() -> None:
    assert stats.kstest(draws(DimensionConfig(uniform=(0.95, 0.999))), "uniform", args=(0.95, 0.049)).pvalue > 0.01


def test_whole_numbers_are_uniform_with_both_bounds() -> None:
    found = np.bincount(draws(DimensionConfig(integer=(2, 8))), minlength=9)[2:]
    assert stats.chisquare(found).pvalue > 0.01
    assert set(draws(DimensionConfig(log_integer=(1, 3)))) == {1, 2, 3}


def test_choices_are_uniform() -> None:
    found = draws(DimensionConfig(choice=("x", (1, 2), None)))
    assert stats.chisquare([found.count(value) for value in ("x", (1, 2), None)]).pvalue > 0.01


def test_the_grid_goes_through_all_combinations_the_first_key_slowest() -> None:
    space = space_of(a=DimensionConfig(choice=("x", "y")), b=DimensionConfig(integer=(1, 3)))
    assert space.grid_size == 6
    assert [tuple(point.values()) for point in space.grid()] == [
        ("x", 1),
        ("x", 2),
        ("x", 3),
        ("y", 1),
        ("y", 2),
        ("y", 3),
    ]
    endless = space_of(a=DimensionConfig(uniform=(0, 1)))
    assert endless.grid_size is None
    with pytest.raises(ValueError, match=r"space\.a: uniform has no end"):
        list(endless.grid())


# --- into a run's config
# -------------------------------------------------------------------------------------------------------


def test_values_lie_over_the_run_and_leave_it_as_it_was() -> None:
    run = {"learner": {"batch_size": 64}, "replay": None}
    applied = apply_params(run, {"learner.learning_rate": 0.1, "replay.capacity": 9, "algo.hidden_dims": (4, 4)})
    assert applied == {
        "learner": {"batch_size": 64, "learning_rate": 0.1},
        "replay": {"capacity": 9},
        "algo": {"hidden_dims": (4, 4)},
    }
    assert run == {"learner": {"batch_size": 64}, "replay": None}


def test_a_star_sets_every_item_of_a_default_list() -> None:
    config = trial_config({}, {"curriculum.stages.*.epsilon.decay": 0.991, "curriculum.stages.1.min_episodes": 7})
    assert [stage.epsilon.decay for stage in config.curriculum.stages] == [0.991] * 4
    assert [stage.min_episodes for stage in config.curriculum.stages] == [0, 7, 0, 0]
    assert [s.gate for s in config.curriculum.stages] == [s.gate for s in RunConfig().curriculum.stages]


def test_a_preset_lies_under_the_values() -> None:
    config = trial_config({"preset": "rainbow"}, {"curriculum.stages.*.epsilon.end": 0.0, "learner.batch_size": 64})
    assert config.algo.noisy
    assert config.curriculum.epsilon_scale == 0.0
    assert {stage.epsilon.end for stage in config.curriculum.stages} == {0.0}


def test_a_list_of_the_run_keeps_its_items() -> None:
    run = {"curriculum": {"stages": [{"name": "only", "epsilon": {"start": 0.4}}]}}
    config = trial_config(run, {"curriculum.stages.*.epsilon.decay": 0.9})
    assert [(s.name, s.epsilon.start, s.epsilon.decay) for s in config.curriculum.stages] == [("only", 0.4, 0.9)]


def test_an_environment_without_outcomes_keeps_its_one_open_stage() -> None:
    config = trial_config({"env": {"id": "CartPole-v1"}}, {"curriculum.stages.*.epsilon.decay": 0.9})
    assert [(s.name, s.epsilon.decay) for s in config.curriculum.stages] == [("open", 0.9)]


@pytest.mark.parametrize("num_layers", [2, 4])
def test_one_width_stands_for_all_layers(num_layers: int) -> None:
    config = trial_config({}, {"algo.num_layers": num_layers, "algo.hidden_dims": 128})
    assert config.algo.hidden_dims == (128,) * num_layers


def test_values_that_give_no_valid_run_are_shown_with_the_config_s_own_complaint() -> None:
    with pytest.raises(ConfigError) as caught:
        trial_config({}, {"learner.batch_size": 9_000, "learner.learning_rate": 1e-3})
    told = str(caught.value)
    for part in (
        "space.learner.batch_size: ",
        "learner.batch_size=9000, learner.learning_rate=0.001",
        "replay.min_size (5000)",
        "run",
    ):
        assert part in told
    assert "space.learner.learning_rate" not in told


@pytest.mark.parametrize("key", ["curriculum.stages.9.min_episodes", "learner.*.x", "learner.batch_size.0"])
def test_a_key_that_leads_nowhere_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"space\.{key.replace('*', '.')}"):
        apply_params({"learner": {"batch_size": 64}}, {key: 1})


# --- at load
# -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_searches_load(path: Path) -> None:
    config = load_tuning_config(path)
    check_space(config)
    check_population(config)
    assert path.read_text().startswith("#"), "a shipped config opens with the question that the search answers"
    assert "?" in path.read_text().splitlines()[0]


def test_there_are_shipped_searches() -> None:
    assert [path.stem for path in SHIPPED] == ["asha", "bayesopt", "optuna", "pbt"]


def test_known_keys_are_those_that_a_run_has() -> None:
    keys = known_keys()
    assert {"learner.learning_rate", "curriculum.stages.*.epsilon.decay", "env.world.lidar.num_beams", "seed"} <= set(
        keys
    )
    assert keys["algo.hidden_dims"]
    assert not keys["algo.gamma"]
    assert not any(key in keys for key in ("learner", "curriculum.stages", "curriculum.stages.*.epsilon"))


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("learner.learning_rat", ["no such key", "did you mean learner.learning_rate?"]),
        ("learning_rate", ["did you mean learner.learning_rate?"]),
        ("curriculum.stages.0.epsilon.decey", ["did you mean curriculum.stages.*.epsilon.decay?"]),
        ("learner", ["is a section", "name a value in it"]),
        ("curriculum.stages", ["is a section or a list"]),
        ("learner.batch_size.0", ["no such key"]),
        ("a..b", ["no such key"]),
        ("env.world.lidar.num_beams", ["different tasks", "set run.env"]),
        ("seed", ["all trials have one seed"]),
        ("curriculum.stages.2.gate.min_return", ["would not mean the same"]),
        ("curriculum.stages.*.level.num_static", ["different tasks"]),
        ("budget.time_s", ["trial.max_env_steps"]),
        ("curriculum.stages.9.min_episodes", ["there is no item '9'", "0 to 3"]),
    ],
)
def test_keys_that_are_not_for_a_search_are_refused(key: str, parts: list[str]) -> None:
    told = refusal({key: {"integer": [1, 3]}, "learner.learning_rate": {"loguniform": [1e-5, 1e-2]}})
    for part in (f"space.{key}: ", *parts):
        assert part in told


@pytest.mark.parametrize("pattern", sorted(OWNED))
def test_what_is_owned_exists(pattern: str) -> None:
    covered = [key for key in known_keys() if is_covered(key, pattern)]
    assert covered
    assert f"space.{covered[0]}: is not for a search to vary" in refusal({covered[0]: {"integer": [1, 3]}})


def test_every_wrong_key_is_told_at_once() -> None:
    assert len(refusal({"seed": {"integer": [1, 3]}, "algo.gama": {"uniform": [0.9, 0.99]}}).splitlines()) == 2


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("curriculum.stages.*.epsilon.decay", "curriculum.stages.0.epsilon.decay", True),
        ("curriculum.stages.1.epsilon.decay", "curriculum.stages.0.epsilon.decay", False),
        ("algo.hidden_dims", "algo.hidden_dims.0", True),
        ("algo.num_layers", "algo.hidden_dims", False),
    ],
)
def test_overlapping_keys(one: str, other: str, overlap: bool) -> None:
    assert are_overlapping(one, other) is overlap
    assert are_overlapping(other, one) is overlap


def test_overlapping_keys_are_refused() -> None:
    decay = {"uniform": [0.99, 0.999]}
    told = refusal({"curriculum.stages.*.epsilon.decay": decay, "curriculum.stages.0.epsilon.decay": decay})
    assert "space.curriculum.stages.*.epsilon.decay: sets what space.curriculum.stages.0.epsilon.decay sets too" in told


def test_a_run_that_is_not_valid_by_itself_is_refused() -> None:
    told = refusal({"algo.gamma": {"uniform": [0.9, 0.99]}}, run={"learner": {"batchsize": 3}})
    assert told.startswith("run: learner.batchsize: unknown key; did you mean 'batch_size'?")


def test_a_bad_corner_is_found_however_unlikely() -> None:
    """The two bounds that do not go together are drawn by chance once in some 10,000 samples."""
    rate = {"loguniform": [1e-5, 1e-2]}
    told = refusal(
        {
            "replay.min_size": {"integer": [100, 5000]},
            "learner.batch_size": {"integer": [1, 101]},
            "learner.learning_rate": rate,
        }
    )
    for part in (
        "space.replay.min_size, space.learner.batch_size: ",
        "learner.batch_size=101",
        "replay.min_size=100",
        "must be at least",
    ):
        assert part in told


def test_values_of_the_wrong_kind_are_found() -> None:
    assert "learner.batch_size" in refusal({"learner.batch_size": {"uniform": [16, 256]}})
    assert "lr_schedule" in refusal({"learner.lr_schedule": {"choice": ["constant", "cosin"]}})


def test_one_bad_choice_among_many_is_found() -> None:
    space = {
        f"learner.{key}": {"uniform": [0.01, 0.5]}
        for key in ("learning_rate", "max_grad_norm", "target_tau", "adam_eps")
    }
    space["algo.conv_kernel"] = {"choice": [5, 5, 5, 5, 5, 5, 5, 5, 5, 4]}
    assert "conv_kernel" in refusal(space)


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(known_keys())), st.sampled_from([0, 1, 0.5, "x", None, (1,)]), min_size=1, max_size=3
    )
)
def test_no_values_end_in_anything_but_a_message(params: dict[str, Any]) -> None:
    try:
        trial_config({}, params)
        told = "space."
    except ConfigError as error:
        told = str(error)
    assert "space." in told
