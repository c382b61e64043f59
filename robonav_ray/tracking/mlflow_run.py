"""One run of ours as a run of MLflow: made once, found again after a resume, with its parameters, tags and parent."""

from __future__ import annotations

import getpass
import json
import logging
import re
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robonav_ray.config.tracking import MlflowTracking
from robonav_ray.errors import UserError
from robonav_ray.files.locations import without_secrets
from robonav_ray.tracking.backend import TrackerError
from robonav_ray.tracking.deliveries import Delivered, TrackersFile
from robonav_ray.tracking.mlflow_place import (
    MlflowRefusedError,
    calling,
    error_code,
    find_place,
    open_client,
    send_taken,
)
from robonav_ray.tracking.run_facts import RunFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)
KEY_TAG = "robonav.key"
"""Tag by which a run is found whose making was not answered in time: none is made twice."""
MAX_VALUE = 5000
"""Characters of a parameter or tag; MLflow takes 6,000 of the one and 8,000 of the other."""
_BATCH = 100
_PARENT = "mlflow.parentRunId"
_NO_NAME = re.compile(r"[^\w\-. :/]")


class MlflowRun:
    """Finds or makes the run when it is first needed, in the thread that calls."""

    def __init__(self, section: MlflowTracking, facts: RunFacts, told: Callable[[Mapping[str, str]], None]) -> None:
        """Nothing is called yet; the key is told at once, so that children know their parent from the first moment.

        Raises:
            UserError: As ``find_place`` does.
        """
        self.place = find_place(section, output_folder(facts))
        self._section, self._facts, self._told = section, facts, told
        ids = dict(facts.ids)
        if ids.get("server", self.place.shown) != self.place.shown:
            logger.warning(
                "mlflow: the run was tracked at %s before, and goes on in another run at %s; "
                "`robonav track` brings all of it there", ids["server"], self.place.shown,
            )  # fmt: skip
            ids = {}
        self._ids = {**ids, "key": ids.get("key") or uuid.uuid4().hex, "server": self.place.shown}
        self._client: MlflowClient | None = None
        self._run: Run | None = None
        self._has_parent = facts.kind != "trial"
        told(self._ids)

    def connect(self, began: float) -> tuple[MlflowClient, str]:
        """Return the client and the id of the run, which begins at ``began`` (seconds since 1970) where it is new.

        Raises:
            TrackerError: When MLflow cannot be asked, or the run was deleted there.
        """
        if self._client is None:
            try:
                self._client = open_client(self.place)
            except UserError as error:  # a run that does not insist on MLflow was begun without its package
                raise TrackerError(str(error)) from None
        try:
            return self._connected(self._client, began)
        except MlflowRefusedError as error:  # of the run: no point is the reason, and all are given again
            raise TrackerError(str(error)) from None

    def check_active(self, client: MlflowClient) -> None:
        """Raise TrackerError when the run was deleted at MLflow: then it refuses everything."""
        with calling(self.place):
            self._refuse_deleted(client.get_run(self._ids["run_id"]))

    def _connected(self, client: MlflowClient, began: float) -> tuple[MlflowClient, str]:
        with calling(self.place):
            if self._run is None:
                experiment = self._experiment(client)
                run = self._find(client, experiment) or self._make(client, experiment, began)
                self._describe(client, run)
                self._run = run
                self.tell(
                    run_id=run.info.run_id, experiment_id=experiment, address=self._address(run.info.run_id, experiment)
                )
            if not self._has_parent:
                self._join_parent(client, self._run)
        return client, self._run.info.run_id

    def tell(self, **ids: str) -> None:
        """Keep more with the run."""
        self._ids |= ids
        self._told(self._ids)

    def told(self, name: str) -> str | None:
        """Return what was kept."""
        return self._ids.get(name)

    def _address(self, run: str, experiment: str) -> str:
        """Return where the run is looked at: its page on a server, or the command that serves the local store."""
        if self.place.is_server:
            return f"{self.place.shown}/#/experiments/{experiment}/runs/{run}"
        return self.place.look_command()

    def _experiment(self, client: MlflowClient) -> str:
        name = self._section.experiment
        found = client.get_experiment_by_name(name)
        if found is None:
            made = error_code(
                lambda: client.create_experiment(name, artifact_location=self.place.artifacts),
                "RESOURCE_ALREADY_EXISTS",
            )
            if made is not None:
                return made
            found = client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise TrackerError(deleted_experiment(name))
        return found.experiment_id

    def _find(self, client: MlflowClient, experiment: str) -> Run | None:
        """Return the run of an earlier session, or of a call whose answer did not arrive."""
        run = None
        if known := self._ids.get("run_id"):
            run = error_code(lambda: client.get_run(known), "RESOURCE_DOES_NOT_EXIST")
        run = run or _by_key(client, experiment, self._ids["key"])
        if run is not None:
            self._refuse_deleted(run)
        return run

    def _refuse_deleted(self, run: Run) -> None:
        if run.info.lifecycle_stage != "active":
            raise TrackerError(f"run {run.info.run_id} was deleted at {self.place.shown}; restore it there")

    def _make(self, client: MlflowClient, experiment: str, began: float) -> Run:
        facts = self._facts
        tags = {
            KEY_TAG: self._ids["key"],
            "robonav.kind": facts.kind,
            "robonav.directory": str(facts.directory),
            "mlflow.user": _user(),
            "mlflow.source.name": facts.tags.get("command", "robonav")[:MAX_VALUE],
            "mlflow.source.type": "LOCAL",
        }
        return client.create_run(experiment, int(began * 1000), tags, facts.name)

    def _describe(self, client: MlflowClient, run: Run) -> None:
        """Log what is new of parameters and tags; a parameter cannot be changed, so what a resume changed is a tag."""
        from mlflow.entities import Param, RunTag

        id_, facts, there = run.info.run_id, self._facts, run.data.params
        tags = {name_at_mlflow(key): value for key, value in facts.tags.items()}
        if facts.group is not None:
            tags["robonav.group"] = facts.group
        if "git_revision" in facts.tags:
            tags["mlflow.source.git.commit"] = facts.tags["git_revision"]
        if facts.kind != "evaluation":
            params = parameters_of(facts.config)
            tags |= {f"changed.{key}"[:250]: v for key, v in params.items() if key in there and there[key] != v}
            new = [Param(key, value) for key, value in params.items() if key not in there]
            self._send("parameter", new, lambda some: client.log_batch(id_, params=some))
        told = [RunTag(key, value[:MAX_VALUE]) for key, value in tags.items() if run.data.tags.get(key) != value]
        self._send("tag", told, lambda some: client.log_batch(id_, tags=some))
        if facts.kind != "evaluation" and run.info.status != "RUNNING":
            client.update_run(id_, "RUNNING")

    def _send(self, what: str, items: Sequence[Any], log: Callable[[Sequence[Any]], object]) -> None:
        """Send parameters or tags, without those that MLflow will never take, which are named."""

        def send(some: Sequence[Any]) -> None:
            with calling(self.place):
                log(some)

        for start in range(0, len(items), _BATCH):
            for item, error in send_taken(items[start : start + _BATCH], send):
                logger.warning("mlflow does not take the %s %s: %s", what, item.key, error)

    def _join_parent(self, client: MlflowClient, run: Run) -> None:
        """Nest a trial below its search, as soon as that has a run."""
        parent = self._facts.parent_ids.get("run_id")
        if parent is None and (key := self._facts.parent_ids.get("key")):
            found = _by_key(client, run.info.experiment_id, key)
            parent = None if found is None else found.info.run_id
        if parent is not None:
            client.set_tag(run.info.run_id, _PARENT, parent)
        self._has_parent = parent is not None or "key" not in self._facts.parent_ids


def forget_other_server(section: MlflowTracking, facts: RunFacts, file: TrackersFile) -> None:
    """Have the whole run delivered anew, where what was delivered of it went to another MLflow than ``section``
    names.
    """
    shown = find_place(section, output_folder(facts)).shown
    known = file.read().get("mlflow")
    if known is not None and known.ids.get("server", shown) != shown:
        file.update(lambda entries: entries.update(mlflow=Delivered()))


def deleted_experiment(name: str) -> str:
    """Return what to do about an experiment that was deleted."""
    return (
        f"tracking.mlflow.experiment: {name!r} was deleted at MLflow; restore it there, or take another name "
        "(tracking.mlflow.experiment=NAME)"
    )


def output_folder(facts: RunFacts) -> Path:
    """Return the folder that the run lies in, or the search that it is a trial of."""
    return (facts.directory if facts.parent is None else facts.parent).absolute().parent


def parameters_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings by dotted key, as MLflow takes them: long values are cut, and say so."""
    return {name_at_mlflow(key)[:250]: _bounded(value) for key, value in _flat(config, "") if key}


def name_at_mlflow(name: str) -> str:
    """Return a name of a metric, parameter or tag as MLflow takes it; where that is another one, with a number that
    keeps two names apart.
    """
    parts = [part for part in _NO_NAME.sub("_", name).split("/") if part not in ("", ".", "..")]
    clean = "/".join(parts)[:240]
    return clean if clean == name else f"{clean or 'name'}-{zlib.crc32(name.encode()):08x}"


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, f"{key}.{number}")
    else:
        yield key, value


def _bounded(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = without_secrets(text) if "://" in text else text
    cut = " ... (cut; config.yaml has it all)"
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - len(cut)] + cut


def _by_key(client: MlflowClient, experiment: str, key: str) -> Run | None:
    from mlflow.entities import ViewType

    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", run_view_type=ViewType.ALL, max_results=1)
    return found[0] if found else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
