"""``ExperimentTracker``: an experiment of one's own in TensorBoard, MLflow and W&B, by the feed, spool and retry of
runs.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.config.words import refuse_secrets
from robonav_ray.errors import UserError
from robonav_ray.files.locations import without_secrets
from robonav_ray.files.plain_files import check_folder, open_reading, read_json, replace, replacing
from robonav_ray.fronts.own_tracking import made_files
from robonav_ray.runs.session_facts import command_line, own_revision, project_facts
from robonav_ray.text import command_text
from robonav_ray.tracking.backend import RunEnding
from robonav_ray.tracking.fanout import TRACKED, open_trackers
from robonav_ray.tracking.items import Asset, Histogram, Item, Kind, asset_of, check_name
from robonav_ray.tracking.jsonl import METRICS_FILE, RESERVED, read_metrics
from robonav_ray.tracking.places import BACKENDS, check_backends
from robonav_ray.tracking.run_facts import RunFacts, flat_config

FACTS_FILE = "tracked.json"
CLOSE_S = 25.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PICTURES, _FILMS = frozenset((".png", ".jpg", ".jpeg")), frozenset((".gif", ".mp4"))


class ExperimentTracker:
    """Tracks an experiment in a folder of its own, and brings it to the backends; no call waits for one but ``finish``.

    ::

        with ExperimentTracker("robot_nav", backends=["tensorboard", "mlflow"], config={"lr": 1e-3}) as tracker:
            tracker.log_metrics({"train/loss": 0.3}, step=100)
            tracker.log_image("maps/corridor", picture, step=100)

    A name is logged once at a step; what comes again for it is left out. Without ``step``, metrics are logged at the
    step after the last, and everything else at the last. Threads may share a tracker.
    """

    def __init__(
        self,
        name: str,
        backends: Sequence[str] | Mapping[str, Mapping[str, Any] | None] = ("tensorboard",),
        config: Mapping[str, Any] | None = None,
        *,
        directory: str | Path | None = None,
        output_dir: str | Path = "runs",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Make the folder and open the backends.

        Args:
            name: Of the experiment: the experiment in MLflow, the project in W&B, the beginning of the folder's name.
            backends: ``tensorboard``, ``mlflow`` and ``wandb``; a mapping gives the keys of their config sections too:
                ``{"mlflow": {"tracking_uri": "http://127.0.0.1:5000"}}``. ``metrics.jsonl`` is written in any case.
            config: What the experiment is run with, nested or not; shown beside its charts.
            directory: The folder; one that an earlier tracker made is gone on with. None takes
                ``output_dir/NAME-TIMESTAMP``.
            output_dir: Where the folder is made.
            tags: More about the experiment.

        Raises:
            UserError: For a name, backend, config or folder that cannot be, a server that does not answer, a package
                that is missing; nothing has been made by then.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UserError(
                f"name: {name!r} is no name of an experiment; write 1 to 64 letters, digits, '.', '_' and '-'"
            )
        self.name = name
        self._config = _checked_config(config or {})
        tracking = _tracking(name, backends)
        check_backends(tracking)
        self.path = _folder(name, directory, output_dir)
        """The experiment's folder."""
        last = _last_step(self.path)
        facts = RunFacts(
            self.path.name, self.path, self._config, {**_tags(), **_texts(tags or {})}, "own", resume_step=last
        )
        self._trackers = open_trackers(tracking, self.path, last, facts=facts, wait_s=0.0)
        shown = {"name": name, "config": self._config, "tracking": tracking.model_dump(mode="json"),
                 "tags": dict(facts.tags)}  # fmt: skip
        replace(self.path / FACTS_FILE, json.dumps(shown, indent=1))
        self._step = -1 if last is None else last
        self._newest: dict[str, float] = {}
        self._finished = False
        atexit.register(self.finish, "unfinished")

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers by name (``train/loss``) at ``step``; UserError for what is no number."""
        found = {_metric_name(name): _number(name, value) for name, value in metrics.items()}
        at = self._at(step, self._step + 1)
        self._trackers.log(found, at)
        self._newest |= {name: value for name, value in found.items() if np.isfinite(value)}

    def log_histogram(self, name: str, values: Any, step: int | None = None, bins: int = 30) -> None:
        """Log how ``values`` (an array or tensor of any shape) are distributed, in ``bins`` equal bins."""
        try:
            item = Histogram.of(name, made_files.as_array(values), bins)
        except (TypeError, ValueError) as error:
            raise UserError(f"log_histogram {name!r}: {error}") from None
        self._add(item, step)

    def log_image(self, name: str, image: Any, step: int | None = None) -> None:
        """Log a picture: an array (H, W), (H, W, 3) or (H, W, 4) of 0 to 255 or of fractions, a PIL image, or the path
        of a png or jpg.
        """
        what = f"log_image {name!r}"
        self._log_file(
            Kind.PICTURE, name, step, image, _PICTURES, lambda path: made_files.write_picture(image, path, what)
        )

    def log_video(self, name: str, frames: Any, step: int | None = None, fps: float = 10.0) -> None:
        """Log a film: frames as ``log_image`` takes them, or the path of a gif or mp4."""
        what = f"log_video {name!r}"
        self._log_file(
            Kind.FILM, name, step, frames, _FILMS, lambda path: made_files.write_film(frames, path, fps, what)
        )

    def log_graph(self, model: Any, inputs: Any = None, name: str = "graph", step: int | None = None) -> None:
        """Log a graph: a torch module, traced on ``inputs`` (a tensor, or a tuple of arguments), or nodes
        ``[{"name": "b", "op": "relu", "inputs": ["a"], "shape": [1, 64]}, ...]``.
        """
        what = f"log_graph {name!r}"
        self._log_file(Kind.GRAPH, name, step, None, (), lambda path: made_files.write_graph(model, inputs, path, what))

    def log_embedding(
        self, name: str, vectors: Any, labels: Iterable[Any] | None = None, thumbnails: Any = None,
        step: int | None = None,
    ) -> None:  # fmt: skip
        """Log points (N, D) for TensorBoard's projector, with N labels and N images of one size."""
        what = f"log_embedding {name!r}"
        self._log_file(
            Kind.EMBEDDING, name, step, None, (),
            lambda path: made_files.write_embedding(vectors, labels, thumbnails, path, what),
        )  # fmt: skip

    def log_table(self, name: str, rows: Any, columns: Sequence[str] | None = None, step: int | None = None) -> None:
        """Log a table: mappings, sequences with ``columns``, or a pandas.DataFrame."""
        what = f"log_table {name!r}"
        self._log_file(Kind.TABLE, name, step, None, (), lambda path: made_files.write_table(rows, columns, path, what))

    def log_artifact(self, path: str | Path, name: str | None = None, step: int | None = None) -> None:
        """Log a file, copied into the experiment's folder where it lies elsewhere."""
        source = Path(path)
        found = asset_of(source.absolute(), source.absolute().parent)
        self._keep_copy(found.kind, name or found.name, step, source)

    def finish(self, status: Literal["finished", "unfinished", "failed"] = "finished", message: str = "") -> None:
        """Bring what is left to the backends, for at most 25 s, and end; what stays undelivered is said. A second call
        does nothing.
        """
        if self._finished:
            return
        self._finished = True
        atexit.unregister(self.finish)
        self._trackers.ends_as(RunEnding(status, without_secrets(message), self._newest))
        self._trackers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish: ``failed`` after an exception, ``unfinished`` after Ctrl-C."""
        if error is None:
            self.finish()
        else:
            status = "failed" if isinstance(error, Exception) else "unfinished"
            self.finish(status, f"{type(error).__name__}: {error}")

    def _log_file(
        self, kind: Kind, name: str, step: int | None, given: Any, suffixes: Iterable[str], write: Any
    ) -> None:
        """Log what ``write`` writes, or the file that is ``given`` by its path."""
        self._check_name(name)
        if isinstance(given, str | Path):
            if Path(given).suffix.lower() not in suffixes:
                raise UserError(f"log {name!r}: {given} is none of {', '.join(sorted(suffixes))}")
            self._keep_copy(kind, name, step, Path(given))
            return
        at = self._at(step, max(0, self._step))
        path = self._place(kind, name, at, _SUFFIXES[kind])
        write(path)
        self._add(Asset(kind, name, path), at)

    def _keep_copy(self, kind: Kind, name: str, step: int | None, source: Path) -> None:
        self._check_name(name)
        at = self._at(step, max(0, self._step))
        path = source.absolute()
        if not path.is_relative_to(self.path):
            path = self._place(kind, name, at, source.suffix)
            with open_reading(source, follow=True) as file, replacing(path) as copy:
                shutil.copyfileobj(file, copy)
        self._add(Asset(kind, name, path), at)

    def _place(self, kind: Kind, name: str, step: int, suffix: str) -> Path:
        if self._finished:
            raise RuntimeError("the tracker is finished")
        parts = [re.sub(r"[^A-Za-z0-9_.-]", "_", part).lstrip(".") or "_" for part in name.split("/")]
        stem = parts[-1].removesuffix(suffix)
        path = self.path.joinpath(TRACKED, str(kind), *parts[:-1], f"{stem}-{step}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _add(self, item: Item, step: int | None) -> None:
        self._trackers.add([item], self._at(step, max(0, self._step)))

    def _at(self, step: int | None, default: int) -> int:
        """Return the step to log at, and remember the highest."""
        if self._finished:
            raise RuntimeError("the tracker is finished")
        at = default if step is None else step
        if isinstance(at, np.integer):
            at = int(at)
        if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < 1 << 53:
            raise UserError(f"step: {step!r} is no step; write an integer of 0 or more")
        self._step = max(self._step, at)
        return at

    @staticmethod
    def _check_name(name: Any) -> None:
        try:
            check_name(name if isinstance(name, str) else "")
        except ValueError as error:
            raise UserError(str(error)) from None


_SUFFIXES = {Kind.PICTURE: ".png", Kind.FILM: ".gif", Kind.GRAPH: ".json", Kind.EMBEDDING: ".npz", Kind.TABLE: ".csv"}


def _tracking(name: str, backends: Sequence[str] | Mapping[str, Mapping[str, Any] | None]) -> TrackingConfig:
    """Return the config section that has these backends on."""
    given: dict[str, Any] = {}
    asked = backends.items() if isinstance(backends, Mapping) else ((one, {}) for one in _listed(backends))
    for backend, keys in asked:
        if backend == "jsonl":
            continue
        if not isinstance(backend, str) or backend not in BACKENDS:
            raise UserError(f"backends: {backend!r} is none; there are {', '.join(('jsonl', *BACKENDS))}")
        given[backend] = dict(keys or {})
    for backend, key in (("mlflow", "experiment"), ("wandb", "project")):
        if backend in given:
            given[backend].setdefault(key, name)
    sections = {"tensorboard": None, "close_timeout_s": CLOSE_S, "prometheus": False, **given}
    return check_section(TrackingConfig, sections, "backends")


def _listed(backends: Any) -> Sequence[str]:
    if isinstance(backends, str) or not isinstance(backends, Iterable):
        raise UserError(f'backends: {backends!r} is no list; write ["tensorboard", "mlflow"]')
    return list(backends)


def _checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config that JSON can hold: what it has no kind for is kept as text."""
    if not isinstance(config, Mapping):
        raise UserError(f"config: {type(config).__name__} is no mapping")
    plain: dict[str, Any] = json.loads(json.dumps(_plain(config)))
    try:
        for key in flat_config(plain):
            refuse_secrets("config", {key.rpartition(".")[2]: None})
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return without_secrets(value) if isinstance(value, str) else value if _is_plain(value) else str(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _folder(name: str, directory: str | Path | None, output_dir: str | Path) -> Path:
    path = Path(output_dir) / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}" if directory is None else Path(directory)
    path = path.absolute()
    try:
        check_folder(path)
        number = 0
        while directory is None and path.exists():
            number += 1
            path = path.with_name(f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{number}")
        if path.exists() and any(path.iterdir()) and not (path / FACTS_FILE).exists():
            raise UserError(
                f"directory: {path} holds something else than a tracked experiment; leave `directory` away, or name "
                "another folder"
            )
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"directory: cannot make {path}: {error.strerror or error}") from None
    return path


def _last_step(folder: Path) -> int | None:
    """Return the highest step of an experiment that is gone on with; None for a new one."""
    if not (folder / METRICS_FILE).exists():
        return None
    read_json(folder / FACTS_FILE)
    return max((line["step"] for line in read_metrics(folder / METRICS_FILE)), default=0)


def _tags() -> dict[str, str]:
    project = project_facts(Path()) or {}
    tags = {
        "git_revision": own_revision(),
        "project_revision": project.get("git_revision"),
        "host": socket.gethostname(),
        "command": command_text(*command_line()),
    }
    return {name: str(value) for name, value in tags.items() if value is not None}


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    try:
        refuse_secrets("tags", tags)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return {str(key): without_secrets(str(value)) for key, value in tags.items()}


def _metric_name(name: Any) -> str:
    ExperimentTracker._check_name(name)
    if name in RESERVED:
        raise UserError(f"log_metrics: {name!r} is a name of ours; write another, for instance train/{name}")
    return name


def _number(name: str, value: Any) -> float:
    try:
        array = made_files.as_array(value)
        if array.size != 1 or array.dtype.kind not in "biuf":
            raise TypeError
        return float(array.reshape(()))
    except (TypeError, ValueError):
        raise UserError(f"log_metrics {name!r}: {type(value).__name__} is no number") from None
