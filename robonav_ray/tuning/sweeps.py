"""A W&B sweep file as a search of our own: ``robonav tune --sweep sweep.yaml``.

::

    sweep.yaml --SweepFile--> { method, parameters, metric, early_terminate }
                                  |        |           |         |
                              search    space, run   trial    scheduler   --> TuningConfig, as tuning.yaml shows it

Nothing that the file names is run: ``program`` and ``command`` are told of and left alone.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.config.load import ConfigError, checked_config
from robonav_ray.config.studies.sweep import MAX_MULTIPLES, MAX_PARAMETERS, SweepFile, SweepParameter, range_of
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.config.yaml_document import MAX_BYTES, Document, Path_
from robonav_ray.files.plain_files import PlainFileError, read_text
from robonav_ray.screen import Screen
from robonav_ray.tracking.wandb.registered_sweep import register_sweep
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.keys import problem_with
from robonav_ray.tuning.space import Space, apply_params
from robonav_ray.tuning.trial_objective import TRACKED_PREFIX

METHODS = {"grid": "grid", "random": "random", "bayes": "bayesopt"}
_CONSTANTS_TOO = frozenset(("env", "seed", "preset", "evaluation", "runtime", "tracking", "curriculum"))
_PLACES: dict[Path_, str] = {
    ("name",): "name",
    ("num_trials",): "run_cap",
    ("search",): "method",
    ("trial", "metric"): "metric",
    ("scheduler",): "early_terminate",
    ("scheduler", "grace_env_steps"): "early_terminate",
}
"""Keys of a search, and the key of the sweep file that each is translated from."""


@dataclass(frozen=True)
class Sweep:
    """A sweep file, and the search that it was translated to."""

    config: TuningConfig
    document: dict[str, Any]
    """The file as it was read, for a server that the sweep is registered with."""
    notes: tuple[str, ...]
    """What a person should know of the translation."""
    path: Path

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Have what is wrong with the search name the file that it was translated from."""
        try:
            yield
        except ConfigError as error:
            raise ConfigError(f"{self.path}, as a search: {error}") from None

    def register(self, experiment: Experiment) -> None:
        """Make the sweep known to W&B's server, where trials are tracked there online; its id is kept with the search.

        A server that cannot be asked is named in a warning: the trials are runs of the search's group in any case.
        """
        section = experiment.run_config({}).tracking.wandb
        if section is not None:
            register_sweep(section, self.document, experiment.path, TRACKED_PREFIX + self.config.trial.metric)


def asked_sweep(path: Path, config_path: Path | None, overrides: Sequence[str], resume: str | None) -> Sweep:
    """Return the sweep that the command line asks for; ConfigError where it asks for something else too."""
    if config_path is not None:
        raise ConfigError(
            f"--sweep {path}: is a search by itself; leave {config_path} away, or give its values as overrides"
        )
    if resume is not None:
        raise ConfigError(
            f"--sweep {path}: a search goes on with the config that it was begun with; leave --sweep or --resume away"
        )
    return read_sweep(path, overrides)


def tell_sweep(sweep: Sweep, console: Screen) -> None:
    """Say what a person should know before the search begins."""
    for note in sweep.notes:
        console.print(note, markup=False)


def read_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Return the search that the sweep file at ``path`` stands for, with ``overrides`` of a search's config on top.

    Raises:
        ConfigError: For anything wrong, naming file, line and key.
    """
    document = _document(path)
    sweep = checked_config(SweepFile, document.data, (), str(path), document.lines)
    return _Translation(str(path), document, sweep).translated(overrides)


def _document(path: Path) -> Document:
    try:
        document = Document(read_text(path, MAX_BYTES, follow=True), str(path))
    except FileNotFoundError:
        raise ConfigError(f"--sweep {path}: there is no such file; name a W&B sweep file") from None
    except PlainFileError as error:
        raise ConfigError(f"--sweep {error}; name a W&B sweep file") from None
    except OSError as error:
        raise ConfigError(f"--sweep {path}: cannot be read: {error.strerror or error}") from None
    if not isinstance(document.data, dict):
        raise ConfigError(f"{path}: a sweep file is a mapping with method and parameters")
    return document


class _Translation:
    """One file while it is translated."""

    def __init__(self, source: str, document: Document, sweep: SweepFile) -> None:
        self._source, self._document, self._sweep = source, document, sweep
        self._lines: dict[Path_, int] = {}
        """Where what stands in the search's config was written."""

    def translated(self, overrides: Sequence[str]) -> Sweep:
        sweep = self._sweep
        data: dict[str, Any] = {
            "name": _name_of(sweep, Path(self._source)),
            "search": {"method": METHODS[sweep.method]},
            "scheduler": {"kind": "fifo"},
            **self._space_and_run(),
        }
        if sweep.metric is not None:
            data["trial"] = {"metric": sweep.metric.name}
        for path, name in _PLACES.items():
            self._lines[path] = self._line((name,))
        config = self._checked(data, overrides)
        if sweep.run_cap is not None:
            data["num_trials"] = sweep.run_cap
        elif sweep.method == "grid":
            data["num_trials"] = max(1, Space(config.space).grid_size or 1)
        if sweep.early_terminate is not None:
            stop = sweep.early_terminate
            data["scheduler"] = {
                "kind": "asha",
                "grace_env_steps": stop.first_bracket * config.trial.report_env_steps,
                "reduction_factor": stop.eta,
            }
        config = self._checked(data, overrides)
        return Sweep(config, dict(self._document.data), tuple(self._notes(config)), Path(self._source))

    def _space_and_run(self) -> dict[str, Any]:
        leaves = self._sweep.leaves()
        if len(leaves) > MAX_PARAMETERS:
            raise self._error(("parameters",), f"has {len(leaves)} parameters; at most {MAX_PARAMETERS} are taken")
        space: dict[str, Any] = {}
        constants: dict[str, tuple[Any, tuple[str, ...]]] = {}
        for key, path, parameter in leaves:
            if key in space or key in constants:
                raise self._error(path, f"{key} stands twice; keep one of them")
            self._lines["space", key] = self._line(path)
            if parameter.kind == "constant":
                constants[key] = parameter.value, path
                continue
            problem = problem_with(key)
            if problem is not None:
                raise self._error(path, problem)
            try:
                space[key] = dimension_of(parameter)
            except ValueError as error:
                raise self._error(path, str(error)) from None
        if not space:
            raise self._error(
                ("parameters",), "has values of their own in no parameter; give one values, or min and max"
            )
        tracking = {key: getattr(self._sweep, key) for key in ("project", "entity") if getattr(self._sweep, key)}
        run: dict[str, Any] = {"tracking": {"wandb": tracking}}
        for key, (value, path) in constants.items():
            run = self._with_constant(run, key, value, path)
        return {"space": space, "run": run}

    def _with_constant(self, run: dict[str, Any], key: str, value: Any, path: tuple[str, ...]) -> dict[str, Any]:
        """Return ``run`` with a value that all trials have; the whole of it is checked with the search."""
        problem = problem_with(key)
        if problem is not None and key.split(".")[0] not in _CONSTANTS_TOO:
            raise self._error(path, problem)
        try:
            return apply_params(run, {key: value})
        except ConfigError as error:
            raise self._error(path, str(error).removeprefix(f"space.{key}: ")) from None

    def _checked(self, data: dict[str, Any], overrides: Sequence[str]) -> TuningConfig:
        return checked_config(TuningConfig, _deep(data), overrides, self._source, self._lines)

    def _notes(self, config: TuningConfig) -> list[str]:
        sweep = self._sweep
        unused = [key for key in ("program", "command") if getattr(sweep, key) is not None]
        notes = [f"{self._source}: {' and '.join(unused)} not run: a trial is a run of robonav"] if unused else []
        if sweep.run_cap is None and sweep.method != "grid":
            notes.append(
                f"{self._source}: has no run_cap, so there are {config.num_trials} trials (num_trials=N sets another "
                "number)"
            )
        if sweep.early_terminate is not None:
            notes.append(
                f"{self._source}: an iteration is a report, every {config.trial.report_env_steps:,} env steps "
                "(trial.report_env_steps=N sets another distance)"
            )
        return notes

    def _line(self, path: Path_) -> int:
        return next(
            (self._document.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._document.lines),
            1,
        )

    def _error(self, path: tuple[str, ...], problem: str) -> ConfigError:
        return ConfigError(f"{self._source}:{self._line(path)}: {'.'.join(path)}: {problem}")


def dimension_of(parameter: SweepParameter) -> dict[str, Any]:
    """Return a parameter that has no one value as a dimension of a search.

    ``q_uniform`` is a choice among the multiples of ``q``, each as likely as any other; of the logarithmic ones with a
    ``q``, only whole numbers are taken.

    Raises:
        ValueError: With what is wrong and what to write.
    """
    kind = parameter.kind
    if kind == "categorical":
        return {"choice": [_plain_choice(value) for value in parameter.values or ()]}
    low, high = range_of(parameter)
    if kind == "int_uniform":
        if low != round(low) or high != round(high):
            raise ValueError(f"int_uniform takes whole bounds, not {low:g} and {high:g}")
        return {"integer": [round(low), round(high)]}
    if kind == "uniform":
        return {"uniform": [low, high]}
    if not kind.startswith("q_"):
        return {"loguniform": [low, high]}
    q = 1.0 if parameter.q is None else parameter.q
    first, last = _multiple(low, q), _multiple(high, q)
    if kind == "q_uniform":
        if not 1 <= last - first < MAX_MULTIPLES:
            raise ValueError(
                f"q_uniform: there are {last - first + 1} multiples of {q:g} between {low:g} and {high:g}, and 2 to "
                f"{MAX_MULTIPLES} are taken; take another q, or uniform"
            )
        return {"choice": [_times(number, q) for number in range(first, last + 1)]}
    if q != 1:
        raise ValueError(
            f"{kind} takes whole numbers (q: 1), not multiples of {q:g}; write log_uniform_values, or values"
        )
    first = max(1, first)
    if not first < last:
        raise ValueError(f"{kind}: there are no two whole numbers between {low:g} and {high:g}")
    return {"log_integer": [first, last]}


def _multiple(bound: float, q: float) -> int:
    number = bound / q
    if not abs(number) < 2**53:
        raise ValueError(f"q ({q:g}) is too small for bounds of {bound:g}")
    return round(number)


def _times(number: int, q: float) -> int | float:
    if q == round(q):
        return number * round(q)
    return round(number * q, max(0, 12 - math.floor(math.log10(q))))


def _plain_choice(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in items):
        raise ValueError("values: each is a number, a text, true or false, or a list of these")
    return value


def _name_of(sweep: SweepFile, path: Path) -> str:
    """Return the sweep's name, or that of its file, as folders can have it."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", sweep.name or path.stem).strip("-._")
    return name[:64] or "sweep"


def _deep(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _deep(value) for key, value in data.items()}
    return [_deep(item) for item in data] if isinstance(data, list) else data
