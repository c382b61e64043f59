"""The notebooks run in clean kernels, stop at limits, and go on where they stopped. `make notebooks` runs this."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks.conftest import MakeMachine
from tests.notebooks.machines import REPOSITORY, Machine, Session

pytestmark = [pytest.mark.slow, pytest.mark.notebooks]

TINY: dict[str, Any] = {
    "algo.hidden_dims": [32, 32], "rollout.num_worlds": 8, "rollout.steps_per_fragment": 16, "replay.capacity": 3000,
    "replay.min_size": 300, "learner.batch_size": 32, "learner.batches_per_call": 4, "env.world.lidar.num_beams": 12,
    "curriculum.window": 4, "evaluation.num_episodes": 20, "evaluation.gif_episodes": 0,
    **{f"curriculum.stages.{i}.level.max_steps": steps for i, steps in enumerate((40, 60, 120, 120))},
}  # fmt: skip
"""A run that starts and learns in seconds."""


def finishes_at(env_steps: int) -> dict[str, Any]:
    return TINY | {"budget.time_s": 0, "budget.max_env_steps": env_steps}


JUDGED = {"evaluation.judged_episodes": 4, "evaluation.interval_s": 5}
ENDLESS = TINY | JUDGED | {"budget.time_s": "10h", "budget.give_up_s": "10h"}


def steps_of(run: Path) -> int:
    return json.loads((run / "summary.json").read_text())["env_steps"]


def committed(*places: Path) -> list[Path]:
    return sorted(path for place in places for path in place.glob("**/env-*/manifest.json"))


def test_the_quickstart_runs_and_goes_on(make_machine: MakeMachine) -> None:
    machine = make_machine("here")
    search = {
        "trial.max_env_steps": 3000, "trial.report_env_steps": 1500, "scheduler.grace_env_steps": 1500,
        "run.replay.min_size": 300, "run.rollout.num_worlds": 8, "run.env.world.lidar.num_beams": 12,
        "run.evaluation.num_episodes": 20,
    }  # fmt: skip
    settings = {"train_s": 0, "episodes": 20, "trials": 2, "overrides": finishes_at(4000), "trial_overrides": search}
    first = machine.run("quickstart", settings)
    run = machine.cwd / "runs" / "quickstart"
    assert json.loads((run / "status.json").read_text())["status"] == "finished"
    assert first.shown("four_plots", "image/png")
    assert first.shown("show_film", "image/gif")
    assert "full_challenge" in first.text("rn.evaluate")
    assert "iframe" in first.shown("open_tensorboard", "text/html")[0]
    assert "nothing to resume" in first.text("rn.train")
    again = machine.run("quickstart", settings)
    assert "resuming" in again.text("rn.train")
    assert len(list((machine.cwd / "runs").glob("quickstart*"))) == 2, "one run, one search"
    said(first, again)


class Letters(HTTPServer):
    """Takes what apprise sends to ``json://``, and keeps the subjects."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Taker)
        self.subjects: list[str] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert isinstance(self.server, Letters)
            self.server.subjects.append(json.loads(body)["title"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""


@pytest.fixture
def letters() -> Iterator[Letters]:
    with Letters() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_colab_is_killed_goes_on_stops_at_its_limit_and_finishes(make_machine: MakeMachine, letters: Letters) -> None:
    notify = f"json://127.0.0.1:{letters.server_port}"
    machine = make_machine("colab", COLAB_SECRET_NOTIFY_URL=notify)
    settings = {"checkpoint_minutes": 0.05, "overrides": ENDLESS}
    drive = machine.root / "drive" / "MyDrive" / "robonav_ray" / "runs"

    killed = machine.run(
        "colab_training",
        settings,
        at="train_in_session",
        strike=signal.SIGKILL,
        when=lambda: len(committed(drive)) >= 2,
    )
    assert killed.died
    assert machine.wait_until_empty() == [], "what a killed kernel had started ends"
    (run,) = (path.name for path in drive.iterdir())
    kept = committed(drive)[-1].parent.name

    fresh = new_session(machine, make_machine)
    limit = {"session_hours": 80 / 3600, "stop_minutes_before": 20 / 60}
    stopped = fresh.run("colab_training", settings | limit)
    assert f"Goes on with {run}" in stopped.shown("find_earlier_run", "text/markdown")[0]
    assert "resuming" in stopped.text("train_in_session")
    assert kept in stopped.text("train_in_session"), "from the newest commit, and nothing else is lost"
    assert "stopped because" in stopped.text("train_in_session")
    status = json.loads((drive / run / "status.json").read_text())
    assert (status["status"], status["reason"]) == ("unfinished", "TIME_LIMIT")
    assert committed(drive)[-1].parent.name > kept
    assert stopped.shown("four_plots", "image/png")
    assert stopped.shown("drive_episodes", "image/gif")
    assert "reached all goals" in stopped.shown("drive_episodes", "text/html")[0]
    assert "run all cells" in stopped.shown("training_mail", "text/html")[0]

    last = new_session(fresh, make_machine)
    steps = steps_of(drive / run)
    finished = last.run("colab_training", settings | {"overrides": JUDGED | finishes_at(steps + 2000)})
    assert json.loads((drive / run / "status.json").read_text())["status"] == "finished"
    assert [path.name for path in drive.iterdir()] == [run], "one run all the time"
    assert steps_of(drive / run) >= steps + 2000
    asked = (Path(last.environment["COLAB_ASKED"])).read_text().splitlines()
    assert asked[-4:] == ["drive.mount", "drive.flush_and_unmount", "drive.mount", "files.download driven.gif"]
    assert letters.subjects == [f"robonav_ray: {run} has stopped", f"robonav_ray: {run} has finished"]
    said(killed, stopped, finished)


def new_session(machine: Machine, make_machine: MakeMachine) -> Machine:
    """Return another machine of Colab, which has nothing of the one before but the Drive."""
    fresh = make_machine("colab", COLAB_SECRET_NOTIFY_URL=machine.environment["COLAB_SECRET_NOTIFY_URL"])
    (machine.root / "drive" / "MyDrive").rename(Path(fresh.environment["COLAB_DRIVE"]))
    shutil.rmtree(machine.root)
    return fresh


def test_kaggle_is_interrupted_goes_on_from_its_output_and_stops_at_its_limit(make_machine: MakeMachine) -> None:
    machine = make_machine("kaggle")
    settings = {"checkpoint_minutes": 0.05, "checkpoint_episodes": 30, "local": True, "overrides": ENDLESS}
    runs = machine.cwd / "runs"
    data_set = machine.root / "input" / "robonav-ray"
    shutil.copytree(machine.origin, data_set, ignore=shutil.ignore_patterns(".git"))

    interrupted = machine.run(
        "kaggle_training", settings, at="train_in_session", when=lambda: len(committed(runs)) >= 2,
        change=lambda source: source.replace(f'CODE = "{REPOSITORY}"', f'CODE = "{data_set}"'),
    )  # fmt: skip
    assert not interrupted.died
    (run,) = runs.iterdir()
    assert (
        json.loads((run / "status.json").read_text())
        == {"status": "unfinished", "reason": "SIGNAL"}
        | {"pid": json.loads((run / "status.json").read_text()).get("pid")}
        or json.loads((run / "status.json").read_text())["reason"] == "SIGNAL"
    )
    table = interrupted.text("checkpoint_table")
    assert "latest" in table
    assert "number " in table
    assert interrupted.shown("four_plots", "image/png")
    assert interrupted.shown("drive_episodes", "image/gif")
    lines = (machine.cwd / "submission.csv").read_text().splitlines()
    assert (len(lines), lines[0].split(",")[:2]) == (11, ["episode", "world"])
    written = json.loads((machine.cwd / "metrics.json").read_text())
    assert written["run"]["status"] == "unfinished"
    assert "Save a version now" in interrupted.shown("save_version_reminder", "text/markdown")[0]

    later = make_machine("kaggle")
    version = later.root / "input" / "earlier-version"
    version.parent.mkdir(exist_ok=True)
    machine.cwd.rename(version)
    limit = {"session_hours": 40 / 3600, "stop_minutes_before": 10 / 60}
    stopped = later.run("kaggle_training", settings | limit)
    assert f"Copied from `{version / 'runs' / run.name}`" in stopped.shown("find_earlier_run", "text/markdown")[0]
    assert "resuming" in stopped.text("train_in_session")
    assert "best" in stopped.text("checkpoint_table")
    assert json.loads((later.cwd / "runs" / run.name / "status.json").read_text())["reason"] == "TIME_LIMIT"
    assert steps_of(later.cwd / "runs" / run.name) > steps_of(version / "runs" / run.name)
    said(interrupted, stopped)


def said(*sessions: Session) -> None:
    """Print the seconds of each session, for the record."""
    print(f"\n{time.strftime('%H:%M:%S')} seconds: {', '.join(f'{session.seconds:.0f}' for session in sessions)}")
