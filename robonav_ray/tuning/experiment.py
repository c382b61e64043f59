"""The directory of one search: made once, never overwritten, found again for a resume.

::

    runs/asha-20261124-181500/
      tuning.yaml          the resolved config of the search
      experiment.json      whose sizes presets have, versions, git revision, command, one entry per session
      records.jsonl        everything that happened; all that a resume trusts
      trials/00000/ ...    a run directory each, as `robonav train` makes them
      best_config.yaml     the best trial's whole config; `robonav train best_config.yaml` takes it
      report.html  plots/  trials.parquet  reports.parquet
      metrics.jsonl  trackers.json   of its run in MLflow, where that is on
      ray_tune/            Tune's own notes, one folder a session; nothing here is ever read again
      .lock                held by the session that is at work
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.base import Section
from robonav_ray.config.evaluation import EvaluationConfig
from robonav_ray.config.load import dump_new, load_tuning_config
from robonav_ray.config.preset import with_first_weights_of_ours, with_sizes_of_ours
from robonav_ray.config.run import names_ours
from robonav_ray.config.runtime import CheckpointConfig
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import check_entries, is_plain, replace
from robonav_ray.files.storage import join
from robonav_ray.runs.checkpoint import list_checkpoints
from robonav_ray.runs.located import refuse_uri
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError, refuse_existing
from robonav_ray.runs.session_facts import session_facts
from robonav_ray.tuning.space import trial_config

logger = logging.getLogger(__name__)
CONFIG_FILE = "tuning.yaml"
_FILES = frozenset(
    (
        *(
            CONFIG_FILE,
            "experiment.json",
            "records.jsonl",
            "best_config.yaml",
            "best.json",
            "status.json",
            "log.txt",
            ".lock",
        ),
        *("report.html", "trials.parquet", "reports.parquet"),
        *("metrics.jsonl", "trackers.json", ".tracking.lock", ".trackers.lock", ".tracker-mlflow.lock"),
    )
)
_FOLDERS = frozenset(("trials", "plots", "ray_tune"))
"""What a search opens in its directory, by name: each is looked at before it is taken up."""
_SIZES = "by environment and preset"
"""``preset_sizes`` in ``experiment.json``."""
_SIZES_BEFORE = {"": with_sizes_of_ours, "by environment": with_first_weights_of_ours}
"""What stands there in a search that was begun when presets had other sizes elsewhere (nothing: those of our worlds
everywhere), and what writes those down."""
FOREVER_S = 1e9
"""A trial's time budget: it ends by its env steps, not when its curriculum is passed."""


@dataclass(frozen=True)
class Experiment:
    """Paths inside a search's directory, and its config. ``path`` is absolute, on storage that every node sees."""

    path: Path
    config: TuningConfig

    @property
    def shown(self) -> str:
        """The path as a person would type it here."""
        return RunDirectory(self.path).shown

    @property
    def trials(self) -> Path:
        """Folder of the trials' run directories."""
        return self.path / "trials"

    def trial(self, trial: str) -> Path:
        """Run directory of one trial."""
        return self.trials / trial

    def run_config(self, params: Mapping[str, Any]) -> RunConfig:
        """Return the config of a trial with these values, as a run of its own would have it.

        Raises:
            ConfigError: When the values make no valid config.
        """
        return trial_config(self.config.run, params)

    def trial_config(self, trial: str, params: Mapping[str, Any]) -> RunConfig:
        """Return the same for the trial itself: ends by env steps, reports by checkpoints, prints nothing."""
        config, search = self.run_config(params), self.config
        storage = config.checkpoint.storage  # trials of all searches are called alike
        holds_replay = search.scheduler.is_population and search.scheduler.clone_replay == "donor"
        return config.model_copy(
            update={
                "name": f"{search.name[:48]}-{trial}",
                "budget": config.budget.model_copy(
                    update={
                        "time_s": FOREVER_S,
                        "env_steps": None,
                        "give_up_s": None,
                        "max_time_s": None,
                        "max_env_steps": search.trial.max_env_steps,
                    }
                ),
                "checkpoint": config.checkpoint.model_copy(
                    update={
                        "interval_s": FOREVER_S,
                        "keep": 1_000_000,
                        "replay": holds_replay,
                        "storage": storage and join(storage, self.path.name),
                        **_defaults(CheckpointConfig, "keep_best", "interval_episodes", "keep_numbered"),
                    }
                ),
                "rollout": config.rollout.model_copy(update={"spares": False}),  # many trials share a machine
                "tracking": config.tracking.model_copy(update={"panel": "off", "prometheus": False}),
                "evaluation": config.evaluation.model_copy(
                    update={
                        "num_episodes": search.trial.evaluation_episodes,
                        "levels": None,
                        **_defaults(
                            EvaluationConfig, "interval_s", "judged_episodes", "patience", "target_success"
                        ),  # its reports judge a trial
                    }
                ),
            }
        )

    def add_session(self, command: list[str]) -> None:
        """Append who searched what, with which versions and when, to ``experiment.json``."""
        run = RunDirectory(self.path)
        facts = run.read_json("experiment.json")
        facts.setdefault("sessions", []).append({**session_facts(command), "seed": self.config.seed})
        run.write_json("experiment.json", facts)

    def remove_checkpoints(self, trial: str, keep: set[str], newest: int) -> None:
        """Remove the trial's checkpoints but the ``newest`` and those named in ``keep``."""
        for path in list_checkpoints(self.trial(trial) / "checkpoints")[:-newest]:
            if path.name not in keep:
                (path / "manifest.json").unlink(missing_ok=True)  # first it stops being a checkpoint, then it goes
                shutil.rmtree(path, ignore_errors=True)


def _defaults(section: type[Section], *names: str) -> dict[str, Any]:
    return {name: section.model_fields[name].default for name in names}


def create_experiment(config: TuningConfig, directory: Path | None = None) -> Experiment:
    """Make a fresh directory and write the config into it.

    Raises:
        RunDirectoryError: when ``directory`` exists, or ``output_dir`` cannot be written.
        ConfigError: when an address in the config holds a password.
    """
    written = dump_new(config)
    path = (directory or Path(config.output_dir) / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}").absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        (path / "trials").mkdir()
    except FileExistsError:
        if directory is not None:
            refuse_existing(directory)
        return create_experiment(config, path.with_name(f"{path.name}-{time.time_ns() % 1000:03d}"))
    except OSError as error:
        raise RunDirectoryError(
            f"output_dir: cannot make {path}: {error.strerror}; set output_dir to a folder you may write"
        ) from None
    RunDirectory(path).write_json("experiment.json", {"preset_sizes": _SIZES})
    replace(path / CONFIG_FILE, written)
    return Experiment(path, config)


def open_experiment(path: Path) -> Experiment:
    """Return the search at ``path``; RunDirectoryError, naming those beside it, when it is none."""
    refuse_uri(
        path, "search", "a search lies in a folder; the runs of its trials are stored where run.checkpoint.storage says"
    )
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        check_entries(path, _FILES, _FOLDERS)
    if not is_plain(path / CONFIG_FILE):
        known = sorted(p.parent.name for p in path.parent.glob(f"*/{CONFIG_FILE}"))[-3:] if path.parent.is_dir() else []
        hint = (
            f"; searches beside it: {', '.join(known)}"
            if known
            else "; `robonav tune configs/tuning/asha.yaml` makes one"
        )
        raise RunDirectoryError(f"{path}: is not the directory of a search (it has no {CONFIG_FILE}){hint}")
    config = load_tuning_config(path / CONFIG_FILE, follow=False)
    sizes = str(RunDirectory(path).read_json("experiment.json").get("preset_sizes", ""))
    return Experiment(path.absolute(), config if sizes == _SIZES else _as_before(config, sizes))


def ways_to_begin(config: TuningConfig) -> tuple[TuningConfig, ...]:
    """Return the search as it is begun now, and as it was when presets had other sizes elsewhere."""
    return (config, *(_as_before(config, sizes) for sizes in _SIZES_BEFORE))


def _as_before(config: TuningConfig, sizes: str) -> TuningConfig:
    """Return the search with what its preset had elsewhere, when ``experiment.json`` called it ``sizes``, written down
    in its ``run``.
    """
    if names_ours(config.run.get("env")):
        return config
    write_down = _SIZES_BEFORE.get(sizes, with_sizes_of_ours)
    return config.model_copy(update={"run": write_down(config.run, RunConfig().model_dump(mode="json"))})


def latest_experiment(output_dir: Path, name: str | None = None) -> Path | None:
    """Return the search under ``output_dir`` that was begun last, or None; ``name`` is ``config.name``.

    What cannot be read is passed over with a warning.
    """
    found = sorted(
        output_dir.absolute().glob(f"*/{CONFIG_FILE}"), key=lambda path: path.lstat().st_mtime_ns, reverse=True
    )
    for path in [p.parent for p in found if name is None or p.parent.name.startswith(f"{name}-")]:
        try:
            return open_experiment(path).path
        except UserError as error:
            logger.warning("passed over: %s", (str(error).splitlines() or [""])[0])
    return None
