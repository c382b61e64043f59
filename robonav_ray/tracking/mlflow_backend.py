"""MLflow as a place that runs are tracked to: points by ``log_batch`` with the spool's own moments, files as artifacts.

Everything may be given again: a point with the same moment is dropped by MLflow, a file is written over itself, and the
run is found by a tag. An asset lies among the artifacts where it lies in the run's directory; pictures stand in the
chart of images besides. MLflow knows no histograms.
"""

from __future__ import annotations

import io
import logging
import math
import tempfile
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robonav_ray.config.tracking import MlflowTracking
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import PlainFileError, check_way, is_plain, list_plain, read_bytes, replace
from robonav_ray.runs.checkpoint import CheckpointError, fetch_checkpoint, newest_good_checkpoint
from robonav_ray.runs.checkpoint_index import published_name
from robonav_ray.tracking.backend import Point, Refusals, RunEnding, TrackerError
from robonav_ray.tracking.items import ALL_KINDS, HISTOGRAM, Asset, Kind
from robonav_ray.tracking.mlflow_place import (
    PASSWORD,
    USERNAME,
    MlflowRefusedError,
    calling,
    check_client,
    error_code,
    find_place,
    open_client,
    quoted,
    send_taken,
)
from robonav_ray.tracking.mlflow_run import MlflowRun, deleted_experiment, name_at_mlflow
from robonav_ray.tracking.mlflow_system import SystemMetrics
from robonav_ray.tracking.run_facts import RunFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

logger = logging.getLogger(__name__)
MAX_BATCH = 1000
"""Metrics that MLflow takes in one call."""
SHOWN_PIXELS = 256
"""Longer side of the small copy of a picture that MLflow's chart of images asks for first."""
_STATUS = {"finished": "FINISHED", "unfinished": "KILLED", "failed": "FAILED"}
_NOTES = ("config.yaml", "run.json", "summary.json", "checkpoints.json")


def check_mlflow(section: MlflowTracking) -> None:
    """Ask MLflow once, with a call that needs the password; a local store is not made yet.

    Raises:
        UserError: When the package is missing, no server answers, or it refuses: names what to set.
    """
    place = find_place(section, Path())
    check_client()
    name = section.experiment
    if section.registered_model is not None and set("/:") & set(section.registered_model):
        raise UserError(
            f"tracking.mlflow.registered_model {section.registered_model!r}: MLflow's names have no '/' and no ':'"
        )
    quoted(section.registered_model or "")
    if not place.is_server:
        return
    try:
        client = open_client(place)
        with calling(place):
            found = client.get_experiment_by_name(name)
    except TrackerError as error:
        raise UserError(
            f"{place.named_by}: {error}; give a server that answers in it, name and password in {USERNAME} and "
            f"{PASSWORD}, or go on without it for now (tracking.mlflow.required=false; `robonav track RUN --to mlflow` "
            "delivers later)"
        ) from None
    if found is not None and found.lifecycle_stage != "active":
        raise UserError(deleted_experiment(name))


def open_mlflow(section: MlflowTracking, facts: RunFacts, told: Callable[[Mapping[str, str]], None]) -> MlflowBackend:
    """Return MLflow as a backend; nothing is called yet. ``told`` is given the ids that the run has there."""
    return MlflowBackend(section, facts, told)


class MlflowBackend:
    """A ``Backend``."""

    name = "mlflow"
    takes = ALL_KINDS - {HISTOGRAM}

    def __init__(
        self, section: MlflowTracking, facts: RunFacts, told: Callable[[Mapping[str, str]], None],
        system: SystemMetrics | None = None,
    ) -> None:  # fmt: skip
        """``system`` is measured from now on; None makes one where the config and the kind of the run want it."""
        self._section, self._facts = section, facts
        self._run = MlflowRun(section, facts, told)
        measured = section.system_metrics and facts.kind in ("train", "trial", "own")
        self._system = system or (SystemMetrics() if measured else None)
        self._figures = list[tuple[float, Mapping[str, float]]]()  # measured, and not delivered yet
        self._done = set[object]()  # of the points at hand, when a call in between has failed

    def write(self, points: Sequence[Point]) -> None:
        """Log all metrics in few calls, then upload what files there are."""
        if not points:
            return
        client, run = self._run.connect(points[0].time)
        refused = Refusals()
        for metric, error in self._log([p for p in points if (p.step, p.time) not in self._done], client, run):
            refused.note((metric.step, metric.timestamp), error)
        self._done |= {(point.step, point.time) for point in points}
        for point in points:
            for item in point.items:
                if isinstance(item, Asset) and (done := (item.tag, point.step, point.time)) not in self._done:
                    self._keep(item, point, client, run)
                    self._done.add(done)
        self._done.clear()
        refused.tell()

    def close(self, ending: RunEnding | None) -> None:
        """Upload the policy, say how the run ended; without an ``ending`` leave it as it is."""
        if self._system is not None:
            self._system.close()
        if ending is None:
            return
        client, run = self._run.connect(time.time())
        if self._facts.kind in ("train", "trial") and self._section.checkpoints:
            self._keep_policy(client, run)
        self._keep_notes(client, run)
        with calling(self._run.place):
            self._summarize(ending, client, run)

    def _log(self, points: Sequence[Point], client: MlflowClient, run: str) -> list[tuple[Metric, Exception]]:
        """Send the figures of points; return those that MLflow will never take, with the reasons."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name_at_mlflow(name), _finite(value), _ms(point.time), point.step)
            for point in points
            for name, value in point.metrics.items()
        ]
        metrics += self._system_metrics(points)
        refused = self._send(metrics, client, run)
        self._figures.clear()
        return refused

    def _send(self, metrics: Sequence[Metric], client: MlflowClient, run: str) -> list[tuple[Metric, Exception]]:
        is_active = False

        def send(some: Sequence[Metric]) -> None:
            nonlocal is_active
            try:
                with calling(self._run.place):
                    client.log_batch(run, metrics=some)
            except MlflowRefusedError:
                if not is_active:  # else it refuses them because of what they are
                    self._run.check_active(client)
                    is_active = True
                raise

        batches = [metrics[start : start + MAX_BATCH] for start in range(0, len(metrics), MAX_BATCH)]
        return [(metric, error) for batch in batches for metric, error in send_taken(batch, send)]

    def _system_metrics(self, points: Sequence[Point]) -> list[Metric]:
        """Return what was measured, at the env step of the last point before; a repeated call gives the same."""
        from mlflow.entities import Metric

        if self._system is None or not points:
            return []
        self._figures += self._system.take()
        times = [point.time for point in points]
        return [
            Metric(name, value, _ms(when), points[max(0, bisect_right(times, when) - 1)].step)
            for when, figures in self._figures
            for name, value in figures.items()
        ]

    def _keep(self, asset: Asset, point: Point, client: MlflowClient, run: str) -> None:
        """Upload one file; one that is gone, is none, or is refused is told of and left out."""
        below = asset.path.relative_to(self._facts.directory)
        try:
            check_way(self._facts.directory, below.as_posix())
            if not is_plain(asset.path):
                raise PlainFileError("is not there any more, or is no plain file")
            self._upload(asset.path, below.parent.as_posix(), client, run)
            if asset.kind is Kind.PICTURE:
                self._chart(asset, point, client, run)
        except (PlainFileError, MlflowRefusedError) as error:
            logger.warning("mlflow does not get %s: %s", below, error)

    def _upload(self, path: Path, folder: str, client: MlflowClient, run: str) -> None:
        with calling(self._run.place):
            client.log_artifact(run, str(path), None if folder == "." else folder)

    def _chart(self, asset: Asset, point: Point, client: MlflowClient, run: str) -> None:
        """Add a picture to the chart of images, under the name that ``MlflowClient.log_image`` would give it, but the
        same each time.
        """
        from PIL import Image

        data = read_bytes(asset.path)
        id_ = uuid.uuid5(uuid.NAMESPACE_OID, f"{run} {asset.tag} {point.step}")
        stem = f"{name_at_mlflow(asset.name).replace('/', '~')}+step+{point.step}+timestamp+{_ms(point.time)}+{id_}"
        small = io.BytesIO()
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.thumbnail((SHOWN_PIXELS, SHOWN_PIXELS))
                image.convert("RGB").save(small, "WEBP")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise PlainFileError(f"is no picture ({error})") from None
        with tempfile.TemporaryDirectory(prefix="robonav-mlflow-") as aside:
            for name, content in ((f"{stem}.png", data), (f"{stem}+compressed.webp", small.getvalue())):
                replace(Path(aside) / name, content)
                self._upload(Path(aside) / name, "images", client, run)
        with calling(self._run.place):
            client.set_tag(run, "mlflow.loggedImages", "True")

    def _keep_policy(self, client: MlflowClient, run: str) -> None:
        """Upload the best checkpoint, or the newest where none was judged, without the rows of its replay; together
        with the notes it is a run that `robonav evaluate` takes.
        """
        folder = self._facts.directory / "checkpoints"
        try:
            best = published_name(self._facts.directory, self._facts.name, None)
            found = folder / best if best is not None and (folder / best).is_dir() else None
            if found is None:
                newest = newest_good_checkpoint(folder)[0]
                found = None if newest is None else newest.path
            if found is None or self._run.told("checkpoint") == found.name:
                return
            with tempfile.TemporaryDirectory(prefix="robonav-mlflow-") as aside:
                policy = fetch_checkpoint(str(found), Path(aside) / "checkpoints")
                for name in list_plain(policy.path, 1000):
                    below = (Path("checkpoints") / found.name / name).parent
                    self._upload(policy.path / name, below.as_posix(), client, run)
        except (CheckpointError, MlflowRefusedError) as error:
            logger.warning("mlflow does not get the checkpoint: %s", error)
            return
        if self._section.registered_model is not None:
            with calling(self._run.place):
                self._register(self._section.registered_model, found.name, client, run)
        self._run.tell(checkpoint=found.name)

    def _register(self, model: str, checkpoint: str, client: MlflowClient, run: str) -> None:
        """Make the checkpoint a version of a registered model, once."""
        error_code(lambda: client.create_registered_model(model), "RESOURCE_ALREADY_EXISTS")
        versions = client.search_model_versions(f"name = {quoted(model)} and run_id = '{run}'")
        if not any(version.tags.get("robonav.checkpoint") == checkpoint for version in versions):
            source = f"{client.get_run(run).info.artifact_uri}/checkpoints/{checkpoint}"
            client.create_model_version(model, source, run, {"robonav.checkpoint": checkpoint}, await_creation_for=0)

    def _keep_notes(self, client: MlflowClient, run: str) -> None:
        """Upload the config and what the run says of itself."""
        for name in _NOTES:
            if is_plain(self._facts.directory / name):
                self._upload(self._facts.directory / name, ".", client, run)

    def _summarize(self, ending: RunEnding, client: MlflowClient, run: str) -> None:
        """Write the summary's figures at the moment of the last point, which is the same each time, and the ending."""
        from mlflow.entities import Metric

        found = client.get_run(run)
        figures = found.data._metric_objs or []
        last_ms = max((m.timestamp for m in figures), default=found.info.start_time)
        step = max((m.step for m in figures), default=0)
        summary = [
            Metric(f"summary/{name_at_mlflow(name)}", _finite(v), last_ms, step) for name, v in ending.summary.items()
        ]
        for metric, error in self._send(summary, client, run):
            logger.warning("mlflow does not take %s: %s", metric.key, error)
        client.set_tag(run, "robonav.ending", f"{ending.status}: {ending.message}"[:5000].rstrip(": "))
        client.set_terminated(run, _STATUS[ending.status], last_ms)


def _finite(value: float) -> float:
    """What is not finite is NaN, as the spool has it."""
    return float(value) if math.isfinite(value) else math.nan


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
