"""The study of one's own: what a function gets, what is pruned, failed, queued anew and resumed, and the files that
come out."""

from __future__ import annotations

import csv
import json
import logging
import math
import re
import sys
import types
from pathlib import Path

import matplotlib
import numpy as np
import optuna
import pytest
from PIL import Image

from robonav_ray.config.tuning import DimensionConfig
from robonav_ray.errors import UserError
from robonav_ray.fronts.default_space import DEFAULT_SPACE
from robonav_ray.fronts.optuna_optimizer import OptunaOptimizer
from robonav_ray.fronts.study.study_loop import takes_trial

ROOT = Path(__file__).parents[3]
PLOTS = ("optimization_history", "param_importances", "parallel_coordinate", "slice", "contour")
LINE = {"x": DimensionConfig(uniform=(0.0, 1.0))}


def train_with_config(config):
    """A hill whose top is at a learning rate of 1e-3 and a gamma of .98."""
    return 1.0 - (math.log10(config["learning_rate"]) + 3.0) ** 2 - 1000.0 * (config["gamma"] - 0.98) ** 2


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The snippet as users know it, in a directory of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("snippet"))
        output_dir = "results"
        optimizer = OptunaOptimizer(
            study_name="robot_nav_hpo", storage="sqlite:///optuna_studies.db", direction="maximize"
        )
        optimizer.optimize(train_fn=train_with_config, n_trials=50, n_jobs=3)
        backend = matplotlib.get_backend()
        style = matplotlib.rcParams["axes.facecolor"]
        saved, drawn = optimizer.save_results(output_dir), optimizer.visualize(output_dir)
        assert (matplotlib.get_backend(), matplotlib.rcParams["axes.facecolor"]) == (backend, style)
        assert matplotlib.pyplot.get_fignums() == []
        directory = Path(output_dir).absolute()
    return optimizer, directory, saved, drawn


def test_the_snippet_finds_the_top(searched):
    optimizer, directory, *_ = searched
    assert (directory.parent / "optuna_studies.db").is_file()
    assert optimizer.num_trials == {"complete": 50, "pruned": 0, "fail": 0, "running": 0, "waiting": 0}
    assert optimizer.best_value > 0.5
    assert optimizer.best_config.keys() == DEFAULT_SPACE.keys()
    assert train_with_config(optimizer.best_config) == optimizer.best_value
    assert optimizer.study.study_name == "robot_nav_hpo"


def test_the_default_space_is_drawn_within_its_bounds(searched):
    for trial in searched[0].study.trials:
        for name, dimension in DEFAULT_SPACE.items():
            value = trial.params[name]
            if dimension.choice is not None:
                assert value in dimension.choice
            else:
                low, high = getattr(dimension, dimension.kind)
                assert low <= value <= high
                assert isinstance(value, int) == ("integer" in dimension.kind)


def test_results_are_written(searched):
    optimizer, directory, saved, _ = searched
    assert saved == [Path("results") / name for name in ("best_config.json", "trials.csv", "study.joblib")]
    best = json.loads((directory / "best_config.json").read_text())
    assert list(best) == ["study_name", "direction", "value", "number", "config"]
    assert (best["study_name"], best["direction"]) == ("robot_nav_hpo", "maximize")
    assert (best["value"], best["config"]) == (optimizer.best_value, optimizer.best_config)
    with (directory / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["number"]) for row in rows] == list(range(50))
    assert {row["state"] for row in rows} == {"COMPLETE"}
    assert float(rows[best["number"]]["value"]) == best["value"]
    assert {f"params_{name}" for name in DEFAULT_SPACE} < rows[0].keys()
    assert all(float(row["duration_s"]) >= 0 and row["datetime_start"] <= row["datetime_complete"] for row in rows)
    export = (directory / "study.joblib").read_bytes()
    assert b"robot_nav_hpo" in export
    assert b"sqlite" not in export


def test_plots_are_drawn(searched):
    _, directory, _, drawn = searched
    assert [path.name for path in drawn] == [f"{name}.png" for name in PLOTS] + [f"{name}.html" for name in PLOTS]
    for name in PLOTS:
        with Image.open(directory / f"{name}.png") as image:
            assert min(image.size) > 300
            pixels = np.asarray(image.convert("L"))
        assert 0.05 < (pixels < 250).mean() < 0.98
        assert "plotly.min.js" in (directory / f"{name}.html").read_text(encoding="utf-8")
    assert (directory / "plotly.min.js").stat().st_size > 1_000_000


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(OptunaOptimizer, "visualize", lambda self, output_dir: [])
    page = (ROOT / "docs" / "optuna.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    known: dict = {}
    exec(compile(example, "optuna.md", "exec"), known)
    assert sum(known["optimizer"].num_trials.values()) == 20
    assert "'complete'" in capsys.readouterr().out
    assert Path("results/best_config.json").is_file()


def test_minimize_goes_down_and_a_seed_draws_the_same_again():
    def run():
        optimizer = OptunaOptimizer("down", direction="minimize", search_space=LINE, seed=3)
        optimizer.optimize(lambda config: abs(config["x"] - 0.4), n_trials=25)
        return optimizer

    first, second = run(), run()
    assert first.best_value < 0.05
    assert [trial.params for trial in first.study.trials] == [trial.params for trial in second.study.trials]
    first.optimize(lambda config: abs(config["x"] - 0.4), n_trials=1)
    assert first.study.trials[25].params != first.study.trials[0].params


def test_a_function_of_two_is_pruned():
    steps = []

    def train(config, trial):
        for step in range(10):
            trial.report(config["x"], step)
            if trial.should_prune():
                steps.append(step)
                raise optuna.TrialPruned
        return config["x"]

    optimizer = OptunaOptimizer("pruned", search_space=LINE, seed=0, n_startup_trials=3, n_warmup_steps=4)
    optimizer.optimize(train, n_trials=20)
    assert optimizer.num_trials["pruned"] == len(steps) > 3
    assert set(steps) == {4}
    assert optimizer.num_trials["complete"] >= 3
    assert optimizer.best_value > 0.8


def test_who_gets_the_trial():
    assert takes_trial(lambda config, trial: 0.0)
    assert takes_trial(lambda config, trial=None: 0.0)
    assert not takes_trial(lambda config, seed=0: 0.0)  # type: ignore[arg-type]
    assert not takes_trial(lambda *args: 0.0)
    for wrong in (lambda: 0.0, lambda a, b, c: 0.0, lambda config, *, key: 0.0, 7):
        with pytest.raises(UserError, match="train_fn"):
            takes_trial(wrong)  # type: ignore[arg-type]


def test_without_a_function_it_is_our_own_curriculum(monkeypatch):
    module = types.ModuleType("curriculum_objective")
    module.curriculum_objective = lambda: lambda config, trial: config["gamma"] + trial.number  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "robonav_ray.fronts.curriculum_objective", module)
    optimizer = OptunaOptimizer("ours")
    optimizer.optimize(n_trials=2)
    assert 1.95 <= optimizer.best_value <= 1.999


def test_choices_of_tuples_and_of_look_alikes_come_back_as_they_were(tmp_path):
    space = {
        "hidden": DimensionConfig(choice=((64,), (64, 64), (128, 64, 32))),
        "mixed": DimensionConfig(choice=(1, True, None, "1")),
        "one": DimensionConfig(choice=(7,)),
    }
    got = []

    def train(config):
        got.append(config)
        return len(config["hidden"])

    optimizer = OptunaOptimizer("tuples", f"sqlite:///{tmp_path}/s.db", search_space=space, seed=0)
    optimizer.optimize(train, n_trials=15)
    assert {config["hidden"] for config in got} == set(space["hidden"].choice or ())
    assert {repr(config["mixed"]) for config in got} == {"1", "True", "None", "'1'"}
    assert all(config["one"] == 7 for config in got)
    assert optimizer.best_config["hidden"] == (128, 64, 32)
    optimizer.save_results(tmp_path)
    assert json.loads((tmp_path / "best_config.json").read_text())["config"]["hidden"] == [128, 64, 32]


def test_a_failure_costs_its_trial_alone(caplog):
    results = iter([1.0, ValueError("boom"), float("nan"), float("inf"), None, 2.0])

    def train(config):
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    optimizer = OptunaOptimizer("failures", search_space=LINE)
    with caplog.at_level(logging.INFO):
        optimizer.optimize(train, n_trials=6)
    assert (optimizer.num_trials["complete"], optimizer.num_trials["fail"]) == (2, 4)
    assert optimizer.best_value == 2.0
    assert "trial 1 failed: ValueError: boom" in caplog.text
    assert "trial 2 failed: ValueError: train_fn returned nan" in caplog.text
    assert "failures: trial 5 complete, value 2; 6 of 6, 4 failed; best 2" in caplog.text


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_when_all_of_the_first_fail_the_search_ends(num_jobs):
    optimizer = OptunaOptimizer("hopeless", search_space=LINE)
    with pytest.raises(
        RuntimeError, match="all of the first 3 trials failed, the last with KeyError: 'typo'"
    ) as caught:
        optimizer.optimize(lambda config: config["typo"], n_trials=20, n_jobs=num_jobs)
    assert isinstance(caught.value.__cause__, KeyError)
    assert 3 <= optimizer.num_trials["fail"] <= 4
    assert optimizer.num_trials["running"] == 0


def test_a_mistake_of_the_user_is_raised_as_it_is():
    def train(config):
        raise UserError("no such preset")

    with pytest.raises(UserError, match="no such preset"):
        OptunaOptimizer("mistake", search_space=LINE).optimize(train, n_trials=9)


def test_optuna_is_as_loud_afterwards_as_before(capfd):
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        OptunaOptimizer("quiet", search_space=LINE).optimize(lambda config: 0.0, n_trials=2)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert "[I " not in capfd.readouterr().err


def test_what_cannot_be_drawn_is_named(tmp_path, caplog):
    optimizer = OptunaOptimizer("small", search_space=LINE)
    optimizer.optimize(lambda config: config["x"], n_trials=1)
    assert optimizer.visualize(tmp_path) == []
    assert all(f"plot {name} is left out: it takes 2 complete trials, and there are 1" in caplog.text for name in PLOTS)
    optimizer.optimize(lambda config: config["x"], n_trials=2)
    names = {path.name for path in optimizer.visualize(tmp_path)}
    assert {"optimization_history.png", "parallel_coordinate.html", "slice.png"} < names
    assert "contour.png" not in names
    assert "plot contour is left out: it takes 2 parameters" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"direction": "up"}, "direction is 'up'"),
        ({"study_name": ""}, "study_name is empty"),
        ({"storage": "studies.db"}, "no known kind"),
        ({"storage": "mysql://host/db"}, "mysql:// is not supported"),
        ({"storage": "postgres://host/db"}, "write postgresql:// in full"),
        ({"storage": "sqlite://"}, "take storage=None"),
        ({"storage": "://"}, "no URL"),
        ({"storage": "journal:"}, "names no file"),
        ({"storage": "journal:/proc/none/x.log"}, "cannot be opened"),
        ({"storage": "postgresql+nothing://me:secret@host/db"}, r"me:\*\*\*@host/db names a driver"),
        (
            {"storage": "postgresql://me:secret@127.0.0.1:1/db"},
            r"me:\*\*\*@127.0.0.1:1/db (needs a driver|cannot be reached)",
        ),
        ({"search_space": {}}, "search_space is empty"),
        ({"search_space": {"x": (0, 1)}}, "is a tuple"),
        ({"n_startup": 0}, "n_startup is 0"),
        ({"n_warmup_steps": -1}, "n_warmup_steps is -1"),
        ({"stale_after_s": 0.0}, "stale_after_s"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(UserError, match=message):
        OptunaOptimizer(**{"study_name": "wrong", **settings})


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at " * 9)
    with pytest.raises(UserError, match="cannot be opened as an SQLite database"):
        OptunaOptimizer("wrong", f"sqlite:///{tmp_path}/text.db")


def test_calls_that_cannot_be(tmp_path):
    optimizer = OptunaOptimizer("calls", search_space=LINE)
    for arguments in ({"n_trials": 0}, {"n_trials": 1, "n_jobs": 0}, {"n_trials": 2.0}):
        with pytest.raises(UserError, match="give a whole number of at least 1"):
            optimizer.optimize(lambda config: 0.0, **arguments)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="nothing to resume"):
        optimizer.resume(lambda config: 0.0)
    for ask in (lambda: optimizer.best_config, lambda: optimizer.best_value, lambda: optimizer.save_results(tmp_path)):
        with pytest.raises(UserError, match=r"no complete trial \(no trials\)"):
            ask()
    assert list(tmp_path.iterdir()) == []
