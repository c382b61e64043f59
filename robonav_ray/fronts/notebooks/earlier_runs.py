"""The run that a notebook goes on with: one that an earlier session has left, here, in the Drive, or in a data set."""

from __future__ import annotations

import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.fronts.notebooks.places import Place
from robonav_ray.runs.checkpoint import list_checkpoints
from robonav_ray.runs.listing import RunFacts, list_runs
from robonav_ray.runs.run_directory import UNFINISHED, find_latest_run, open_run
from robonav_ray.runs.stored_runs import find_stored_run, stored_checkpoints
from robonav_ray.runs.superseded import steps_of
from robonav_ray.text import markdown_text


@dataclass(frozen=True)
class EarlierRun:
    """A run that ``train_in_session`` goes on with; ``name`` is None where there is none."""

    name: str | None
    env_steps: int = 0
    """Of its newest checkpoint."""
    brought_from: Path | None = None
    """The data set that it was copied from, in this session."""

    def _repr_markdown_(self) -> str:
        if self.name is None:
            return "**Nothing to go on with**: the training begins anew."
        told = f"**Goes on with {markdown_text(self.name)}**, at {self.env_steps:,} env steps."
        return told if self.brought_from is None else f"{told} Copied from `{self.brought_from}`."


def earlier_run(place: Place, name: str) -> EarlierRun:
    """Return the unfinished run with the config's ``name`` that was started last and has a checkpoint.

    It is looked for where runs are kept. On Kaggle one that is attached (the output of an earlier version) is copied
    from there first, unless one of its name is here already.

    Raises:
        StoredRunError: When the Drive cannot be read.
    """
    brought = _bring_attached(place, name)
    if place.storage is not None:
        storage = str(place.storage)
        stored = find_stored_run(storage, unfinished_only=True, name=name) if place.storage.is_dir() else None
        if stored is None:
            return EarlierRun(None)
        return EarlierRun(Path(stored).name, steps_of(stored_checkpoints(stored)[-1]))
    run = find_latest_run(place.runs, unfinished_only=True, name=name)
    if run is None:
        return EarlierRun(None)
    checkpoints = list_checkpoints(run.checkpoints)
    return EarlierRun(run.path.name, steps_of(checkpoints[-1].name) if checkpoints else 0, brought)


def _bring_attached(place: Place, name: str) -> Path | None:
    """Copy the newest unfinished run among the attached data sets, unless it is here; return where it was, None when
    nothing was copied.
    """
    if place.attached is None:
        return None
    found = next((facts.path for facts in reversed(list_runs(place.attached)) if _goes_on(facts, name)), None)
    if found is None or (target := place.runs / found.name).exists():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-run-") as aside:
        whole = Path(aside) / "run"
        shutil.copytree(found, whole, symlinks=True)
        for path in (whole, *whole.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IRUSR | stat.S_IWUSR)  # a data set can only be read
        whole.rename(target)
    return found


def _goes_on(facts: RunFacts, name: str) -> bool:
    run = open_run(facts.path)
    return facts.status in UNFINISHED and run.config.name == name and bool(list_checkpoints(run.checkpoints))
