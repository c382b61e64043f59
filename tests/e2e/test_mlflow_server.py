"""A run tracked at a real MLflow server with a password: one that is killed and comes back, is slow, or answers 500."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image

from robonav_ray.config.load import load_run_config
from robonav_ray.errors import EXIT_RESUME
from robonav_ray.tracking.backend import RunEnding
from robonav_ray.tracking.deliveries import Delivered, TrackersFile
from robonav_ray.tracking.fanout import open_trackers
from robonav_ray.tracking.items import Asset, Kind
from robonav_ray.tracking.jsonl import METRICS_FILE, read_points
from robonav_ray.tracking.mlflow_place import find_place, open_client
from robonav_ray.tracking.run_facts import RunFacts
from tests.mlflow_server import MlflowServer, Proxy, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRAIN = [
    "train", "--local", "env.id=CartPole-v1", "algo.hidden_dims=[16]", "rollout.num_worlds=4",
    "rollout.steps_per_fragment=16", "replay.capacity=2000", "replay.min_size=128", "learner.batch_size=32",
    "tracking.panel=off", "tracking.interval_s=0.5", "tracking.mlflow={}", "evaluation.num_episodes=4",
    "checkpoint.replay=false", "tracking.close_timeout_s=25",
]  # fmt: skip
"""Goes on until a test ends it."""
DOWN_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with serving(tmp_path_factory.mktemp("mlflow")) as started:
        yield started


def start(folder: Path, variables: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | dict(variables)
    command = [sys.executable, "-m", "robonav_ray.cli", *arguments]
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def said(process: subprocess.Popen[str], code: int = 0) -> str:
    out, _ = process.communicate(timeout=600)
    assert process.returncode == code, out
    return out


def stopped(process: subprocess.Popen[str]) -> str:
    """Return what a training that was told to stop has said."""
    process.send_signal(signal.SIGTERM)
    return said(process, EXIT_RESUME)


def bring_rest(out: str, run: Path, variables: Mapping[str, str]) -> None:
    """Bring what a run has said that it left: how much that is hangs on the machine."""
    if "has not been given" in out or "did not end" in out or "has not ended" in out:
        said(start(run.parent, variables, "track", str(run), "--to", "mlflow"))


def delivered(run: Path) -> int:
    """Bytes of the spool that MLflow has been given."""
    return TrackersFile(run).read().get("mlflow", Delivered()).position or 0


def logged(run: Path) -> str:
    return (run / "log.txt").read_text() if (run / "log.txt").exists() else ""


def wait_for(what: Callable[[], bool], timeout_s: float = 120.0) -> None:
    until = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < until
        time.sleep(0.2)


class There:
    """What the server holds of one run."""

    def __init__(self, run: Path, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        from robonav_ray.config.tracking import MlflowTracking

        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        self.path = run
        self.id = json.loads((run / "trackers.json").read_text())["mlflow"]["ids"]["run_id"]
        self.client = open_client(find_place(MlflowTracking(), run.parent))
        self.run = self.client.get_run(self.id)

    def points(self, metric: str) -> list[tuple[int, int]]:
        return sorted((m.step, m.timestamp) for m in self.client.get_metric_history(self.id, metric))

    def files(self, below: str | None = None) -> list[str]:
        names = list[str]()
        for found in self.client.list_artifacts(self.id, below):
            names += self.files(found.path) if found.is_dir else [found.path]
        return sorted(names)

    def check_whole(self) -> None:
        """Every point and file of the spool is there, and none twice."""
        wanted: dict[str, list[tuple[int, int]]] = {}
        files = set[str]()
        for point in read_points(self.path / METRICS_FILE, 0):
            for name in point.metrics:
                wanted.setdefault(name, []).append((point.step, round(point.time * 1000)))
            files |= {item.path.relative_to(self.path).as_posix() for item in point.items if hasattr(item, "path")}
        assert len(wanted) > 10
        for name, points in wanted.items():
            assert self.points(name) == sorted(points), name
        assert files <= set(self.files())
        key = self.run.data.tags["robonav.key"]
        assert len(self.client.search_runs([self.run.info.experiment_id], f"tags.`robonav.key` = '{key}'")) == 1


def lines(run: Path) -> int:
    return len((run / METRICS_FILE).read_bytes().splitlines()) if (run / METRICS_FILE).exists() else 0


def assert_nowhere(secret: str, folder: Path, text: str) -> None:
    assert secret not in text
    for path in folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


class Logged:
    """A run without a training: points every .2 s, a picture and a table now and then, by the trackers of every run."""

    def __init__(self, folder: Path, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        config = load_run_config(
            None, ["tracking.mlflow={}", "tracking.tensorboard=null", "tracking.close_timeout_s=25"]
        )
        self.path, self._step, self.num_points = folder / "run", 0, 0
        self.path.mkdir()
        facts = RunFacts("run", self.path, config.model_dump(mode="json"), {"host": "robot-7"}, "train")
        self.trackers = open_trackers(config.tracking, self.path, facts=facts)

    def log_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._step += 100
            self.num_points += 1
            self.trackers.log({f"learner/figure_{i}": self._step / (i + 3) for i in range(15)}, self._step)
            if self._step % 2500 == 0:
                picture = self.path / f"curves-{self._step}.png"
                Image.new("RGB", (40, 30), (self._step % 255, 0, 0)).save(picture)
                self.trackers.add([Asset(Kind.PICTURE, "curves", picture)], self._step)
            time.sleep(0.2)

    def close(self) -> None:
        wait_for(lambda: delivered(self.path) >= (self.path / METRICS_FILE).stat().st_size)
        self.trackers.ends_as(RunEnding("finished", "", {"env_steps": float(self._step)}))
        self.trackers.close()


def test_points_and_files_of_a_minute_without_a_server_are_there_once(server, tmp_path, monkeypatch, caplog):
    logged = Logged(tmp_path, server.variables, monkeypatch)
    logged.log_for(10)
    wait_for(lambda: delivered(logged.path) > 0)
    server.kill()
    logged.log_for(DOWN_S)
    wait_for(lambda: "mlflow takes nothing now" in caplog.text)
    server.start()
    wait_for(lambda: "mlflow answers again" in caplog.text)
    logged.log_for(10)
    logged.close()
    there = There(logged.path, server.variables, monkeypatch)
    there.check_whole()
    assert there.run.info.status == "FINISHED"
    assert_nowhere(server.password, logged.path, caplog.text)


@pytest.mark.parametrize("fault", ["answers after 5 s", "answers 500"])
def test_points_and_files_are_there_once_when_the_server(server, tmp_path, monkeypatch, caplog, fault):
    proxy = Proxy(server.port)
    logged = Logged(tmp_path, {**server.variables, "MLFLOW_TRACKING_URI": proxy.uri}, monkeypatch)
    try:
        if fault == "answers 500":
            logged.log_for(5)
            proxy.failing = True
            wait_for(lambda: "mlflow takes nothing now" in caplog.text)
            logged.log_for(15)
            proxy.failing = False
            wait_for(lambda: "mlflow answers again" in caplog.text)
        else:
            proxy.delay_s = 5.0
            logged.log_for(60)
            assert logged.num_points > 2 * proxy.num_calls, "nothing waited for it"
        logged.log_for(5)
        proxy.delay_s = 0.0
        logged.close()
        There(logged.path, {**server.variables, "MLFLOW_TRACKING_URI": proxy.uri}, monkeypatch).check_whole()
    finally:
        proxy.close()


def test_a_run_whose_server_is_killed_for_a_minute_has_everything_once(server, tmp_path, monkeypatch):
    run = tmp_path / "run"
    training = start(tmp_path, server.variables, *TRAIN, "--out", str(run))
    wait_for(lambda: lines(run) > 10 and delivered(run) > 0)
    server.kill()
    killed, before = time.monotonic(), lines(run)
    wait_for(lambda: lines(run) > before + 20 and "mlflow takes nothing now" in logged(run))  # the training goes on
    time.sleep(max(0.0, killed + DOWN_S - time.monotonic()))
    missed = (run / METRICS_FILE).stat().st_size
    assert delivered(run) < missed
    server.start()
    wait_for(lambda: delivered(run) >= missed)
    bring_rest(stopped(training), run, server.variables)
    there = There(run, server.variables, monkeypatch)
    there.check_whole()
    assert there.run.info.status == "KILLED"
    env_steps = json.loads((run / "summary.json").read_text())["env_steps"]
    out = said(start(tmp_path, server.variables, *TRAIN[:2], "--resume", str(run),
                     f"budget.max_env_steps={env_steps + 1000}"))  # fmt: skip
    bring_rest(out, run, server.variables)
    resumed = There(run, server.variables, monkeypatch)
    resumed.check_whole()
    assert resumed.id == there.id
    assert resumed.run.info.status == "FINISHED"
    assert {"curves.png", "evaluation.json", "config.yaml"} <= set(resumed.files())
    assert [name for name in resumed.files() if name.endswith("learner.safetensors")]
    assert [name for name in resumed.run.data.metrics if name.startswith("system/")]
    assert resumed.run.data.params["env.id"] == "CartPole-v1"
    assert "mlflow answers again" in logged(run)
    assert there.id in out, "the last lines say where it is looked at"
    assert_nowhere(server.password, tmp_path, out)


def test_a_server_that_answers_after_5_s_delays_nothing_and_has_everything_in_the_end(server, tmp_path, monkeypatch):
    proxy, run = Proxy(server.port), tmp_path / "run"
    proxy.delay_s = 5.0
    variables = {**server.variables, "MLFLOW_TRACKING_URI": proxy.uri}
    try:
        training = start(tmp_path, variables, *TRAIN, "tracking.close_timeout_s=1", "--out", str(run))
        wait_for(lambda: lines(run) > 40)  # with 5 s for each it would take 200 s
        stopped(training)
        sent = said(start(tmp_path, variables, "track", str(run), "--to", "mlflow"))
        assert_nowhere(server.password, tmp_path, sent)
        proxy.delay_s = 0.0
        There(run, variables, monkeypatch).check_whole()
    finally:
        proxy.close()


def test_a_server_that_answers_500_for_a_while_has_everything_once(server, tmp_path, monkeypatch):
    proxy, run = Proxy(server.port), tmp_path / "run"
    name = f"http://admin:{server.password}@{proxy.uri.removeprefix('http://')}"
    variables = {"MLFLOW_TRACKING_URI": name}  # the password is in it
    try:
        training = start(tmp_path, variables, *TRAIN, "--out", str(run))
        wait_for(lambda: lines(run) > 10)
        proxy.failing = True
        wait_for(lambda: "mlflow takes nothing now" in logged(run))
        proxy.failing = False
        wait_for(lambda: "mlflow answers again" in logged(run))
        out = stopped(training)
        bring_rest(out, run, variables)
        There(run, {**server.variables, "MLFLOW_TRACKING_URI": proxy.uri}, monkeypatch).check_whole()
        assert_nowhere(server.password, tmp_path, out)
    finally:
        proxy.close()


def test_a_wrong_password_ends_the_run_before_it_begins_and_names_the_variable(server, tmp_path):
    variables = {**server.variables, "MLFLOW_TRACKING_PASSWORD": "hunter2hunter2"}
    out = said(start(tmp_path, variables, *TRAIN, "--out", str(tmp_path / "run")), 2)
    assert "MLFLOW_TRACKING_PASSWORD" in out
    assert len(out.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert_nowhere("hunter2hunter2", tmp_path, out)


def test_a_run_that_does_not_need_the_server_is_delivered_later_also_when_that_is_broken_off(
    server, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    nowhere = {**server.variables, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    training = start(tmp_path, nowhere, *TRAIN, "tracking.mlflow.required=false", "--out", str(run))
    wait_for(lambda: lines(run) > 10 and "mlflow takes nothing now" in logged(run))
    assert "MLFLOW_TRACKING_URI" in stopped(training)
    proxy = Proxy(server.port)
    variables = {**server.variables, "MLFLOW_TRACKING_URI": proxy.uri}
    try:
        proxy.fails_from = 9
        assert "has not taken all" in said(start(tmp_path, variables, "track", str(run), "--to", "mlflow"), 1)
        proxy.fails_from = None
        first = said(start(tmp_path, variables, "track", str(run), "--to", "mlflow"))
        there = There(run, variables, monkeypatch)
        there.check_whole()
        files, metrics = there.files(), there.client.get_run(there.id).data.metrics
        second = said(start(tmp_path, variables, "track", str(run), "--to", "mlflow", "--json"))
        assert first
        assert json.loads(second[second.index("{") :])["sent"][0]["points"] == 0
        there.check_whole()
        assert (there.files(), there.client.get_run(there.id).data.metrics) == (files, metrics)
    finally:
        proxy.close()
