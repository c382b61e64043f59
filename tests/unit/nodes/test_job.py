"""A run that is the command of a Ray job keeps nothing in the job's working directory, and says when it cannot end in
order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.nodes.job import current_job, place_output


@pytest.fixture
def in_job(monkeypatch):
    monkeypatch.setenv(
        "RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {}, "metadata": {"job_submission_id": "nightly"}})
    )
    monkeypatch.delenv("RAY_JOB_STOP_WAIT_TIME_S", raising=False)
    monkeypatch.delenv("ROBONAV_STORAGE", raising=False)


def test_outside_of_a_job_nothing_changes(monkeypatch):
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.setenv("ROBONAV_STORAGE", "/mnt/robonav")
    assert current_job() is None
    config = RunConfig()
    assert place_output(config, Path("runs/x")) is config


@pytest.mark.usefixtures("in_job")
def test_a_relative_output_dir_lies_under_the_storage_or_is_refused(monkeypatch):
    config = RunConfig(output_dir="runs")
    with pytest.raises(
        ConfigError, match=r"output_dir: 'runs' lies in the working directory of the Ray job nightly.*ROBONAV_STORAGE"
    ):
        place_output(config)
    monkeypatch.setenv("ROBONAV_STORAGE", "/mnt/robonav")
    assert place_output(config).output_dir == "/mnt/robonav"
    assert place_output(RunConfig(output_dir="mine/a")).output_dir == "/mnt/robonav/mine/a"
    kept = RunConfig(output_dir="/data/runs")
    assert place_output(kept) is kept


@pytest.mark.usefixtures("in_job")
def test_a_relative_out_is_refused_and_an_absolute_one_stands(monkeypatch):
    monkeypatch.setenv("ROBONAV_STORAGE", "/mnt/robonav")
    with pytest.raises(ConfigError, match="--out: 'runs/x'"):
        place_output(RunConfig(), Path("runs/x"))
    config = RunConfig()
    assert place_output(config, Path("/data/x")) is config


@pytest.mark.usefixtures("in_job")
@pytest.mark.parametrize(("wait", "warns"), [(None, True), ("3", True), ("soon", True), ("45", False)])
def test_a_stop_that_is_too_short_is_said(monkeypatch, wait, warns):
    if wait is not None:
        monkeypatch.setenv("RAY_JOB_STOP_WAIT_TIME_S", wait)
    job = current_job()
    assert job is not None
    text = job.warning()
    assert (text is not None) == warns
    if text is not None:
        assert "RAY_JOB_STOP_WAIT_TIME_S=45" in text
