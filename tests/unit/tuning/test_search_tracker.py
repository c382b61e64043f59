"""A search is the parent of its trials where MLflow is on, and tracks nothing of its own elsewhere."""

from __future__ import annotations

import time

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.config.tracking import MlflowTracking, TrackingConfig
from robonav_ray.runs.run_directory import create_run
from robonav_ray.tracking import fanout
from robonav_ray.tracking.deliveries import TrackersFile
from robonav_ray.tracking.places import Known, places
from robonav_ray.tracking.run_facts import RunFacts
from robonav_ray.tracking.tracked_run import run_facts
from robonav_ray.tuning.experiment import create_experiment
from robonav_ray.tuning.search_records import Records
from robonav_ray.tuning.search_tracker import tracked_search
from tests.unit.tracking.fake_places import Server
from tests.unit.tuning.histories import make_config
from tests.unit.tuning.test_search_records import filled

OPENED: list[RunFacts] = []
SERVERS: list[Server] = []


def open_fake(section, facts, told) -> Server:
    time.sleep(0.1)  # longer than a search takes to look
    told({"run_id": f"run {len(OPENED)}"})
    OPENED.append(facts)
    SERVERS.append(Server())
    return SERVERS[-1]


@pytest.fixture(autouse=True)
def fake_mlflow(monkeypatch):
    OPENED.clear()
    SERVERS.clear()
    monkeypatch.setitem(places.__globals__["BACKENDS"], "mlflow", Known(f"{__name__}:open_fake"))


def test_without_mlflow_a_search_tracks_nothing_of_its_own(tmp_path):
    experiment = create_experiment(make_config(), tmp_path / "search")
    with tracked_search(experiment, TrackingConfig()) as tracker:
        tracker.log(Records(experiment.path).history)
        tracker.end(Records(experiment.path).history, interrupted=False)
    assert not (experiment.path / "metrics.jsonl").exists()


def test_a_search_is_one_run_over_its_sessions_and_its_trials_are_told_of_it(tmp_path):
    experiment = create_experiment(make_config(), tmp_path / "search")
    tracking = TrackingConfig(mlflow=MlflowTracking(), tensorboard=None)
    with tracked_search(experiment, tracking) as tracker:
        assert TrackersFile(experiment.path).read()["mlflow"].ids == {"run_id": "run 0"}, "before a trial begins"
        history = filled(experiment.path).history
        tracker.log(history)
        tracker.end(history, interrupted=True)
    with tracked_search(experiment, tracking) as tracker:
        tracker.end(history, interrupted=False)
    assert [facts.kind for facts in OPENED] == ["search", "search"]
    assert OPENED[1].ids == {"run_id": "run 0"}
    assert OPENED[0].config["space"].keys() == experiment.config.space.keys()
    (point,) = SERVERS[0].points
    assert point.step == 300
    assert point.metrics == {"search/trials": 2, "search/trials_ended": 1, "search/best_objective": 0.9}
    assert SERVERS[1].points == []
    endings = [server.endings[0] for server in SERVERS]
    assert [ending and ending.status for ending in endings] == ["unfinished", "finished"]
    run = create_run(load_run_config(None, ["tracking.mlflow={}"]), experiment.trial("00000"))
    told = run_facts(run, run.config)
    assert (told.kind, told.group, told.parent) == ("trial", "search", experiment.path)
    trial = fanout.open_trackers(tracking, run.path, facts=told)
    trial.close()
    assert OPENED[2].parent_ids == {"run_id": "run 1"}


def test_a_search_that_breaks_is_told_as_failed(tmp_path):
    experiment = create_experiment(make_config(), tmp_path / "search")
    with pytest.raises(ZeroDivisionError), tracked_search(experiment, TrackingConfig(mlflow=MlflowTracking())):
        raise ZeroDivisionError
    (ending,) = SERVERS[0].endings
    assert ending is not None
    assert (ending.status, ending.message) == ("failed", "ZeroDivisionError")
