"""MLflow's model registry as a mirror of ours: registered models, versions with their files, aliases, deployments.

A version of ours is a run of its own (``NAME@3``) that holds the files below ``model/``, and a version of the
registered model, tagged with our number: MLflow counts on its own, and takes no path of this machine as a source. Where
an alias was moved, when, by whom and why stands in the tag ``deployment.ALIAS`` of the version, and, for each move, in
the tag ``deployment.NUMBER`` of the registered model, by the number of the journal's entry.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from robonav_ray.config.tracking import MlflowTracking
from robonav_ray.files.plain_files import replace
from robonav_ray.registry.journal import JournalEntry
from robonav_ray.registry.versions import Version, read_file
from robonav_ray.tracking.backend import TrackerError
from robonav_ray.tracking.mlflow_place import Place, calling, error_code, quoted
from robonav_ray.tracking.mlflow_run import MlflowRun
from robonav_ray.tracking.run_facts import RunFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_NUMBER, _CONTENT = "robonav.version", "robonav.content_id"
FOLDER = "model"


def open_mirror(section: MlflowTracking, version: Version) -> MlflowMirror:
    """Return the mirror of the registry that ``version`` is in; the local store is that of the version's own run."""
    return MlflowMirror(section, Path(version.config.output_dir))


class MlflowMirror:
    """A ``Mirror``. A call that comes twice finds what the first has made."""

    name = "mlflow"

    def __init__(self, section: MlflowTracking, output: Path) -> None:
        """``output``: the folder in which the local store is, where nothing names another MLflow."""
        self._section, self._output = section, output

    def version_added(self, version: Version) -> None:
        """Make the version there; OSError when MLflow does not take it now."""
        with _as_errors_of_a_mirror():
            self._version(version)

    def alias_moved(self, name: str, alias: str, version: Version, entry: JournalEntry) -> None:
        """Point the alias at the version, which is made where it is missing, and record the deployment; raises as
        ``version_added``.
        """
        with _as_errors_of_a_mirror():
            self._move(name, alias, version, entry)

    def _move(self, name: str, alias: str, version: Version, entry: JournalEntry) -> None:
        place, client, there = self._version(version)
        record = {
            "alias": alias, "version": version.number, "from": entry.from_version, "kind": entry.kind,
            "time": entry.time, "who": entry.who, "reason": entry.reason[:2000],
        }  # fmt: skip
        text = json.dumps(record, ensure_ascii=False)
        with calling(place):
            client.set_registered_model_alias(name, alias, there.version)
            client.set_model_version_tag(name, there.version, f"deployment.{alias}", text)
            client.set_registered_model_tag(name, f"deployment.{entry.number:06d}", text)

    def _run(self, version: Version) -> MlflowRun:
        facts = RunFacts(
            version.ref,
            self._output / "models",
            version.config.model_dump(mode="json"),
            _tags(version.provenance),
            ids={"key": f"model-{version.name}-{version.number}-{version.content_id}"},
        )
        return MlflowRun(self._section, facts, lambda ids: None)

    def _version(self, version: Version) -> tuple[Place, MlflowClient, ModelVersion]:
        """Return the version there, and where that is; it is made, files first, where it is missing."""
        run = self._run(version)
        client, run_id = run.connect(time.time())
        with calling(run.place):
            error_code(lambda: client.create_registered_model(version.name), "RESOURCE_ALREADY_EXISTS")
            for found in client.search_model_versions(f"name = {quoted(version.name)}"):
                if found.tags.get(_NUMBER) == str(version.number) and found.tags.get(_CONTENT) == version.content_id:
                    return run.place, client, found
            with tempfile.TemporaryDirectory(prefix="robonav-mlflow-") as aside:
                for name in version.files:
                    path = Path(aside) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    replace(path, read_file(version, name))
                client.log_artifacts(run_id, aside, FOLDER)
            source = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"
            tags = {_NUMBER: str(version.number), _CONTENT: version.content_id, **_tags(version.provenance)}
            made = client.create_model_version(version.name, source, run_id, tags, await_creation_for=0)
            client.set_terminated(run_id)
        return run.place, client, made


@contextlib.contextmanager
def _as_errors_of_a_mirror() -> Iterator[None]:
    try:
        yield
    except TrackerError as error:
        raise OSError(str(error)) from None


def _tags(provenance: Mapping[str, object]) -> dict[str, str]:
    return {key: str(provenance[key]) for key in ("run", "checkpoint", "git_revision", "seed") if provenance.get(key)}
