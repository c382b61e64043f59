"""A run at MLflow, in the local store that needs no server: what stands there, once, however often it is given."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from robonav_ray.config.tracking import MlflowTracking
from robonav_ray.errors import UserError
from robonav_ray.tracking.backend import Backend, Point, RefusedPointsError, RunEnding, TrackerError
from robonav_ray.tracking.items import Asset, Kind
from robonav_ray.tracking.mlflow_backend import MlflowBackend, check_mlflow, open_mlflow
from robonav_ray.tracking.mlflow_place import STORE, find_place, open_client
from robonav_ray.tracking.mlflow_run import MAX_VALUE, MlflowRun, name_at_mlflow, parameters_of
from robonav_ray.tracking.run_facts import RunFacts
from tests.made_up_runs import TINY, make_run

needs_client = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="MLFLOW IS NOT TESTED: pip install 'robonav_ray[mlflow]'"
)
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # of MLflow's store, by SQLAlchemy 2.1
SECTION = MlflowTracking(system_metrics=False)
T0 = 1_700_000_000.123


@pytest.fixture(autouse=True)
def no_mlflow_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URI", "USERNAME", "PASSWORD", "PASSWORD_FILE"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder whose store the tests share: making one takes a second."""
    return tmp_path_factory.mktemp("runs")


class Opened(SimpleNamespace):
    backend: MlflowBackend
    ids: dict[str, str]
    client: Any

    @property
    def run(self) -> Any:
        return self.client.get_run(self.ids["run_id"])

    def points(self, metric: str) -> list[tuple[int, int, float]]:
        found = self.client.get_metric_history(self.ids["run_id"], metric)
        return sorted((m.step, m.timestamp, m.value) for m in found)

    def files(self, below: str | None = None) -> list[str]:
        names = list[str]()
        for found in self.client.list_artifacts(self.ids["run_id"], below):
            names += self.files(found.path) if found.is_dir else [found.path]
        return sorted(names)


def opened(directory: Path, section: MlflowTracking = SECTION, **facts: Any) -> Opened:
    ids: dict[str, str] = dict(facts.pop("ids", {}))
    directory.mkdir(exist_ok=True)
    told = RunFacts(directory.name, directory, ids=ids, **{"kind": "train", **facts})
    backend = open_mlflow(section, told, ids.update)
    return Opened(backend=backend, ids=ids, client=open_client(find_place(section, directory.parent)))


def numbered(steps: range, **metrics: float) -> list[Point]:
    return [Point({"learner/loss": step / 7, **metrics}, step, T0 + step) for step in steps]


@needs_client
def test_a_run_has_its_points_parameters_tags_and_stands_once_however_often_it_is_given(output):
    facts = {
        "config": {"learner": {"lr": 0.001, "dims": [8, 8]}, "stages": [{"name": "empty"}], "long": "x" * 9000},
        "tags": {"git_revision": "0123abc", "host": "robot-7"},
    }
    one = opened(output / "twice", **facts)
    assert isinstance(one.backend, Backend)
    points = numbered(range(1, 501), **{"rollout/nan": math.inf})
    one.backend.write(points)
    again = opened(output / "twice", ids=one.ids, **facts)
    again.backend.write(points)
    again.backend.close(RunEnding("finished", "time is up", {"env_steps": 500.0}))
    again.backend.close(RunEnding("finished", "time is up", {"env_steps": 500.0}))
    assert again.ids == one.ids
    assert one.points("learner/loss") == [(s, round((T0 + s) * 1000), s / 7) for s in range(1, 501)]
    assert len(one.points("rollout/nan")) == 500
    assert one.points("summary/env_steps") == [(500, round((T0 + 500) * 1000), 500.0)]
    run = one.run
    assert run.info.run_name == "twice"
    assert run.info.status == "FINISHED"
    assert run.info.start_time == round((T0 + 1) * 1000)
    assert run.data.params["learner.lr"] == "0.001"
    assert run.data.params["learner.dims"] == "[8, 8]"
    assert run.data.params["stages.0.name"] == "empty"
    assert len(run.data.params["long"]) == MAX_VALUE
    assert run.data.tags["mlflow.source.git.commit"] == "0123abc"
    assert run.data.tags["host"] == "robot-7"
    assert len(one.client.search_runs([run.info.experiment_id], f"tags.`robonav.key` = '{one.ids['key']}'")) == 1
    assert (output / STORE).is_file()
    assert not (Path.cwd() / "mlruns").exists()


@needs_client
@pytest.mark.parametrize("status", [413, 400])
def test_what_mlflow_will_never_take_is_left_out_and_all_else_is_there(output, monkeypatch, caplog, status):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    real = MlflowClient.log_batch

    def picky(self, run_id, metrics=(), params=(), tags=(), **more):
        if any(m.key == "bad" for m in metrics) or any(p.key == "env.secret" for p in params):
            raise MlflowException(f"API request to endpoint /api failed with error code {status} != 200. Response: no")
        real(self, run_id, metrics, params, tags, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", picky)
    one = opened(output / f"picky-{status}", config={"env": {"id": "a", "secret": "b"}, "seed": 3})
    points = [*numbered(range(1, 20)), Point({"bad": 1.0, "good": 2.0}, 20, T0 + 20), *numbered(range(21, 30), bad=0.0)]
    with pytest.raises(RefusedPointsError, match=f"answers with status {status}") as refused:
        one.backend.write(points)
    assert refused.value.count == 10
    assert "mlflow does not take the parameter env.secret" in caplog.text
    assert one.run.data.params == {"env.id": "a", "seed": "3"}
    assert [step for step, _, _ in one.points("learner/loss")] == [*range(1, 20), *range(21, 30)]
    assert one.points("good") == [(20, round((T0 + 20) * 1000), 2.0)]
    assert one.points("bad") == []
    one.backend.write(numbered(range(40, 42)))  # the next points go on
    assert one.points("learner/loss")[-1][0] == 41


@needs_client
def test_a_local_store_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    """Killed between its tables."""
    from mlflow.store.db import utils

    place = find_place(SECTION, tmp_path)
    monkeypatch.setattr(utils, "_initialize_tables", utils.InitialBase.metadata.create_all)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(TrackerError, match="killed"):
        open_client(place)
    assert [path.name for path in tmp_path.iterdir()] == [f".{STORE}.lock"]


@needs_client
@pytest.mark.slow
def test_two_make_one_local_store_at_once(tmp_path):
    place = find_place(SECTION, tmp_path)
    with ThreadPoolExecutor(2) as pool:
        clients = list(pool.map(open_client, [place, place]))
    for number, client in enumerate(clients):
        client.create_experiment(f"of {number}")
    assert {one.name for one in clients[0].search_experiments()} >= {"of 0", "of 1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".{STORE}.lock", STORE]


@needs_client
def test_a_run_that_was_deleted_refuses_no_point_for_good(output):
    one = opened(output / "deleted")
    one.backend.write(numbered(range(1, 3)))
    one.client.delete_run(one.ids["run_id"])
    with pytest.raises(TrackerError, match="was deleted at") as error:
        one.backend.write(numbered(range(3, 5)))
    assert not isinstance(error.value, RefusedPointsError)


@needs_client
def test_files_lie_where_they_lie_in_the_run_and_pictures_are_in_the_chart(output):
    one = opened(output / "files")
    directory = output / "files"
    (directory / "evaluations").mkdir()
    Image.new("RGB", (600, 400)).save(directory / "curves.png")
    (directory / "evaluations" / "evaluation.json").write_text("{}")
    (directory / "torn.png").write_text("no picture")
    items = (
        Asset(Kind.PICTURE, "curves", directory / "curves.png"),
        Asset(Kind.FILE, "evaluations/evaluation.json", directory / "evaluations" / "evaluation.json"),
        Asset(Kind.FILE, "gone", directory / "gone.txt"),
        Asset(Kind.PICTURE, "torn", directory / "torn.png"),
    )
    for _ in range(2):
        one.backend.write([Point({}, 7, T0, items)])
    names = one.files()
    assert [name for name in names if not name.startswith("images/")] == [
        "curves.png", "evaluations/evaluation.json", "torn.png"
    ]  # fmt: skip
    assert sorted(name.rpartition(".")[2] for name in names if name.startswith("images/curves+step+7+")) == [
        "png", "webp"
    ]  # fmt: skip
    assert len(names) == 5
    assert one.run.data.tags["mlflow.loggedImages"] == "True"


@needs_client
def test_the_policy_is_uploaded_registered_once_and_is_a_run_again(output, monkeypatch):
    run = make_run(output / "trained")
    section = MlflowTracking(system_metrics=False, registered_model="nav")
    one = opened(run.path, section)
    one.backend.write(numbered(range(1, 3)))
    for _ in range(2):
        one.backend.close(RunEnding("finished", "", {}))
    again = opened(run.path, section, ids={k: v for k, v in one.ids.items() if k != "checkpoint"})
    again.backend.close(RunEnding("finished", "", {}))  # as after an upload that was broken off
    names = one.files()
    assert "checkpoints/env-000000000200/learner/learner.safetensors" in names
    assert not [name for name in names if "replay" in name]
    (version,) = one.client.search_model_versions("name = 'nav'")
    assert version.tags["robonav.checkpoint"] == "env-000000000200"
    assert version.run_id == one.ids["run_id"]
    from robonav_ray.runs.located import find_policy

    fetched = one.client.download_artifacts(one.ids["run_id"], "")
    assert find_policy(Path(fetched))[1].counters.env_steps == 200
    from robonav_ray.runs.listing import run_folders

    assert output / "trained" in set(run_folders(output))
    assert len([path for path in run_folders(output) if (path / "checkpoints").is_dir()]) == 1, "artifacts are no runs"


@needs_client
def test_a_trial_is_nested_below_its_search_also_when_that_comes_later(output):
    search = opened(output / "search", kind="search")
    trial = opened(
        output / "trial", kind="trial", group="search", parent_ids=dict(search.ids), parent=output / "search"
    )
    trial.backend.write(numbered(range(1, 3)))
    assert "mlflow.parentRunId" not in trial.run.data.tags
    search.backend.write(numbered(range(1, 3)))
    trial.backend.write(numbered(range(3, 5)))
    assert trial.run.data.tags["mlflow.parentRunId"] == search.ids["run_id"]


@needs_client
def test_a_resumed_run_goes_on_in_its_run_and_tells_what_was_changed(output):
    one = opened(output / "resumed", config={"learner": {"lr": 0.001}})
    one.backend.write(numbered(range(1, 3)))
    one.backend.close(RunEnding("unfinished", "SIGTERM", {}))
    assert one.run.info.status == "KILLED"
    two = opened(output / "resumed", ids=one.ids, config={"learner": {"lr": 0.002, "new": 1}})
    two.backend.write(numbered(range(3, 5)))
    run = two.run
    assert run.info.run_id == one.ids["run_id"]
    assert run.info.status == "RUNNING"
    assert run.data.params == {"learner.lr": "0.001", "learner.new": "1"}
    assert run.data.tags["changed.learner.lr"] == "0.002"
    assert len(two.points("learner/loss")) == 4


@needs_client
def test_an_answer_that_was_lost_makes_no_second_run(output, monkeypatch):
    one = opened(output / "lost")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    make = MlflowClient.create_run

    def lose(*args: Any, **given: Any) -> Any:
        make(*args, **given)
        raise MlflowException("timed out")

    monkeypatch.setattr(MlflowClient, "create_run", lose)
    with pytest.raises(TrackerError, match="timed out"):
        one.backend.write(numbered(range(1, 3)))
    one.backend.write(numbered(range(1, 3)))
    assert len(one.client.search_runs([one.run.info.experiment_id], f"tags.`robonav.key` = '{one.ids['key']}'")) == 1


@needs_client
def test_what_the_machine_does_goes_out_with_the_step_of_then(output):
    class Made:
        def __init__(self) -> None:
            self.samples = [(T0 + 1.5, {"system/cpu_utilization_percentage": 40.0}), (T0 + 9, {"system/x": 1.0})]

        def take(self) -> list[tuple[float, Mapping[str, float]]]:
            taken, self.samples = self.samples, []
            return taken

        def close(self) -> None:
            pass

    one = opened(output / "system")
    backend = MlflowBackend(SECTION, RunFacts("system", output / "system", ids=one.ids), one.ids.update, Made())  # type: ignore[arg-type]
    backend.write(numbered(range(1, 3)))
    assert one.points("system/cpu_utilization_percentage") == [(1, round((T0 + 1.5) * 1000), 40.0)]
    assert one.points("system/x") == [(2, round((T0 + 9) * 1000), 1.0)]


@needs_client
def test_a_finished_run_is_brought_to_mlflow_afterwards_and_twice_changes_nothing(output, robonav_here):
    run = make_run(output / "before")  # as runs were before they were tracked
    Image.new("RGB", (60, 40)).save(run.path / "curves.png")
    first = robonav_here("track", run.path, "--to", "mlflow", "tracking.mlflow.experiment=before", "--json")
    assert first.returncode == 0, first.stderr
    (sent,) = json.loads(first.stdout)["sent"]
    assert (sent["points"], sent["files"]) == (3, 1)
    assert "mlflow ui" in sent["address"]
    client = open_client(find_place(SECTION, output))
    run_id = json.loads((run.path / "trackers.json").read_text())["mlflow"]["ids"]["run_id"]

    def there() -> object:
        found = client.get_run(run_id)
        files = sorted(path.name for path in Path(client.download_artifacts(run_id, "")).rglob("*"))
        history = [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run_id, "learner/q_mean")]
        return found.data.metrics, found.data.tags, found.data.params, found.info.status, files, history

    before = there()
    again = robonav_here("track", run.path, "--to", "mlflow", "tracking.mlflow.experiment=before")
    assert again.returncode == 0, again.stderr
    assert "0 points and 0 files" in again.stdout
    assert there() == before
    assert client.get_run(run_id).info.status == "FINISHED"
    assert "curves.png" in str(before)
    assert len(client.get_metric_history(run_id, "learner/q_mean")) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "comet"], ["comet", "mlflow, wandb"]),
        ([], ["--to mlflow"]),
        (["--to", "mlflow", "seed=2"], ["seed=2", "tracking.*"]),
        (["--to", "mlflow", "tracking.mlflow.tracking_uri=http://me:hunter2@host"], ["MLFLOW_TRACKING_PASSWORD"]),
    ],
)
def test_what_cannot_be_brought_is_refused(tmp_path, robonav_here, arguments, words):
    run = make_run(tmp_path / "run", steps=())
    done = robonav_here("track", run.path, *arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert "hunter2" not in done.stderr


@needs_client
def test_the_registry_is_mirrored_and_a_deployment_is_recorded(output):
    from robonav_ray.registry.registry import Registry
    from robonav_ray.tracking.mlflow_registry import open_mirror

    run = make_run(output / "mirrored", (*TINY, f"output_dir={output}", "tracking.mlflow={}"))
    models = Registry(output / "models", mirrors=lambda version: [open_mirror(SECTION, version)])
    first = models.add(run.path, "robot_nav")
    models.promote("robot_nav", first.number, reason="the first")
    client = open_client(find_place(SECTION, output))
    (there,) = client.search_model_versions("name = 'robot_nav'")
    assert client.get_model_version_by_alias("robot_nav", "champion").version == there.version
    assert there.tags["robonav.content_id"] == first.content_id
    assert json.loads(client.get_model_version("robot_nav", there.version).tags["deployment.champion"])["reason"] == (
        "the first"
    )
    (entry,) = [key for key in client.get_registered_model("robot_nav").tags if key.startswith("deployment.")]
    assert entry == "deployment.000002"
    fetched = Path(client.download_artifacts(there.run_id, "model"))
    assert (fetched / "weights.safetensors").read_bytes() == first.read_weights()
    mirror = open_mirror(SECTION, first)
    mirror.version_added(first)
    mirror.alias_moved("robot_nav", "champion", first, models.journal("robot_nav")[-1])
    assert len(client.search_model_versions("name = 'robot_nav'")) == 1


def test_names_that_mlflow_does_not_take_are_kept_apart():
    assert name_at_mlflow("learner/td_error_mean") == "learner/td_error_mean"
    names = {name_at_mlflow(name) for name in ("own/a=b", "own/a*b", "own//a_b", "/", "..", "ä" * 300)}
    assert len(names) == 6
    assert all(len(name) <= 250 and not name.startswith("/") for name in names)


def test_the_parameters_hold_no_password_of_a_uri():
    flat = parameters_of({"a": {"uri": "http://me:hunter2@host/x"}, "b": None, "c": [], "d": {}})
    assert "hunter2" not in str(flat)
    assert flat["b"] == "null"
    assert flat["c"] == "[]"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:hunter2@host:5000/", "http://host:5000"),
        ("https://host/mlflow", "https://host/mlflow"),
        ("postgresql://me:hunter2@db/mlflow", "postgresql://...@db/mlflow"),
    ],
)
def test_a_password_in_the_uri_is_taken_out(tmp_path, monkeypatch, uri, shown):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    place = find_place(MlflowTracking(), tmp_path)
    assert place.shown == shown
    assert "hunter2" not in repr(place)
    if place.is_server and "@" in uri:
        import os

        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "hunter2"


@pytest.mark.parametrize("uri", ["http://me:a/b@host", "http://", "http://host:port", "./mlruns", "file:///tmp/mlruns"])
def test_a_uri_that_is_none_is_refused_by_the_name_of_its_variable(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI") as refused:
        find_place(MlflowTracking(), tmp_path)
    assert "a/b" not in str(refused.value)


def test_without_a_name_the_store_is_in_the_output_folder(tmp_path):
    place = find_place(MlflowTracking(), tmp_path)
    assert place.shown == f"sqlite:///{tmp_path}/mlflow.db"
    assert "uvx --from mlflow==" in place.look_command()
    facts = RunFacts("00001", tmp_path / "search" / "trials" / "00001", kind="trial", parent=tmp_path / "search")
    assert MlflowRun(MlflowTracking(), facts, lambda ids: None).place == place


@needs_client
def test_a_server_that_does_not_answer_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI: http://127.0.0.1:9.*required=false") as refused:
        check_mlflow(MlflowTracking())
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UserError, match="registered_model"):
        check_mlflow(MlflowTracking(registered_model="a/b"))
    with pytest.raises(UserError, match="both kinds of quotes"):
        check_mlflow(MlflowTracking(registered_model="""a'b"c"""))


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(UserError, match=r"robonav_ray\[mlflow\]"):
        check_mlflow(MlflowTracking(tracking_uri=f"sqlite:///{tmp_path}/x.db"))
