"""The exit code of a job is that of its run, also after a signal and without one; what was shown of it is said."""

from __future__ import annotations

import io
from typing import Any

import pytest

from robonav_ray.launch.submit import JobEnd
from robonav_ray.screen import Screen
from robonav_ray.verbs import job_commands
from robonav_ray.verbs.job_commands import exit_code_of, logs_command, stop_command


class Cluster:
    """A cluster with one job, which is still at work at first."""

    url = "http://head:8265"
    end: JobEnd | None = None

    def __init__(self, address: str | None) -> None:
        self.address = address

    def ended(self, job: str) -> JobEnd | None:
        return None

    def log(self, job: str) -> str:
        return "one\ntwo\n"

    def stop(self, job: str, wait_s: float) -> bool:
        return wait_s > 0.0

    def follow(self, job: str, write: Any) -> JobEnd | None:
        write("a line\n")
        return self.end


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setattr(job_commands, "JobCluster", Cluster)
    return Screen(file=io.StringIO(), soft_wrap=True)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (JobEnd("succeeded", 0, ""), 0),
        (JobEnd("failed", 2, ""), 2),
        (JobEnd("failed", -9, ""), 137),
        (JobEnd("succeeded", None, ""), 0),
        (JobEnd("stopped", None, ""), 75),
        (JobEnd("failed", None, ""), 1),
    ],
)
def test_the_exit_code_is_that_of_the_run(end: JobEnd, code: int) -> None:
    assert exit_code_of(end) == code


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (JobEnd("succeeded", 0, ""), 0, "a line\n"),
        (JobEnd("failed", 127, ""), 127, "no `robonav` on their PATH"),
        (JobEnd("stopped", None, ""), 75, "submit it again with `--resume auto`"),
        (JobEnd("failed", None, "no node"), 1, "the job failed: no node"),
        (None, 1, "out of reach for 60 s"),
    ],
)
def test_a_followed_log_ends_with_how_the_job_ended(
    end: JobEnd | None, code: int, said: str, console: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "end", end)
    assert logs_command("nightly", None, follow=True, console=console) == code
    assert said in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_log_and_a_stop(console: Screen) -> None:
    assert logs_command("nightly", None, follow=False, console=console) == 0
    assert stop_command("nightly", None, wait=True, console=console) == 0
    assert stop_command("nightly", None, wait=False, console=console) == 0
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "job nightly has stopped" in said
    assert "job nightly was asked to stop\n  robonav jobs logs nightly --follow" in said
