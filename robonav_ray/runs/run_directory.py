"""The directory of one run: made once, never overwritten, found again for a resume.

::

    runs/curriculum-20261122-181500/
      config.yaml                 the resolved config; loads back to an equal one
      config-session-002.yaml     that of a later session, when it was resumed with changes
      run.json                    versions, git revision, seeds, command, one entry per session
      env.json  env.md            what each number of an observation and each action means
      status.json  summary.json   running | unfinished | finished | failed; figures of the run so far
      metrics.jsonl  tensorboard/  curriculum_progress.json  log.txt
      trackers.json  tracked/     how far trackers have been given it; files that were made for them
      curves.png  play.gif  evaluation.json  evaluation.md      of the end of training
      evaluations/                what `robonav evaluate` found, one folder a call
      checkpoints/env-.../        see checkpoint.py
      checkpoints.json            see checkpoint_index.py
      ray_train/                  Ray Train's own notes
      .lock                       held by the session that is writing
      .tracking.lock  .trackers.lock  .tracker-NAME.lock      held by those who write and deliver what is tracked
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, check_overrides, dump_config, dump_new, load_run_config
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import PlainFileError, check_entries, is_plain, open_lock, read_json, replace
from robonav_ray.runs.session_facts import session_facts
from robonav_ray.text import command_text, path_word

logger = logging.getLogger(__name__)
GLANCE_S = 0.2
"""A process that only looks whether a run is held holds it for less than this."""
Status = Literal["running", "unfinished", "finished", "failed"]
UNFINISHED: frozenset[str] = frozenset(("running", "unfinished"))
"""Of a run that there is something left to do for."""
EVALUATION_JSON, EVALUATION_MARKDOWN = "evaluation.json", "evaluation.md"
"""What an evaluation writes."""
ENV_JSON, ENV_MARKDOWN = "env.json", "env.md"
"""What observations and actions mean."""
WEIGHTS_FILE = "weights.safetensors"
"""Of a version in a registry (see stored_models.py)."""
VERSIONS = "versions"
"""Folder of the versions of one model."""
REGISTRY_FILE = "registry.json"
"""Marks a folder as a registry of models, in which no run lies."""
_FILES = frozenset(
    (
        *(
            "config.yaml",
            "run.json",
            "status.json",
            "summary.json",
            "curriculum_progress.json",
            "error.txt",
            "log.txt",
            ".lock",
            ".tracking.lock",
            ".trackers.lock",
            *(f".tracker-{name}.lock" for name in ("tensorboard", "mlflow", "wandb")),
        ),
        "checkpoints.json",
        *(
            "metrics.jsonl",
            "metrics.superseded.jsonl",
            "trackers.json",
            "events.jsonl",
            "take_over.json",
            "take_overs.jsonl",
        ),
        *("curves.png", "play.gif", EVALUATION_JSON, EVALUATION_MARKDOWN, ENV_JSON, ENV_MARKDOWN),
    )
)
_FOLDERS = frozenset(("checkpoints", "tensorboard", "tracked", "evaluations", "ray_train"))
"""What a run opens in its directory, by name: each is looked at before a run is taken up."""


class RunDirectoryError(UserError):
    """A run directory exists already, or does not exist, or is not one; the message says what to do."""


class RunHeldError(RunDirectoryError):
    """Another process is training the run."""


@dataclass(frozen=True)
class RunDirectory:
    """Paths inside one run. ``path`` is absolute: actors have working directories of their own."""

    path: Path

    @property
    def shown(self) -> str:
        """The path as a person would type it here."""
        return path_word(self.path)

    @property
    def is_model(self) -> bool:
        """Whether this is a version of a model in a registry, into which nothing is written."""
        return self.path.parent.name == VERSIONS and is_plain(self.path / WEIGHTS_FILE)

    @property
    def name(self) -> str:
        """What it is called in tables: the name of its directory, or ``NAME@3``."""
        return f"{self.path.parents[1].name}@{self.path.name}" if self.is_model else self.path.name

    @property
    def notes(self) -> Path:
        """Folder that what is found out about it is written below: itself, or that of its model."""
        return self.path.parents[1] if self.is_model else self.path

    @property
    def checkpoints(self) -> Path:
        """Folder of committed checkpoints."""
        return self.path / "checkpoints"

    @property
    def config(self) -> RunConfig:
        """The resolved config of the newest session; a time limit was that session's own and is left out."""
        return self.resumed_config(())

    def resumed_config(self, overrides: Sequence[str]) -> RunConfig:
        """The same with ``overrides`` on top.

        Raises:
            ConfigError: When they are wrong, hold a password, or name another preset: it would lie under settings that
                are all written down.
        """
        later = sorted(self.path.glob("config-session-*.yaml"))
        written = later[-1] if later else self.path / "config.yaml"
        presets = {override for override in overrides if override.partition("=")[0].strip() == "preset"}
        config = load_run_config(
            written, ["budget.max_time_s=null", *(o for o in overrides if o not in presets)], follow=False
        )
        for override in presets:
            if override.partition("=")[2].strip() != config.preset:
                raise ConfigError(
                    f"override {override!r}: a run that is resumed has every setting written down, so a preset would "
                    "change nothing; change the settings themselves (algo.n_step=5), or begin a new run"
                )
        check_overrides(overrides)
        return config

    @property
    def status(self) -> Status:
        """What the last session left; ``running`` also after a crash that could not say so."""
        return self.read_json("status.json").get("status", "unfinished")

    def keep_config(self, config: RunConfig) -> None:
        """Write down the config of a resumed session when it differs from the one before."""
        if config.model_copy(update={"budget": config.budget.model_copy(update={"max_time_s": None})}) != self.config:
            number = len(list(self.path.glob("config-session-*.yaml"))) + 2
            replace(self.path / f"config-session-{number:03d}.yaml", dump_config(config))

    @contextlib.contextmanager
    def locked(self, wait_s: float = GLANCE_S) -> Iterator[None]:
        """Hold the run for one session, waiting ``wait_s`` seconds at most for another process to let go of it.

        Raises:
            RunHeldError: When another process holds it.
            PlainFileError: When the lock is no plain file, or may not be opened.
        """
        _check_name(self.path)
        with open_lock(self.path / ".lock") as lock:
            until = time.monotonic() + wait_s
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() >= until:
                        raise RunHeldError(
                            f"{self.shown}: another process is training this run; wait for it, or stop it"
                        ) from None
                time.sleep(0.02)
            if not _is_at(lock, self.path / ".lock"):
                raise RunHeldError(f"{self.shown}: another process has just removed it; try again")
            yield

    @property
    def is_locked(self) -> bool:
        """Whether another process is training this run; nothing is made or written to find out."""
        try:
            with open_lock(self.path / ".lock", make=False) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the JSON object ``name``; empty when there is none that can be read."""
        try:
            found = read_json(self.path / name)
        except (FileNotFoundError, PlainFileError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_status(self, status: Status, **facts: Any) -> None:
        """Replace ``status.json``."""
        self.write_json("status.json", {"status": status, "time": time.time(), **facts})

    def write_json(self, name: str, data: Any) -> None:
        """Replace a JSON file."""
        replace(self.path / name, json.dumps(data, indent=1, default=str))

    def add_session(self, command: list[str], wiring: str, ray_job: str | None = None) -> None:
        """Append who ran what, as which Ray job, with which versions and when, to ``run.json``."""
        facts = self.read_json("run.json")
        facts.setdefault("sessions", []).append(
            {**session_facts(command), "wiring": wiring, "ray_job": ray_job, "seed": self.config.seed}
        )
        self.write_json("run.json", facts)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is what stands at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def create_run(
    config: RunConfig, directory: Path | None = None, is_taken: Callable[[Path], bool] = lambda path: False
) -> RunDirectory:
    """Make a fresh run directory with the resolved config in it; a kill leaves all of that or nothing under its name.

    ``is_taken`` says of a path whether a run of its name lies elsewhere already, where this one would be stored too.

    Raises:
        RunDirectoryError: when ``directory`` exists or is taken, or ``output_dir`` cannot be written.
        ConfigError: when an address in the config holds a password.
    """
    written, name = dump_new(config), f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    path = (directory or Path(config.output_dir) / name).absolute()
    _check_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-run-") as aside:
            whole = Path(aside) / "run"
            whole.mkdir()
            replace(whole / "config.yaml", written)
            for attempt in range(100):
                candidate = path if attempt == 0 else path.with_name(f"{path.name}-{attempt}")
                if is_taken(candidate):
                    if directory is not None:
                        raise RunDirectoryError(
                            f"--out {directory}: checkpoint.storage holds a run called {directory.name} already; go on "
                            f"with it (--resume auto --out {directory}), or choose another name"
                        )
                    continue
                try:
                    # of several that begin at once only one gets it; an empty directory may be there
                    whole.rename(candidate)
                    return RunDirectory(candidate)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                        raise
                if directory is not None:
                    refuse_existing(directory)
    except OSError as error:
        raise RunDirectoryError(
            f"output_dir: cannot make {path}: {error.strerror}; set output_dir to a folder you may write"
        ) from None
    raise RunDirectoryError(f"output_dir: {path} and 99 more exist already; choose another name")


def _check_name(path: Path) -> None:
    """Raise RunDirectoryError for a path that trackers, Ray and YAML have no characters for."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise RunDirectoryError(
            f"{path}: its name holds bytes that are no UTF-8; choose or rename to another folder"
        ) from None


def refuse_existing(directory: Path) -> NoReturn:
    """Raise the RunDirectoryError of a directory that is there already."""
    raise RunDirectoryError(
        f"{directory}: exists already and is never overwritten; continue it with "
        f"`{command_text('robonav', 'train', '--resume', path_word(directory))}`, or choose another directory"
    ) from None


def open_run(path: Path) -> RunDirectory:
    """Return the run at ``path``.

    Raises:
        RunDirectoryError: When it is not a run directory.
        PlainFileError: When what lies in place of one of a run's files is no plain file, or the directory may not be
            read.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        check_entries(path, _FILES, _FOLDERS)
    if not is_plain(path / "config.yaml"):
        known = [p.parent.name for p in sorted(path.parent.glob("*/config.yaml"))][-3:] if path.parent.is_dir() else []
        hint = f"; runs beside it: {', '.join(known)}" if known else "; `robonav train` makes one"
        raise RunDirectoryError(f"{path}: is not a run directory (it has no config.yaml){hint}")
    return RunDirectory(path.absolute())


def find_latest_run(output_dir: Path, *, unfinished_only: bool, name: str | None = None) -> RunDirectory | None:
    """Return the run under ``output_dir`` that was started last and has checkpoints, or None.

    ``unfinished_only`` leaves out what has ended well, and what another process is training; ``name`` is
    ``config.name``. What looks like a run and cannot be read is passed over with a warning: it may belong to another
    user.
    """
    starts = list(output_dir.absolute().glob("*/config.yaml")) if output_dir.is_dir() else []
    for start in sorted(starts, key=lambda path: path.lstat().st_mtime_ns, reverse=True):
        if not os.path.lexists(start.parent / "checkpoints"):
            continue
        try:
            run = open_run(start.parent)
            if name is not None and run.config.name != name:
                continue
            if not unfinished_only or (run.status in UNFINISHED and not run.is_locked):
                return run
        except UserError as error:
            logger.warning("passed over: %s", (str(error).splitlines() or [""])[0])
    return None


def check_same_task(run: RunDirectory, config: RunConfig) -> None:
    """Refuse to resume under a config that changes what the saved arrays mean.

    Raises:
        ConfigError: naming the first section that differs.
    """
    saved = run.config
    advice = "resume without changing it, or start a new run"
    for key in ("seed", "env", "algo", "replay"):
        if getattr(saved, key) != getattr(config, key):
            raise ConfigError(
                f"{run.shown}/config.yaml: the run to resume has another `{key}` section than asked for now; {advice}"
            )
    levels, saved_levels = (
        [(s.name, s.level) for s in c.curriculum.stages_for(c.env.is_native)] for c in (config, saved)
    )
    if levels != saved_levels or config.curriculum.window != saved.curriculum.window:
        raise ConfigError(
            f"{run.shown}/config.yaml: the run to resume has other curriculum.stages or another curriculum.window; "
            f"{advice} (epsilon, gate and forcing may change)"
        )


def search_of(run: RunDirectory) -> Path | None:
    """Return the directory of the search that a run is a trial of; None for a run of its own."""
    search = run.path.parent.parent
    return search if run.path.parent.name == "trials" and (search / "tuning.yaml").is_file() else None


def resume_command(run: RunDirectory) -> str:
    """Return what to type to go on with this run, in the wiring that it was in."""
    return command_text(
        "robonav", "train", "--resume", run.shown, *(["--local"] if last_wiring(run) == "local" else [])
    )


def last_wiring(run: RunDirectory) -> str | None:
    """Return the wiring of the run's newest session, ``ray`` or ``local``; None where it has not been written down."""
    sessions = run.read_json("run.json").get("sessions") or [{}]
    return sessions[-1].get("wiring") if isinstance(sessions[-1], dict) else None
