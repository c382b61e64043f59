"""The notebooks run in clean kernels, stop at limits, and go on where they stopped. `make notebooks` runs this."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="needs the extra `notebooks`, which `make notebooks` installs")
pytest.importorskip("ipykernel", reason="needs the extra `notebooks`, which `make notebooks` installs")

from tests.notebooks.machines import FAKES, KERNELS, REPOSITORY, Machine, Session, make_origin, make_python

pytestmark = [pytest.mark.slow, pytest.mark.notebooks, pytest.mark.timeout(1800)]
MakeMachine = Callable[..., Machine]


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture
def make_machine(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeMachine]:
    """Makes machines of a platform (``colab``, ``kaggle``, ``here``); what they started must end with the test."""
    base = Path(tempfile.mkdtemp(prefix="rn-nb-"))  # short: Ray's sockets lie below
    python = make_python(base / "python")
    kernel = base / "jupyter" / "kernels" / "clean" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "clean", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(base / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    KERNELS.mkdir(parents=True, exist_ok=True)
    machines: list[Machine] = []

    def make(platform: str, **more: str) -> Machine:
        root = base / str(len(machines)) / platform
        cwd = root / "working" if platform == "kaggle" else root
        cwd.mkdir(parents=True)
        environment = {
            "colab": {
                "PYTHONPATH": str(FAKES),
                "COLAB_ASKED": str(base / "asked"),
                "COLAB_DRIVE": str(base / "drive"),
            },
            "kaggle": {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"},
            "here": {},
        }[platform]
        machines.append(Machine(python, root, cwd, origin, environment | more))
        return machines[-1]

    (base / "drive").mkdir()
    (base / "asked").touch()
    yield make
    left = [command for machine in machines for command in machine.wait_until_empty()]
    shutil.rmtree(base)
    assert left == [], "left behind by a kernel"


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


def test_the_quickstart_is_killed_goes_on_and_runs_again(make_machine: MakeMachine) -> None:
    machine = make_machine("here")
    search = {
        "trial.max_env_steps": 3000, "trial.report_env_steps": 1500, "scheduler.grace_env_steps": 1500,
        "run.replay.min_size": 300, "run.rollout.num_worlds": 8, "run.env.world.lidar.num_beams": 12,
        "run.evaluation.num_episodes": 20,
    }  # fmt: skip
    settings = {"train_s": 0, "episodes": 20, "trials": 2, "trial_overrides": search}
    run = machine.cwd / "runs" / "quickstart"
    killed = machine.run(
        "quickstart", settings | {"overrides": ENDLESS | {"checkpoint.interval_s": 3}},
        at="rn.train", strike=signal.SIGKILL, when=lambda: bool(committed(run)),
    )  # fmt: skip
    assert killed.died
    assert machine.wait_until_empty() == [], "what Ray had started for a killed kernel ends"
    steps = int(committed(run)[-1].parent.name.split("-")[1]) + 1000
    settings["overrides"] = JUDGED | finishes_at(steps)
    first = machine.run("quickstart", settings)
    assert "resuming" in first.text("rn.train")
    assert json.loads((run / "status.json").read_text())["status"] == "finished"
    assert first.shown("four_plots", "image/png")
    assert first.shown("show_film", "image/gif")
    assert "full_challenge" in first.text("rn.evaluate")
    assert "iframe" in first.shown("open_tensorboard", "text/html")[0]
    again = machine.run("quickstart", settings)
    assert "resuming" in again.text("rn.train")
    assert again.text("search.trials()") == first.text("search.trials()"), "no trial is done again"
    assert len(list((machine.cwd / "runs").glob("quickstart*"))) == 2, "one run, one search"
    said(killed, first, again)


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


def test_colab_is_killed_and_goes_on_in_another_session(make_machine: MakeMachine, letters: Letters) -> None:
    notify = f"json://127.0.0.1:{letters.server_port}"
    machine, settings = make_machine("colab"), {"checkpoint_minutes": 0.05}
    drive = machine.root / "drive" / "MyDrive" / "robonav_ray" / "runs"
    killed = machine.run(
        "colab_training", settings | {"overrides": ENDLESS},
        at="train_in_session", strike=signal.SIGKILL, when=lambda: len(committed(drive)) >= 2,
    )  # fmt: skip
    assert killed.died
    assert machine.wait_until_empty() == [], "what a killed kernel had started ends"
    (run,) = (path.name for path in drive.iterdir())
    newest = committed(drive)[-1].parent.name

    fresh = make_machine("colab", COLAB_SECRET_NOTIFY_URL=notify)
    stored = Path(fresh.environment["COLAB_DRIVE"])
    (machine.root / "drive" / "MyDrive").rename(stored)
    shutil.rmtree(machine.root)
    steps = int(newest.split("-")[1]) + 1000
    finished = fresh.run("colab_training", settings | {"overrides": JUDGED | finishes_at(steps)})
    assert f"Goes on with {run}" in finished.shown("find_earlier_run", "text/markdown")[0]
    assert f"({newest})" in finished.text("train_in_session"), "from the newest commit: nothing else is lost"
    kept = stored / "robonav_ray" / "runs"
    assert [path.name for path in kept.iterdir()] == [run], "one run all the time"
    assert json.loads((kept / run / "status.json").read_text())["status"] == "finished"
    assert steps_of(kept / run) >= steps
    assert finished.shown("four_plots", "image/png")
    assert finished.shown("drive_episodes", "image/gif")
    assert "reached all goals" in finished.shown("drive_episodes", "text/html")[0]
    assert f"robonav_ray: {run} has finished" in finished.shown("training_mail", "text/html")[0]
    assert letters.subjects == [f"robonav_ray: {run} has finished"]
    asked = Path(fresh.environment["COLAB_ASKED"]).read_text().splitlines()
    assert asked == ["drive.mount", "drive.mount", "files.download driven.gif", "drive.flush_and_unmount"]
    said(killed, finished)


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
