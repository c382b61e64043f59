"""What ``robonav track`` does: a run that has ended is brought to trackers that have not got all of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robonav_ray.config import RunConfig
from robonav_ray.errors import ToldError, UserError
from robonav_ray.files.plain_files import is_plain, list_plain
from robonav_ray.runs.run_directory import RunDirectory, open_run
from robonav_ray.tracking.backend import Backend, Point, RefusedPointsError, RunEnding
from robonav_ray.tracking.deliveries import TrackersFile
from robonav_ray.tracking.fanout import MAX_WAITING, owning
from robonav_ray.tracking.feed import BackendFeed, Place, left_words
from robonav_ray.tracking.items import Asset, asset_of
from robonav_ray.tracking.jsonl import METRICS_FILE, append_items, env_steps_of, figures_of, read_points
from robonav_ray.tracking.mlflow_run import forget_other_server
from robonav_ray.tracking.places import check_backends, places
from robonav_ray.tracking.tracked_run import run_facts

SENT = ("mlflow", "wandb")
"""Backends that a run can be brought to afterwards; TensorBoard's files lie in the run."""
_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".mp4", ".csv", ".json", ".md", ".html", ".pdf", ".txt"))
_FOLDERS = ("evaluations", "tracked", "tables")
_OURS = frozenset(("trackers.json", "run.json", "status.json", "summary.json", "env.json", "checkpoints.json",
                   "curriculum_progress.json", "error.txt", "log.txt", "take_over.json"))  # fmt: skip
MAX_FILES = 10_000


class NotDeliveredError(ToldError):
    """A tracker has not taken all of a run."""


@dataclass(frozen=True)
class Sent:
    """What one tracker was given."""

    backend: str
    points: int
    files: int
    address: str
    """Where the run is looked at there; empty where the backend does not say."""


def track(where: str | Path, to: Sequence[str] = (), overrides: Sequence[str] = ()) -> list[Sent]:
    """Bring the spool, files and checkpoint of a run to ``to``: what each has not been given yet, so that a second call
    changes nothing, and one that was broken off is gone on with.

    Args:
        where: Directory of a run that no process is training.
        to: ``mlflow``, ``wandb``; none takes those that are on in the run's config.
        overrides: ``tracking.mlflow.experiment=mine`` and its like, for this call.

    Raises:
        UserError: For what is no run, is being trained, or is no tracker; when a server does not answer or refuses.
        NotDeliveredError: When one that had answered has not taken everything.
    """
    run = open_run(Path(where))
    config = _with_sections(run, to, overrides)
    check_backends(config.tracking)
    with run.locked(), owning(run.path, 0.0) as is_owner:
        if not is_owner:
            raise UserError(f"{run.shown}: another process is giving this run to its trackers; wait for it")
        _note_files(run)
        file, facts = TrackersFile(run.path), run_facts(run, config)
        if config.tracking.mlflow is not None:
            forget_other_server(config.tracking.mlflow, facts, file)
        return [_send(place, run) for place in places(config.tracking, facts, file, 0)]


def _with_sections(run: RunDirectory, to: Sequence[str], overrides: Sequence[str]) -> RunConfig:
    """Return the run's config with exactly the trackers ``to`` on, each of which has to answer."""
    unknown = sorted(set(to) - set(SENT))
    if unknown:
        raise UserError(f"--to {','.join(unknown)}: is no tracker that a run can be brought to: {', '.join(SENT)}")
    wrong = [word for word in overrides if not word.startswith("tracking.")]
    if wrong:
        raise UserError(f"override {wrong[0]!r}: would change nothing here; `robonav track` takes those of tracking.*")
    config = run.resumed_config(overrides)
    on = {name: section for name in SENT if (section := vars(config.tracking)[name]) is not None}
    if not to and not on:
        raise UserError(
            f"{run.shown}: no tracker is on in its config, so name one: --to mlflow, --to wandb, or --to mlflow,wandb"
        )
    words = [f"tracking.{name}={{}}" for name in to if name not in on]
    words += [f"tracking.{name}=null" for name in on if to and name not in to]
    words += [f"tracking.{name}.{key}" for name in (to or on) for key in ("required=true", "system_metrics=false")]
    return run.resumed_config([*words, "tracking.tensorboard=null", "tracking.extra=[]", *overrides])


def _note_files(run: RunDirectory) -> None:
    """Write the pictures, films and reports of the run into its spool, as far as they do not stand there."""
    spool, known = run.path / METRICS_FILE, set[Path]()
    with contextlib.suppress(FileNotFoundError):
        known = {item.path for point in read_points(spool, 0) for item in point.items if isinstance(item, Asset)}
    assets = [asset_of(path, run.path) for path in _results(run.path) if path not in known]
    if assets:
        append_items(run.path, assets, env_steps_of(run.read_json("summary.json")))


def _results(folder: Path) -> list[Path]:
    """Return what the run has made beside figures and checkpoints."""
    here = [path for path in sorted(folder.iterdir()) if is_plain(path) and path.name not in _OURS]
    below = [folder / name / path for name in _FOLDERS for path in list_plain(folder / name, MAX_FILES)]
    return [path for path in (*here, *below) if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")]


def _ending(run: RunDirectory) -> RunEnding:
    """Return how the run ended by what it wrote; one that was killed could not write it."""
    status = run.status
    said = run.read_json("status.json").get("reason")
    figures = figures_of(run.read_json("summary.json"))
    return RunEnding("unfinished" if status == "running" else status, str(said or ""), figures)


class _Watched:
    """A backend that counts what it has taken."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name, self.takes = backend.name, backend.takes
        self.points = self.files = 0
        self.has_ended = False

    def write(self, points: Sequence[Point]) -> None:
        refused: RefusedPointsError | None = None
        try:
            self._backend.write(points)
        except RefusedPointsError as error:
            refused = error
        self.points += max(0, sum(1 for point in points if point.metrics) - (0 if refused is None else refused.count))
        self.files += sum(isinstance(item, Asset) for point in points for item in point.items)
        if refused is not None:
            raise refused

    def close(self, ending: RunEnding | None) -> None:
        self._backend.close(ending)
        self.has_ended = True


def _send(place: Place, run: RunDirectory) -> Sent:
    made = list[_Watched]()

    def make() -> Backend:
        made.append(_Watched(place.make()))
        return made[-1]

    feed = BackendFeed(replace(place, make=make), run.path / METRICS_FILE, MAX_WAITING)
    feed.begin_close(_ending(run))
    points, files = feed.join(threading.TIMEOUT_MAX)
    if points or files or not made or not made[-1].has_ended:
        raise NotDeliveredError(
            f"{place.name} has not taken all of {run.shown} ({left_words(points, files)} are left); the warning "
            "above says why, and the same command goes on from there"
        )
    ids = TrackersFile(run.path).read()[place.name].ids
    return Sent(place.name, made[-1].points, made[-1].files, ids.get("address", ""))
