"""The results of a study as files: the best values, all trials as a table, and an export (the plots:
``plots.py``).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import joblib
import optuna
from optuna.trial import FrozenTrial

from robonav_ray.files.plain_files import open_writing, replace, replacing_path

BEST_FILE = "best_config.json"
TRIALS_FILE = "trials.csv"
EXPORT_FILE = "study.joblib"


def save_results(study: optuna.Study, best: FrozenTrial, best_config: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write the best values (JSON), all trials (CSV) and an export of the study (joblib, a pickle that nothing here
    reads).
    """
    directory.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Path], None]] = {
        BEST_FILE: lambda path: _write_best(path, study, best, best_config),
        TRIALS_FILE: lambda path: _write_trials(path, study.get_trials(deepcopy=False)),
        EXPORT_FILE: lambda path: _write_export(path, study),
    }
    for name, write in writers.items():
        with replacing_path(directory / name) as aside:
            write(aside)
    return [directory / name for name in writers]


def _write_best(path: Path, study: optuna.Study, best: FrozenTrial, best_config: Mapping[str, Any]) -> None:
    document = {
        "study_name": study.study_name,
        "direction": study.direction.name.lower(),
        "value": best.value,
        "number": best.number,
        "config": dict(best_config),
    }
    replace(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _write_trials(path: Path, trials: list[FrozenTrial]) -> None:
    names = sorted({name for trial in trials for name in trial.params})
    columns = ["number", "state", "value", "duration_s", "datetime_start", "datetime_complete"]
    with TextIOWrapper(open_writing(path), "utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *(f"params_{name}" for name in names)])
        for trial in trials:
            started, ended = trial.datetime_start, trial.datetime_complete
            writer.writerow(
                [
                    trial.number,
                    trial.state.name,
                    trial.value,
                    None if trial.duration is None else round(trial.duration.total_seconds(), 3),
                    None if started is None else started.isoformat(sep=" ", timespec="milliseconds"),
                    None if ended is None else ended.isoformat(sep=" ", timespec="milliseconds"),
                    *(trial.params.get(name) for name in names),
                ]
            )


def _write_export(path: Path, study: optuna.Study) -> None:
    """Export a copy in memory: the study itself would bring its storage's address along, password included."""
    copy = optuna.create_study(study_name=study.study_name, direction=study.direction)
    copy.add_trials(study.get_trials(deepcopy=False))
    joblib.dump(copy, path)
