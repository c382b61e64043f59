"""What one published result is made of. Declarations only: nothing here runs anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from proofs.common.checkout import ROOT
from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config

Bound = Literal["at least", "at most"]


@dataclass(frozen=True)
class Measure:
    """How the figure of one finished training is taken."""

    what: Literal["last_training_episodes", "best_training_window", "greedy_return", "greedy_success"]
    """Mean return of the last ``episodes`` training episodes; the best mean of that many in a row; mean return, or
    success rate, of ``evaluation.num_episodes`` greedy episodes after training."""
    episodes: int = 100
    """For the two that look at training episodes."""

    def describe(self, config: RunConfig) -> str:
        """Return it in words."""
        greedy = config.evaluation.num_episodes
        return {
            "last_training_episodes": f"mean return of the last {self.episodes} training episodes",
            "best_training_window": f"best mean return of {self.episodes} training episodes in a row",
            "greedy_return": f"mean return of {greedy} greedy episodes after training",
            "greedy_success": f"success rate of {greedy} greedy episodes after training",
        }[self.what]


@dataclass(frozen=True)
class Training:
    """A training in one process (``runtime/local.py``), once per seed."""

    config_path: str
    """Relative to the repository."""
    measure: Measure
    overrides: tuple[str, ...] = ()

    def config(self, seed: int) -> RunConfig:
        """Return the checked config of one trial; its budget is ``budget.max_env_steps``."""
        quiet = (
            f"seed={seed}",
            "tracking.panel=off",
            "tracking.tensorboard=null",
            "learner.torch_threads=1",
            "learner.device=cpu",
        )
        return load_run_config(ROOT / self.config_path, (*self.overrides, *quiet))


@dataclass(frozen=True)
class Command:
    """A program of the repository that judges itself, once and for all seeds."""

    arguments: tuple[str, ...]
    """After the Python interpreter, which runs in the repository's root; ``{output}`` stands for the trial's folder."""
    reads: Literal["pytest", "json"]
    """``pytest``: the figure is the part of the tests that pass. ``json``: what ``key`` names in the JSON object on the
    last line."""
    key: str = ""
    """``a.b.c``, or the ratio ``a.b / c.d`` of two numbers."""
    alone: bool = False
    """Whether it starts a Ray of its own or measures seconds, so that nothing may run beside it."""
    measured: str = ""
    """What the figure is, in words."""

    def describe(self) -> str:
        """Return how the figure is taken."""
        return self.measured or "part of the suite's tests that pass"


@dataclass(frozen=True)
class Entry:
    """A published result, and beforehand the bound that ours must keep."""

    name: str
    group: str
    """Names several entries at once on the command line."""
    published: str
    source: str
    """By whom, where."""
    bound: Bound
    threshold: float
    """Held against ``statistic``."""
    tolerance: str
    """Why just this threshold."""
    task: Training | Command
    minutes: float
    """Expected on one core, for one seed."""
    seeds: tuple[int, ...] = (1,)
    level: float | None = None
    """The published figure, as a line in the curves."""
    statistic: Literal["mean", "median"] = "mean"
    """Of the seeds' figures, held against the bound. ``median`` where the published figure is of one agent, not of
    several seeds."""
    unit: Literal["return", "success", "tests", "factor"] = "return"
    setting: str = ""
    """What of the setting differs from the published one; empty where nothing does."""
    changed: str = ""
    """What of the measuring was changed after a first look at results, and why; such an entry is judged on seeds not
    seen before."""

    @property
    def wiring(self) -> str:
        """Which wiring of the learner the figure comes from."""
        if isinstance(self.task, Training):
            return "local"
        return "Ray" if self.task.alone else "-"

    @property
    def measured(self) -> str:
        """How the figure is taken, in words."""
        task = self.task
        return task.measure.describe(task.config(self.seeds[0])) if isinstance(task, Training) else task.describe()

    def holds(self, value: float) -> bool:
        """Return whether ``value`` keeps the bound; NaN never does."""
        return value >= self.threshold if self.bound == "at least" else value <= self.threshold

    def shown(self, value: float) -> str:
        """Return ``value`` as the table shows it."""
        return {"return": f"{value:.1f}", "success": f"{value:.1%}", "tests": f"{value:.0%}", "factor": f"{value:.1f}"}[
            self.unit
        ]
