"""With which values a clone goes on from its donor: random perturbation (PBT), or what a bandit over the population's
record says (PB2).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from robonav_ray.config.load import ConfigError
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.pb2 import Observation, explore
from robonav_ray.tuning.search_records import History, TrialHistory
from robonav_ray.tuning.space import Params, Space

FACTORS = (0.8, 1.2)
"""By which a number is multiplied (Jaderberg et al. 2017, section 4.1)."""
MOST_TRIES = 50
"""Draws until values that make no valid config are given up and the donor's kept."""


def perturbed(space: Space, params: Mapping[str, Any], resample_prob: float, rng: np.random.Generator) -> Params:
    """Return ``params`` with every value changed (Jaderberg et al. 2017, section 3.2, "perturb" and "resample").

    With probability ``resample_prob`` a value is drawn anew; else a number is multiplied by 0.8 or 1.2, within its
    bounds (a whole number moves by 1 at least), and a choice moves to the one before or after it.
    """
    drawn, result = space.sample(rng), {}
    for dimension in space.dimensions:
        value = params[dimension.key]
        if rng.random() < resample_prob:
            value = drawn[dimension.key]
        elif dimension.kind == "choice":
            at = dimension.index_of(value) + (1 if rng.random() < 0.5 else -1)
            value = dimension.choices[min(max(at, 0), len(dimension.choices) - 1)]
        else:
            up = rng.random() < 0.5
            moved = value * FACTORS[up]
            if "integer" in dimension.kind:
                moved = max(value + 1, round(moved)) if up else min(value - 1, round(moved))
            value = min(max(moved, dimension.low), dimension.high)
        result[dimension.key] = value
    return result


class Explorer:
    """Chooses values for clones; the same history and the same number of exploits give the same choice."""

    def __init__(self, experiment: Experiment, history: History) -> None:
        """``history`` is looked at whenever a choice is made."""
        self._experiment, self._history = experiment, history
        self._space = Space(experiment.config.space)

    def __call__(self, clone: str, donor: str, params: Mapping[str, Any]) -> Params:
        """Return the values that ``clone`` goes on with from ``donor``, whose values are ``params``; they make a valid
        config.
        """
        config = self._experiment.config
        count = sum(len(trial.exploits) for trial in self._history.trials.values())
        rng = np.random.default_rng([config.seed, 0x9B7, count])
        for attempt in range(MOST_TRIES):
            if config.scheduler.kind == "pb2" and attempt == 0:
                values = self._by_bandit(rng)
            else:
                values = perturbed(self._space, params, config.scheduler.resample_prob, rng)
            try:
                self._experiment.run_config(values)
            except ConfigError:
                continue
            return values
        return dict(params)

    def _by_bandit(self, rng: np.random.Generator) -> Params:
        """Return what the population's record says is best next."""
        interval = self._experiment.config.scheduler.perturbation_env_steps
        seen, pending, now = [], [], 0.0
        for trial in self._history.trials.values():
            seen += _observations(trial, self._space, interval)
            last = trial.last
            now = max(now, 0.0 if last is None else last.env_steps / interval)
            if trial.exploits and last is not None and last.time <= trial.exploits[-1].time and not trial.is_over:
                pending.append(self._space.encode(trial.params))
        return explore(self._space, seen, pending, now + 1.0, rng)


def _observations(trial: TrialHistory, space: Space, interval: int) -> list[Observation]:
    """Return what each interval between two reports of the trial gained; none across an exploit, where the weights are
    another's.
    """
    found = []
    for before, after in itertools.pairwise(trial.reports):
        if any(before.time <= exploit.time <= after.time for exploit in trial.exploits):
            continue
        params = trial.first_params
        for exploit in trial.exploits:
            params = exploit.params if exploit.time <= before.time else params
        gain = (after.objective - before.objective) * interval / (after.env_steps - before.env_steps)
        found.append(Observation(after.env_steps / interval, space.encode(params), gain))
    return found
