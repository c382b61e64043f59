"""What a job is told to run, what it is given, and what is refused before anything is sent."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from robonav_ray.config.load import ConfigError
from robonav_ray.launch.packing import PackageError, collect_package
from robonav_ray.launch.submit import Submission, SubmitError
from robonav_ray.nodes.probe import ClusterError, check_dashboard
from robonav_ray.screen import Screen
from robonav_ray.verbs.job_commands import submit_command


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "a b.yaml").write_text("seed: 3\n")
    return tmp_path


def test_the_command_is_relative_to_the_working_directory_and_quoted(project):
    submission = Submission(
        "train",
        project / "configs" / "a b.yaml",
        ["algo.hidden_dims=[32, 32]"],
        ["--resume", "auto"],
        working_dir=project,
    )
    assert submission.entrypoint() == "robonav train 'configs/a b.yaml' 'algo.hidden_dims=[32, 32]' --resume auto"


def test_a_pipeline_keeps_its_folder_where_all_nodes_see_it(project):
    shared = ["output_dir=/mnt/robonav/runs/pipelines"]
    submission = Submission("pipeline run", Path("quick"), shared, ["--time-limit", "8h"], working_dir=project)
    assert submission.entrypoint() == f"robonav pipeline run quick {shared[0]} --time-limit 8h"
    with pytest.raises(SubmitError, match=r"output_dir \(pipelines\): a job's own folder goes with the job"):
        Submission("pipeline run", Path("quick"), [], working_dir=project).entrypoint()
    with pytest.raises(ConfigError, match="seeds"):
        Submission("pipeline run", None, [*shared, "train.seed=[0]"], working_dir=project).entrypoint()


@pytest.mark.parametrize("words", [["--tune"], ["--resume", "auto"]])
def test_a_pipeline_has_its_own_search_and_goes_on_by_itself(robonav_here, words):
    done = robonav_here("submit", "--pipeline", "quick", *words, "--dry-run")
    assert done.returncode == 2
    assert "--pipeline goes with neither --tune nor --resume" in done.stderr


def test_words_for_the_shell_stay_words(project):
    evil = "name=x;touch /tmp/owned"
    with pytest.raises(ConfigError, match="name"):
        Submission("train", None, [evil], working_dir=project).entrypoint()
    words = Submission("train", None, ["output_dir=$(touch owned)"], working_dir=project).entrypoint()
    assert words == "robonav train 'output_dir=$(touch owned)'"


def test_a_config_outside_of_the_working_directory_is_refused(project, tmp_path_factory):
    with pytest.raises(SubmitError, match="outside of --working-dir"):
        Submission(
            "train", project / "configs" / "a b.yaml", [], working_dir=tmp_path_factory.mktemp("other")
        ).entrypoint()


def test_variables_are_handed_on_by_name(project):
    submission = Submission("train", None, [], working_dir=project, env=["KEY", "MODE=fast"])
    assert submission.env_vars({"KEY": "s3cret"}) == {"RAY_JOB_STOP_WAIT_TIME_S": "45", "KEY": "s3cret", "MODE": "fast"}
    assert "s3cret" not in repr(submission) + submission.entrypoint()
    with pytest.raises(SubmitError, match="--env KEY: is not set here"):
        submission.env_vars({})


@pytest.mark.parametrize("given", ["", "=x", "A-B", "1A=2", "RAY_AUTH_TOKEN=x", "PYTHONPATH"])
def test_variables_that_are_none_or_not_ours_to_set_are_refused(project, given):
    with pytest.raises(SubmitError, match="--env"):
        Submission("train", None, [], working_dir=project, env=[given]).env_vars({"PYTHONPATH": "/x"})


def test_a_package_leaves_out_what_gitignore_names_and_says_what_is_large(project):
    (project / ".gitignore").write_text("data/\n")
    (project / "data").mkdir()
    (project / "data" / "large").write_bytes(b"x" * 200_000)
    (project / "video.mp4").write_bytes(b"x" * 50_000)
    assert collect_package(project).num_bytes < 51_000
    (project / "video.mp4").write_bytes(b"x" * 1_100_000)
    with pytest.raises(PackageError, match=r"video.mp4 \(1.1 MB\).*\.gitignore.*--max-mb"):
        collect_package(project, limit_mb=1)
    assert collect_package(project, limit_mb=2).files["video.mp4"].num_bytes == 1_100_000
    with pytest.raises(PackageError, match="is no directory"):
        collect_package(project / "nowhere")


class _Dashboard(BaseHTTPRequestHandler):
    status, body = 401, b"Unauthorized"

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"", "asks for a token"),
        (403, b"", "asks for a token"),
        (404, b"", "is no Ray dashboard"),
        (200, b"<html>", "is no Ray dashboard"),
        (200, b'{"ray_version": "1.0"}', "runs Ray 1.0"),
    ],
)
def test_a_dashboard_that_does_not_let_us_in_is_told_apart(monkeypatch, status, body, says):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(_Dashboard, "status", status)
    monkeypatch.setattr(_Dashboard, "body", body)
    server = HTTPServer(("127.0.0.1", 0), _Dashboard)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(ClusterError, match=f"--address: .*{says}"):
            check_dashboard(f"http://127.0.0.1:{server.server_port}", "--address")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "address", ["head:8265", "ray://head:10001", "http://", "http://user:password@head:8265", "http://127.0.0.1:1"]
)
def test_no_job_without_a_dashboard(project, monkeypatch, address):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ClusterError, match="--address") as caught:
        submit_command(Submission("train", None, [], working_dir=project), address, follow=True, console=Screen())
    assert "password@" not in str(caught.value)
