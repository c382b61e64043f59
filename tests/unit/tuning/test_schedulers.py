"""Schedulers that are told the past again decide as those that lived through it."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.explore import Explorer, perturbed
from robonav_ray.tuning.schedulers import Population, Recorder, make_scheduler
from robonav_ray.tuning.search_records import Exploit, History, TrialHistory, TrialReport
from robonav_ray.tuning.space import Space

SPACE = {"learner.learning_rate": {"loguniform": [1e-5, 1e-2]}, "learner.batch_size": {"choice": [32, 64, 128]}}


def config_of(kind: str, **settings) -> TuningConfig:
    return TuningConfig.model_validate(
        {
            "space": SPACE,
            "scheduler": {"kind": kind, **settings},
            "trial": {"max_env_steps": 1600, "report_env_steps": 100},
        }
    )


@dataclass
class Made:
    """A trial as Tune's schedulers look at it."""

    trial_id: str
    config: dict = field(default_factory=dict)
    experiment_tag: str = ""

    def __hash__(self) -> int:
        return id(self)


def report(time: float, env_steps: int, objective: float) -> TrialReport:
    return TrialReport(
        env_steps, env_steps, 0, "a", False, objective, 0.0, objective, objective, f"env-{env_steps}", time, 1, 1, time
    )


def history_of(objectives: dict[str, list[float]], states: dict[str, str] | None = None) -> History:
    trials = {}
    for number, (trial, values) in enumerate(objectives.items()):
        reports = [report(10 * i + number, 100 * (i + 1), value) for i, value in enumerate(values)]
        state = (states or {}).get(trial, "running")
        trials[trial] = TrialHistory(trial, {}, {}, state, reports)
    return History(trials, 1)


def recorder(config: TuningConfig, history: History) -> tuple[Recorder, list]:
    noted: list = []
    scheduler = make_scheduler(config, lambda *_: {}, lambda *_: None)
    return Recorder(
        scheduler, history, lambda trial, result: noted.append(trial), lambda trial: noted.append("failed")
    ), noted


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("asha", {"grace_env_steps": 100, "reduction_factor": 2}), ("median", {"grace_env_steps": 100, "min_trials": 2})]
)  # fmt: skip
def test_a_scheduler_told_the_past_decides_as_one_that_lived_through_it(kind, settings):
    rng, config = np.random.default_rng(0), config_of(kind, **settings)
    objectives = {f"0000{i}": list(np.cumsum(rng.random(6))) for i in range(5)}
    lived, _ = recorder(config, History())
    made = {trial: Made(trial) for trial in objectives}
    controller = SimpleNamespace(get_live_trials=list)
    for trial in made.values():
        lived.on_trial_add(controller, trial)
    alive, past, decisions = set(made), {trial: [] for trial in made}, []
    for step in range(3):
        for trial in sorted(alive):
            value = objectives[trial][step]
            past[trial].append(value)
            if (
                lived.on_trial_result(controller, made[trial], {"env_steps": 100 * (step + 1), "objective": value})
                == "STOP"
            ):
                alive.discard(trial)
                lived.on_trial_complete(controller, made[trial], {"env_steps": 100 * (step + 1), "objective": value})
    resumed, noted = recorder(config, history_of(past, {trial: "stopped" for trial in made if trial not in alive}))
    assert noted == [], "what is told again is not written down again"
    again = {trial: Made(trial) for trial in alive}
    for trial in again.values():
        resumed.on_trial_add(controller, trial)
    assert 0 < len(alive) < 5
    for step in range(3, 6):
        for trial in sorted(alive):
            result = {"env_steps": 100 * (step + 1), "objective": objectives[trial][step]}
            expected = lived.on_trial_result(controller, made[trial], dict(result))
            decisions.append(expected)
            assert resumed.on_trial_result(controller, again[trial], dict(result)) == expected
    assert noted


def test_a_population_remembers_when_it_last_compared_a_trial():
    config = config_of("pbt", perturbation_env_steps=200)
    history = history_of({"00000": [0.1, 0.2, 0.3], "00001": [0.5]})
    population, _ = recorder(config, history)
    trials = {i: Made(i, dict.fromkeys(SPACE, 0)) for i in ("00000", "00001")}
    for trial in trials.values():
        trial.run_metadata = SimpleNamespace(
            checkpoint_manager=SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=None))
        )
        population.on_trial_add(SimpleNamespace(search_alg=None), trial)
    assert isinstance(population.inner, Population)
    state = population.inner._trial_state[trials["00000"]]
    assert (state.last_perturbation_time, state.last_score) == (200, 0.2)
    assert population.inner._trial_state[trials["00001"]].last_score is None


def test_values_are_perturbed_within_their_bounds():
    space, rng = Space(config_of("pbt", perturbation_env_steps=100).space), np.random.default_rng(0)
    params = {"learner.learning_rate": 5e-3, "learner.batch_size": 64}
    seen = [perturbed(space, params, 0.0, rng) for _ in range(200)]
    assert {round(s["learner.learning_rate"] / 5e-3, 9) for s in seen} == {0.8, 1.2}
    assert {s["learner.batch_size"] for s in seen} == {32, 128}
    assert (
        max(
            perturbed(space, {**params, "learner.learning_rate": 9.9e-3}, 0.0, rng)["learner.learning_rate"]
            for _ in range(20)
        )
        == 1e-2
    )
    drawn = {perturbed(space, params, 1.0, rng)["learner.learning_rate"] for _ in range(20)}
    assert len(drawn) == 20


@pytest.mark.parametrize("kind", ["pbt", "pb2"])
def test_a_clone_gets_valid_values_that_follow_from_the_history(kind):
    config = config_of(kind, perturbation_env_steps=100).model_copy(update={"run": {"replay": {"min_size": 500}}})
    history = history_of({f"0000{i}": [0.1 * i, 0.2 * i, 0.4 * i] for i in range(4)})
    params = {"learner.learning_rate": 1e-3, "learner.batch_size": 64}
    for trial in history.trials.values():
        trial.params = trial.first_params = params
    explorer = Explorer(Experiment(Path(), config), history)
    first = explorer("00000", "00003", params)
    assert first != params
    assert explorer("00000", "00003", params) == first, "the same history gives the same choice"
    history.trials["00000"].exploits.append(Exploit(99.0, 300, 0.0, "00003", 1.2, "c", params, first))
    history.trials["00000"].params = first
    assert explorer("00001", "00003", params) != first
