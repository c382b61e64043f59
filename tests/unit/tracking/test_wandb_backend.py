"""W&B as a backend: what stands in its files offline, what a server is sent online, what a second session adds, and
that nothing else is collected.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robonav_ray.config.tracking import WandbTracking
from robonav_ray.tracking.backend import Point, RefusedPointsError, RunEnding, TrackerError
from robonav_ray.tracking.items import Asset, Histogram, Item, Kind
from robonav_ray.tracking.run_facts import RunFacts
from robonav_ray.tracking.wandb import wandb_run
from robonav_ray.tracking.wandb.access import Access
from robonav_ray.tracking.wandb.data_types import as_logged
from robonav_ray.tracking.wandb.wandb_run import WandbBackend, open_wandb
from tests.unit.tracking.wandb_file import read_offline
from tests.unit.tracking.wandb_server import KEY, fake_wandb

pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
SECRET_WORD = "--hidden-argument"


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(variable, "x")  # so that what a test sets is taken back
        monkeypatch.delenv(variable)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class Session:
    """One session of a run in ``directory``, as the feed holds one: it keeps the ids."""

    def __init__(self, directory: Path, ids: dict[str, str], **section: Any) -> None:
        directory.mkdir(exist_ok=True)
        facts = RunFacts(
            "run-7", directory, {"learner": {"learning_rate": 0.1}}, {"host": "here", "command": SECRET_WORD}, "trial",
            "my-search", ids=dict(ids), parent_ids={"sweep": "sweep123"},
        )  # fmt: skip
        self.ids = ids
        self.backend: WandbBackend = open_wandb(WandbTracking(**section), facts, ids.update)


def assets(directory: Path) -> tuple[Item, ...]:
    """One of every kind that is taken."""
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 99)]
    frames[0].save(directory / "curves.png")
    frames[0].save(directory / "episode.gif", save_all=True, append_images=frames[1:])
    (directory / "episodes.csv").write_text("episode,outcome,steps\n1,success,30\n2,collision,\n")
    (directory / "weights.safetensors").write_bytes(b"weights")
    np.savez(directory / "vectors.npz", vector=np.eye(3, dtype=np.float32), label=np.array(["a", "b", "c"]))
    return (
        Histogram("learner/weights", np.linspace(0.0, 1.0, 1025), np.ones(1024)),
        Asset(Kind.PICTURE, "evaluation/curves", directory / "curves.png"),
        Asset(Kind.FILM, "evaluation/episode", directory / "episode.gif"),
        Asset(Kind.TABLE, "evaluation/episodes", directory / "episodes.csv"),
        Asset(Kind.EMBEDDING, "policy/embedding", directory / "vectors.npz"),
        Asset(Kind.FILE, "model", directory / "weights.safetensors", {"type": "model", "aliases": "best"}),
        Asset(Kind.PICTURE, "evaluation/gone", directory / "gone.png"),
    )


def child_processes() -> set[str]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


def test_offline_files_hold_all_of_two_sessions_once_and_nothing_else(tmp_path, monkeypatch, caplog):
    """Also: no server is asked, no key and no command line is written, and no process and no hook is left."""
    run, ids = tmp_path / "run", dict[str, str]()
    run.mkdir()
    before, hooks = child_processes(), (sys.exit, sys.excepthook)
    with fake_wandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        first = Session(run, ids, mode="offline")
        points = [
            Point({"learner/loss": 1.0}, 100, 1000.25),
            Point({"learner/loss": 0.5, "task/success_frac": float("nan")}, 200, 1002.25, assets(run)),
        ]
        first.backend.write(points)
        first.backend.close(RunEnding("unfinished", "SIGTERM", {"task/best": 0.25}))
        second = Session(run, ids, mode="offline")
        broken = Point({"learner/loss": 0.25}, 300, 1010.0, (Histogram.of("h", [1.0]),))
        monkeypatch.setattr(wandb_run, "log_file", _fails_once(wandb_run.log_file))
        again = [broken, Point({}, 300, 1010.5, (Asset(Kind.FILE, "report", run / "curves.png"),))]
        with pytest.raises(TrackerError, match="takes nothing now"):
            second.backend.write(again)
        second.backend.write(again)
        second.backend.write([Point({"learner/loss": 0.125}, 300, 1011.0)])
        second.backend.close(RunEnding("failed", "a part was lost", {"task/best": 0.75}))
        Session(run, ids, mode="offline").backend.close(RunEnding("failed", "a part was lost", {"task/best": 0.75}))
        assert not server.asked
        assert not server.unknown
    assert child_processes() <= before, "wandb's process has ended"
    assert (sys.exit, sys.excepthook) == hooks
    assert "WANDB_SERVICE" not in os.environ

    found = read_offline(run)
    assert found.ids == {ids["run"]}
    assert found.group == "my-search"
    assert found.config["learner"] == {"learning_rate": 0.1}
    assert found.config["facts"] == {"host": "here"}
    rows = [(row["_step"], row["env_step"], row["learner/loss"], row["_timestamp"]) for row in found.rows]
    assert rows == [
        (100, 100, 1.0, 1000.25),
        (200, 200, 0.5, 1002.25),
        (300, 300, 0.25, 1010.0),
        (301, 300, 0.125, 1011.0),
    ]
    assert sum(found.rows[1]["learner/weights/values"]) == 1024
    assert len(found.rows[1]["learner/weights/values"]) == 512
    assert ("*", "env_step") in found.metrics
    film = found.rows[1]["evaluation/episode/path"]
    assert film in found.files
    assert next(run.glob(f"wandb/*/files/{film}")).read_bytes() == (run / "episode.gif").read_bytes()
    assert found.rows[1]["evaluation/episodes/nrows"] == 2
    assert (f"{ids['run']}-model", "model", ["best", "latest"], ["weights.safetensors"]) in found.artifacts
    assert found.summary["status"] == "failed"
    assert found.summary["task/best"] == 0.75
    assert found.alerts == [("run-7 failed", "a part was lost")]
    assert found.exit_codes == [0, 1]
    assert "W&B is not given evaluation/gone" in caplog.text
    texts = [caplog.text.encode(), *(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())]
    assert not any(word.encode() in text for word in (KEY, SECRET_WORD) for text in texts)


@pytest.mark.slow
def test_online_a_server_has_every_row_once_also_after_a_resume(tmp_path, monkeypatch, caplog, capfd):
    run, ids = tmp_path / "run", dict[str, str]()
    with fake_wandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        for steps in ((100, 200), (300, 300, 400)):
            session = Session(run, ids)
            for i, step in enumerate(steps):
                session.backend.write([Point({"learner/loss": float(step)}, step, 1000.0 + step + i)])
            session.backend.close(RunEnding("finished", "", {"task/best": 0.5}))
        rows = list(server.rows[ids["run"]].values())
        assert [row["env_step"] for row in rows] == [100, 200, 300, 300, 400]
        assert [row["_step"] for row in rows] == [100, 200, 300, 301, 400]
        assert server.summaries[ids["run"]]["status"] == "finished"
        assert server.ended == {ids["run"]: 0}
        begun = [variables for operation, variables in server.asked if operation == "UpsertBucket"]
        assert {variables["name"] for variables in begun} == {ids["run"]}
        assert "my-search" in {variables.get("groupName") for variables in begun}
        assert "sweep123" in {variables.get("sweep") for variables in begun}
        assert "online at" in session.backend.describe()
    told = capfd.readouterr()
    assert told.out == "", "wandb prints nothing"
    texts = [caplog.text.encode(), *(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())]
    assert not any(KEY.encode() in text for text in (*texts, told.err.encode()))


def test_a_row_that_wandb_will_never_take_is_given_up_and_the_others_are_logged(tmp_path: Path) -> None:
    rows = list[dict[str, Any]]()

    def log(row: dict[str, Any], **_: Any) -> None:
        if "bad" in row:
            raise TypeError("Object of type set is not JSON serializable")
        rows.append(row)

    facts, told = RunFacts("run", tmp_path), list[Any]()
    backend = WandbBackend(WandbTracking(), facts, Access("offline", "", ""), {"run": "a", "project": "p"}, told.append)
    backend._run = SimpleNamespace(log=log)
    points = [Point({"a" if step != 2 else "bad": 1.0}, step, 1e9 + step) for step in (1, 2, 3)]
    with pytest.raises(RefusedPointsError, match="not JSON serializable") as refused:
        backend.write(points)
    assert refused.value.count == 1
    assert [row["env_step"] for row in rows] == [1, 3]
    backend.write([Point({"a": 2.0}, 4, 1e9 + 4)])
    assert [row["env_step"] for row in rows] == [1, 3, 4]


def _fails_once(call: Any) -> Any:
    failures = [OSError("full")]

    def log_file(*args: Any) -> None:
        if failures:
            raise failures.pop()
        call(*args)

    return log_file


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.TABLE, "wide.csv"), (Kind.EMBEDDING, "no.npz"), (Kind.PICTURE, "bomb.png")]
)
def test_a_file_that_is_broken_is_one_that_is_left_out(
    tmp_path: Path, kind: Kind, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (30, 30)).save(tmp_path / "bomb.png")
    (tmp_path / "wide.csv").write_text("note\n" + 200_000 * "x" + "\n")
    (tmp_path / "no.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"table|embedding|pixels"):
        as_logged(Asset(kind, "broken", tmp_path / name))
