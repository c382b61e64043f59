"""What notebooks call: places, the session's limit, the run to go on with, bars, figures and letters."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import robonav_ray as rn
from robonav_ray.errors import UserError
from robonav_ray.fronts import notebooks
from robonav_ray.fronts.notebooks import gpus, places, session_limit
from robonav_ray.fronts.notebooks.progress_bars import ProgressBars, curriculum_frac
from robonav_ray.fronts.notebooks.session_limit import Session
from robonav_ray.fronts.notebooks.settings import VARIABLE
from robonav_ray.tracking.panel import NoPanel
from tests.unit.fronts.test_calls import SHORT
from tests.unit.tracking.test_panel import STATUS

pytestmark = pytest.mark.usefixtures("undrawn")
JUDGED = SHORT | {
    "name": "book",
    "tracking.interval_s": 0.1,
    "budget.max_env_steps": 1200,
    "evaluation.judged_episodes": 4,
}


def test_settings_are_the_notebooks_own_unless_the_environment_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert vars(notebooks.settings(hours=12, overrides={"seed": 1})) == {"hours": 12, "overrides": {"seed": 1}}
    monkeypatch.setenv(VARIABLE, json.dumps({"hours": 0.5, "overrides": {"name": "x"}}))
    found = notebooks.settings(hours=12, overrides={"seed": 1}, local=False)
    assert vars(found) == {"hours": 0.5, "overrides": {"seed": 1, "name": "x"}, "local": False}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"hour": 1}', "no setting 'hour'; did you mean hours"),
        ('{"q": 1}', "it has hours, local"),
        ('{"hours": "9"}', 'hours is "9"; give something like 12'),
        ('{"hours": true}', "hours is true"),
        ('{"local": 1}', "local is 1"),
        ("[1]", "is no JSON object"),
        ("{", "is no JSON "),
    ],
)
def test_a_setting_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, text: str, told: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UserError, match=told):
        notebooks.settings(hours=12, local=False)


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine of Colab; returns what its modules were asked."""
    asked: list[str] = []

    class SecretNotFoundError(Exception): ...

    class NotebookAccessError(Exception): ...

    def get(name: str) -> str:
        if name != "MAIL":
            raise SecretNotFoundError(name)
        return "me@example.org"

    def mount(point: str) -> None:
        asked.append(f"mount {point}")
        (Path(point) / "MyDrive").mkdir(parents=True, exist_ok=True)

    fakes: dict[str, Any] = {
        "drive": SimpleNamespace(mount=mount, flush_and_unmount=lambda: asked.append("flush")),
        "userdata": SimpleNamespace(
            get=get, SecretNotFoundError=SecretNotFoundError, NotebookAccessError=NotebookAccessError
        ),
        "files": SimpleNamespace(download=lambda path: asked.append(f"download {path}")),
    }
    module = ModuleType("google.colab")
    module.__spec__ = ModuleSpec("google.colab", None)
    vars(module).update(fakes)
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setenv(places.ROOT, str(tmp_path / "content"))
    (tmp_path / "content").mkdir()
    return asked


def test_on_colab_runs_are_made_on_the_fast_disk_and_stored_in_the_drive(colab: list[str], tmp_path: Path) -> None:
    place, content = notebooks.colab_place("robots/one"), tmp_path / "content"
    kept = content / "drive" / "MyDrive" / "robots" / "one"
    assert (place.platform, place.runs, place.storage, place.kept) == ("colab", content / "runs", kept / "runs", kept)
    assert kept.is_dir()
    assert str(kept) in place._repr_markdown_()
    notebooks.finish_writing(place)
    notebooks.hand_to_browser(kept / "play.gif")
    mount = f"mount {content / 'drive'}"
    assert colab == [mount, "flush", f"download {kept / 'play.gif'}"]
    kept.rmdir()
    session = notebooks.open_session(place, 12, 10)
    with pytest.raises(UserError, match="run the cell that mounts the Drive again"):
        notebooks.train_in_session("quick", place=place, session=session)
    for folder in ("", "/etc", "../up"):
        with pytest.raises(UserError, match="must be the name of a folder in your Drive"):
            notebooks.colab_place(folder)


def test_a_secret_is_the_platforms_else_the_environments(colab: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "from here")
    assert [notebooks.secret(name) for name in ("MAIL", "OTHER", "NONE")] == ["me@example.org", "from here", None]


def test_elsewhere_everything_lies_below_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = notebooks.colab_place("mine")
    assert (place.platform, place.runs, place.storage) == ("here", tmp_path / "mine" / "runs", None)
    assert notebooks.kaggle_place().kept == tmp_path / "robonav_ray_files"
    notebooks.finish_writing(place)
    notebooks.hand_to_browser(tmp_path / "x")


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> notebooks.Place:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv(places.ROOT, str(tmp_path))
    (tmp_path / "input" / "earlier").mkdir(parents=True)
    return notebooks.kaggle_place()


def test_a_session_is_counted_from_its_first_call_also_by_a_new_kernel(
    kaggle: notebooks.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = notebooks.open_session(kaggle, hours=9, stop_minutes_before=15)
    assert session.left_s(session.began + 3600.0) == (9 - 1 - 0.25) * 3600.0
    monkeypatch.setattr(session_limit.time, "time", lambda: session.began + 100.0)
    again = notebooks.open_session(kaggle, hours=9, stop_minutes_before=15)
    assert (again, again.used_s()) == (session, 100.0)
    assert "1:40 of 9:00:00 used" in again._repr_markdown_()
    (kaggle.scratch / session_limit.BEGAN_FILE).write_text("NaN")
    assert notebooks.open_session(kaggle, hours=9, stop_minutes_before=15).used_s() == 0.0
    for hours, minutes in ((0.25, 15), (9, 0), (-1, 5), (float("nan"), 5)):
        with pytest.raises(UserError, match="leaves no time to train"):
            notebooks.open_session(kaggle, hours, minutes)


def test_a_session_without_time_is_refused_before_anything_is_made(kaggle: notebooks.Place) -> None:
    used = Session(began=0.0, limit_s=3600.0, margin_s=60.0)
    with pytest.raises(UserError, match="start a new session and run all cells"):
        notebooks.train_in_session("quick", place=kaggle, session=used)
    assert not kaggle.runs.exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla P100-PCIE-16GB", "P100"),
        ("NVIDIA H200", None),
    ],
)
def test_the_gpus_of_notebooks_are_known_by_name(monkeypatch: pytest.MonkeyPatch, name: str, kind: str | None) -> None:
    info = SimpleNamespace(device="cuda:0", name=name, memory_total_bytes=16 << 30)
    monkeypatch.setattr(gpus.DeviceManager, "device_info", staticmethod(lambda: [info, info]))
    found = notebooks.find_gpu()
    assert (found.kind, found.count, found.memory_gib) == (kind, 2, 16.0)
    assert f"2 x {name}" in found._repr_markdown_()
    monkeypatch.setattr(gpus.DeviceManager, "device_info", staticmethod(lambda: [SimpleNamespace(device="cpu")]))
    assert "No GPU" in notebooks.find_gpu()._repr_markdown_()


class Bar:
    """What tqdm's bar is used for."""

    def __init__(self, total: int, initial: float, bar_format: str, leave: bool) -> None:
        self.n, self.bar_format, self.drawn, self.closed = initial, bar_format, 1, False

    def refresh(self) -> None:
        assert "{bar}" in self.bar_format
        self.drawn += 1

    def close(self) -> None:
        self.closed = True


def test_bars_show_the_curriculum_and_the_session_and_are_not_drawn_too_often() -> None:
    bars: list[Bar] = []
    clock = iter([0.0, 0.0, 0.1, 0.9, 0.9, 1.0])
    session = Session(began=0.0, limit_s=10.0, margin_s=1.0)
    view = ProgressBars(
        NoPanel(), session, lambda **options: bars.append(Bar(**options)) or bars[-1], lambda: next(clock)
    )
    for _ in range(3):
        view.update(STATUS)
    view.close()
    view.close()
    assert [(bar.drawn, bar.closed) for bar in bars] == [(3, True), (3, True)]
    assert bars[0].n == round(100 * curriculum_frac(STATUS), 1) > 0.0
    assert f"of {len(STATUS.run.stage_names)}, {STATUS.stage_name} " in bars[0].bar_format
    assert "success" in bars[0].bar_format
    assert (bars[1].n, "training ends by" in bars[1].bar_format) == (100, True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[rn.TrainResult, notebooks.Place]:
    """A run on Kaggle that a session's limit has stopped: that it is not finished is written into it."""
    root = tmp_path_factory.mktemp("book")
    place = notebooks.Place("kaggle", root / "temp", root / "working", root / "input")
    place.kept.mkdir()
    session = Session(began=session_limit.time.time(), limit_s=4000.0, margin_s=60.0)
    result = notebooks.train_in_session(
        "quick",
        {**JUDGED, "output_dir": str(place.runs)},
        place=place,
        session=session,
        checkpoint_episodes=4,
        local=True,
    )
    return result, place


def test_a_run_has_figures_checkpoints_episodes_and_a_letter(
    trained: tuple[rn.TrainResult, notebooks.Place], tmp_path: Path
) -> None:
    result, place = trained
    written = json.loads(notebooks.write_metrics(result.path, tmp_path / "out" / "metrics.json").read_text())
    assert written["run"]["steps"] == result.env_steps
    assert written["metrics"]["curriculum/epsilon"]["value"]
    table = notebooks.checkpoint_table(result.path)
    assert table["kept as"].str.contains("number").any()
    assert "latest" in table["kept as"].iloc[-1]
    assert table["env steps"].iloc[-1] == result.env_steps
    driven = notebooks.drive_episodes(result.path, episodes=3, films=0)
    rows = list(csv.DictReader(driven.write_csv(tmp_path / "submission.csv").read_text().splitlines()))
    assert [row["episode"] for row in rows] == ["1", "2", "3"]
    assert driven.num_successes == sum(int(row["success"]) for row in rows)
    assert (len(driven.table()), driven.show_film()) == (3, None)
    assert "of 3</b> reached all goals" in driven._repr_html_()
    mail = notebooks.training_mail(result, place, to="me@example.org")
    assert mail.subject == f"robonav_ray: {result.path.name} has finished"
    assert f"{result.env_steps:,}" in mail.body
    assert mail.link.startswith("mailto:me@example.org?subject=robonav_ray")
    assert result.evaluation is not None
    assert len(notebooks.evaluation_table(result.evaluation)) == len(result.evaluation.levels)
    files = notebooks.kept_files(place.kept)
    assert files["name"].tolist() == ["runs/"]
    assert files["files"].iloc[0] > 10
    with pytest.raises(UserError, match="at least 1"):
        notebooks.drive_episodes(result.path, episodes=0)


def test_a_run_in_an_attached_data_set_is_copied_and_gone_on_with(
    trained: tuple[rn.TrainResult, notebooks.Place], kaggle: notebooks.Place, tmp_path: Path
) -> None:
    assert notebooks.find_earlier_run(kaggle, "quick", {"name": "book"}).name is None
    result, _ = trained
    version = tmp_path / "input" / "earlier" / "runs" / result.path.name
    shutil.copytree(result.path, version)
    assert notebooks.find_earlier_run(kaggle, "quick", {"name": "book"}).name is None, "it has finished"
    (version / "status.json").write_text('{"status": "running"}')
    for folder, _, files in os.walk(version, topdown=False):
        for path in (*(Path(folder) / file for file in files), Path(folder)):
            path.chmod(path.stat().st_mode & 0o555)
    found = notebooks.find_earlier_run(kaggle, "quick", {"name": "book"})
    assert (found.name, found.env_steps, found.brought_from) == (result.path.name, result.env_steps, version)
    assert os.access(kaggle.runs / result.path.name / "checkpoints", os.W_OK)
    again = notebooks.find_earlier_run(kaggle, "quick", {"name": "book"})
    assert (again.name, again.brought_from) == (result.path.name, None)
    assert notebooks.find_earlier_run(kaggle, "quick", JUDGED).name == result.path.name
    assert notebooks.find_earlier_run(kaggle, "quick", {"name": "another"}).name is None


def test_a_mistake_is_shown_in_a_notebook_as_its_message_alone() -> None:
    with pytest.raises(UserError) as caught:
        rn.train("quick", {"learner.batch_siz": 1})
    (line,) = caught.value._render_traceback_()
    assert line.startswith("ConfigError: override 'learner.batch_siz=1'")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    missing: list[Callable[[Path], Any]] = [notebooks.open_tensorboard, notebooks.kept_files]
    for call in missing:
        with pytest.raises(UserError, match="no such folder"):
            call(tmp_path / "nowhere")
