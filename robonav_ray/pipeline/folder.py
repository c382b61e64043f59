"""The folder of a pipeline.

::

    pipelines/quick/
      pipeline.yaml          the config of the newest session, resolved
      pipeline.lock.json     what is done, by hash (lock_file.py)
      pipeline.jsonl         what happened, a line each
      logs/STEP.jsonl        what each step has said
      STEP/                  what a step makes; ``.begun.json`` in it says for which inputs
      superseded/STEP-001/   what was made for other inputs, or was changed by hand; never removed
      .lock                  held by the session at work, with its pid
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from robonav_ray.config.load import dump_config, load_section_file
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.errors import UserError
from robonav_ray.files.place_lock import held_alone
from robonav_ray.files.plain_files import PlainFileError, check_folder, is_plain, read_json, replace
from robonav_ray.text import path_word

CONFIG_FILE, LOG_FILE, LOGS = "pipeline.yaml", "pipeline.jsonl", "logs"
SUPERSEDED, BEGUN = "superseded", ".begun.json"


class PipelineFolder:
    """Paths inside, and what is moved there."""

    def __init__(self, path: Path) -> None:
        """Nothing is made."""
        self.path = path.absolute()

    @property
    def shown(self) -> str:
        """The path as a person would type it here."""
        return path_word(self.path)

    @property
    def log(self) -> Path:
        """What happened, a line each."""
        return self.path / LOG_FILE

    def step(self, name: str) -> Path:
        """Folder of a step."""
        return self.path / name

    def step_log(self, name: str) -> Path:
        """What a step has said."""
        return self.path / LOGS / f"{name}.jsonl"

    @contextlib.contextmanager
    def held(self, config: PipelineConfig) -> Iterator[None]:
        """Hold the folder, made if missing, for one session, and write its config.

        Raises:
            TakenError: When another process is at work in it; the message names its pid.
            UserError: When it cannot be made, or something else lies there.
        """
        if self.path.is_dir() and not is_plain(self.path / CONFIG_FILE) and _has_other_files(self.path):
            raise UserError(
                f"output_dir: {self.shown} holds other files, and no {CONFIG_FILE}: choose another name or output_dir"
            )
        try:
            with held_alone(self.path, "another pipeline"):
                (self.path / LOGS).mkdir(exist_ok=True)
                text = dump_config(config)
                if not is_plain(self.path / CONFIG_FILE) or read_config(self.path) != config:
                    replace(self.path / CONFIG_FILE, text)
                yield
        except PermissionError as error:
            raise UserError(
                f"output_dir: {error.filename}: may not be written by you; name a folder that you may write"
            ) from None

    def begun_for(self, step: str) -> str | None:
        """Return the key for which a step was begun last; None where it was not."""
        try:
            found = read_json(self.step(step) / BEGUN, 10_000)
        except (FileNotFoundError, PlainFileError, NotADirectoryError):
            return None
        return found.get("key") if isinstance(found, dict) else None

    def begin(self, step: str, key: str, *, afresh: bool, takes_up: bool = False, changed: Iterable[str] = ()) -> Path:
        """Return the folder of a step, in which it goes on; it is empty ``afresh``, and for another key unless the step
        ``takes_up`` what is there.

        Of files that were ``changed`` by hand what lies around them in the step's folder is put aside: a run, an exam.
        """
        folder = self.step(step)
        check_folder(folder)
        if folder.is_dir() and (afresh or (not takes_up and self.begun_for(step) != key)):
            self._put_aside(folder, step)
        for name in {Path(name).parts[1] for name in changed if name.startswith(f"{step}/")}:
            if os.path.lexists(folder / name):
                self._put_aside(folder / name, f"{step}-{Path(name).stem}")
        folder.mkdir(exist_ok=True)
        replace(folder / BEGUN, json.dumps({"key": key}))
        return folder

    def _put_aside(self, path: Path, name: str) -> None:
        aside = self.path / SUPERSEDED
        check_folder(aside)
        aside.mkdir(exist_ok=True)
        number = next(n for n in range(1, 1_000_000) if not os.path.lexists(aside / f"{name}-{n:03d}"))
        path.rename(aside / f"{name}-{number:03d}")


def is_pipeline(path: Path) -> bool:
    """Whether a pipeline has been at work in a folder."""
    return is_plain(path / CONFIG_FILE)


def read_config(folder: Path) -> PipelineConfig:
    """Return the config of the pipeline in ``folder``; UserError where there is none."""
    if not is_pipeline(folder):
        raise UserError(f"{path_word(folder)}: is no pipeline's folder (it has no {CONFIG_FILE})")
    return load_section_file(PipelineConfig, folder / CONFIG_FILE, (), "pipeline")


def newest_folder(output_dir: Path) -> Path:
    """Return the folder below ``output_dir`` in which a pipeline was at work last; UserError where there is none."""
    found = [path for path in output_dir.glob(f"*/{CONFIG_FILE}") if is_plain(path)]
    if not found:
        raise UserError(f"there is no pipeline below {path_word(output_dir)}: name its config, or its folder")
    logs = {path.parent: path.parent / LOG_FILE for path in found}
    return max(logs, key=lambda folder: (logs[folder] if is_plain(logs[folder]) else folder).lstat().st_mtime_ns)


def _has_other_files(path: Path) -> bool:
    return any(name not in (".lock", LOGS) for name in os.listdir(path))
