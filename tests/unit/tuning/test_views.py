"""What a person sees of made-up searches: tables that fit, a page that is escaped and whole, pictures, Parquet, one
hparams run a trial."""

import base64
import dataclasses
import io
import json
import math
import re
import sys
import types
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from robonav_ray.config.load import load_run_config
from robonav_ray.screen import Screen
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.search import write_best
from robonav_ray.tuning.search_records import History, Records
from robonav_ray.tuning.views.hparams import write_hparams
from robonav_ray.tuning.views.html_report import page_text, write_report
from robonav_ray.tuning.views.picture_schedulers import draw_lineage
from robonav_ray.tuning.views.pictures import draw_learning_curves
from robonav_ray.tuning.views.search_block import plain_line
from robonav_ray.tuning.views.show import next_commands, print_history
from robonav_ray.tuning.views.summary import number_text, ranked, report_text, summarize
from robonav_ray.tuning.views.table import make_table
from tests.unit.tuning import histories

SEARCHES = {
    "asha": (histories.asha_history, histories.asha_config),
    "pbt": (histories.pbt_history, histories.pbt_config),
    "failed": (histories.failed_history, histories.failed_config),
    "empty": (History, histories.asha_config),
}


def search(name):
    history, config = SEARCHES[name]
    return history(), config()


@pytest.mark.parametrize("width", [80, 120, 160])
@pytest.mark.parametrize("name", SEARCHES)
def test_no_line_of_the_table_is_wider_than_the_terminal(name, width):
    history, config = search(name)
    out = io.StringIO()
    print_history(history, config, "asha-20261124-181500", Screen(file=out, width=width, force_terminal=False))
    lines = out.getvalue().splitlines()
    framed = [line for line in lines if line.startswith(("│", "╭", "╰"))]
    assert framed
    assert max(map(len, framed)) <= width
    for trial in history.trials.values():
        assert any(trial.id in line for line in lines)


@pytest.mark.parametrize("mode", ["plain", "live", "off"])
def test_tables_follow_a_search(mode):
    history, config = search("asha")
    out = io.StringIO()
    with make_table(mode, config, "asha", Screen(file=out, width=120, force_terminal=mode == "live")) as table:
        table.update(History(), 0.0)
        table.update(history, 100.0)
    told = out.getvalue()
    assert bool(told) == (mode != "off")
    if mode == "plain":
        assert sum("new best" in line for line in told.splitlines()) == 1
        assert "stopped" in told


@pytest.mark.parametrize("name", SEARCHES)
def test_the_report_is_whole_and_holds_every_trial(tmp_path, name):
    history, config = search(name)
    paths = write_report(tmp_path, history, config, title="runs/asha-1")
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert "<script" not in page, "what comes from the user is escaped"
    assert not re.search(r'(src|href)="(?!data:)', page), "nothing is loaded from anywhere"
    pictures = [p for p in paths if p.suffix == ".png"]
    assert page.count("data:image/png;base64,") == len(pictures)
    for picture in pictures:
        image = np.asarray(Image.open(picture).convert("L"))
        assert min(image.shape) > 200
        assert image.std() > 5, "something is drawn"
        assert base64.b64encode(picture.read_bytes()).decode()[:200] in page
    expected = {"asha": {"learning_curves", "rungs", "values"}, "pbt": {"learning_curves", "lineage", "values"}}
    if name in expected:
        assert {p.stem for p in pictures} == expected[name]
    table = parquet.read_table(tmp_path / "trials.parquet").to_pylist()
    assert [row["trial"] for row in table] == list(history.trials)
    for row in table:
        trial = history.trials[row["trial"]]
        assert row["best_objective"] == (trial.best.objective if trial.best else None)
        assert row["state"] == trial.state
        for key, value in trial.params.items():
            assert row[f"param/{key}"] in (value, str(value).replace("'", '"'), f'"{value}"'), key
    reports = parquet.read_table(tmp_path / "reports.parquet")
    assert reports.num_rows == sum(len(trial.reports) for trial in history.trials.values())
    assert not list(tmp_path.glob(".*")), "nothing is left aside"


def test_a_failure_stands_in_the_report_and_on_the_screen(tmp_path):
    history, config = search("failed")
    failure = next(failure for trial in history.trials.values() for failure in trial.failures)
    write_report(tmp_path, history, config, title="x")
    out = io.StringIO()
    print_history(history, config, "x", Screen(file=out, width=400))
    assert failure in out.getvalue()
    assert "Failures" in (tmp_path / "report.html").read_text()


def test_what_to_type_next_depends_on_where_it_stands():
    assert next_commands(History(), "runs/a")[0][0] == "robonav tune --resume runs/a"
    history, _ = search("asha")
    history.ended = True
    assert next_commands(history, "runs/a")[0][0] == "robonav train runs/a/best_config.yaml"


@pytest.mark.filterwarnings("ignore")  # tensorboard's readers warn about themselves
@pytest.mark.parametrize("status", ["success", "failure"])
def test_hparams_are_in_the_trials_own_run(tmp_path, status):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "00003" / "tensorboard")) as writer:
        writer.add_scalar("curriculum/stage", 1.0, 5)
    write_hparams(tmp_path / "00003" / "tensorboard", {"a.b": 0.5, "c": [1, 2], "d": True}, {"objective": 1.5}, status)
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    runs.Reload()
    assert list(runs.Runs()) == ["00003/tensorboard"]
    content = runs.GetAccumulator("00003/tensorboard").SummaryMetadata
    start = HParamsPluginData.FromString(content("_hparams_/session_start_info").plugin_data.content).session_start_info
    assert start.hparams["a.b"].number_value == 0.5
    assert start.hparams["c"].string_value == "[1, 2]"
    end = HParamsPluginData.FromString(content("_hparams_/session_end_info").plugin_data.content).session_end_info
    assert end.status == {"success": 1, "failure": 2}[status]
    assert [e.value for e in runs.Scalars("00003/tensorboard", "hparam/objective")] == [1.5]


@pytest.mark.filterwarnings("ignore")  # tensorboard's readers warn about themselves
def test_later_hparams_take_the_place_of_earlier_ones(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    write_hparams(tmp_path, {"a": 1.0}, {"objective": 1.0}, "running")
    write_hparams(tmp_path, {"a": 2.0}, {"objective": 2.0}, "success")
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    told = [HParamsPluginData.FromString(content) for content in events.PluginTagToContent("hparams").values()]
    assert [
        data.session_start_info.hparams["a"].number_value for data in told if data.HasField("session_start_info")
    ] == [2.0]
    assert [data.session_end_info.status for data in told if data.HasField("session_end_info")] == [1]
    assert [event.value for event in events.Scalars("hparam/objective")] == [2.0]


def test_no_stage_is_drawn_beyond_the_last_one():
    history, config = search("asha")
    history.trials["00009"].reports[-1] = dataclasses.replace(
        history.trials["00009"].reports[-1], objective=4.0, success_frac=1.0
    )
    axes = draw_learning_curves(history, config).axes[0]
    assert axes.get_ylim() == (0.0, 4.0)


def test_an_arrow_starts_where_the_donors_checkpoint_was_made():
    history, config = search("pbt")
    clone = next(trial for trial in history.trials.values() if trial.exploits)
    donor = history.trials[clone.exploits[0].donor]
    later = next(report for report in donor.reports if report.env_steps > clone.exploits[0].env_steps)
    checkpoint = f"trials/{donor.id}/checkpoints/{later.checkpoint}"
    exploit = dataclasses.replace(clone.exploits[0], donor_checkpoint=checkpoint)
    for trial in history.trials.values():
        trial.exploits[:] = [exploit] if trial is clone else []
    arrows = [text for text in draw_lineage(history, config).axes[0].texts if text.arrow_patch is not None]
    assert [arrow.xyann[0] for arrow in arrows] == [later.env_steps]


def test_columns_of_the_tables_do_not_depend_on_what_has_happened(tmp_path):
    for name in ("asha", "empty"):
        history, config = search(name)
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, history, config, title=name)
    for table in ("trials", "reports"):
        assert parquet.read_schema(tmp_path / "asha" / f"{table}.parquet") == parquet.read_schema(
            tmp_path / "empty" / f"{table}.parquet"
        )


def test_a_notebook_gets_one_quiet_line(monkeypatch):
    kernel = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    history, config = search("asha")
    out = io.StringIO()
    with make_table("auto", config, "asha", Screen(file=out, force_terminal=True)) as table:
        for second in range(25):
            table.update(history, float(second))
    assert out.getvalue().count("\r") == 4, "at 0, 10 and 20 s, and at the end"
    assert out.getvalue().count("\n") == 1


def best_of(text: str) -> str:
    """The id of the trial that a line of text or of a table names after its mark."""
    found = re.search(r"(?:★|trial|by)\s+(\d{5})", text)
    assert found, text
    return found[1]


def test_there_is_one_best_everywhere(tmp_path, monkeypatch):
    history, config = search("asha")
    leader = history.trials["00009"]
    last = leader.reports[-1]
    histories.add_report(history, "00009", last.env_steps + 25_000, 0.2)  # its best report is not its last one
    worse = history.best_trial
    assert worse is not None
    assert worse.best is not None
    for trial, objective in (("00001", math.nan), ("00002", math.inf)):  # as a forged or old record may say
        report = history.trials[trial].reports[-1]
        history.trials[trial].reports.append(dataclasses.replace(report, objective=objective))
    best = history.best_trial
    assert best is worse
    assert math.isfinite(best.best.objective)
    assert ranked(history.trials.values())[0] is best
    screen = Screen(file=io.StringIO(), width=160)
    print_history(history, config, "asha", screen)
    lines = screen.file.getvalue().splitlines()
    header, star = (
        next(line for line in lines if "best" in line and "trial" in line),
        next(line for line in lines if "★" in line),
    )
    told = number_text(best.best.objective)
    for line in (header, star):
        assert best_of(line) == best.id
        assert told in line
        assert best.best.stage_name in line
    assert f"best {report_text(best.best, ())} by {best.id}" in plain_line("asha", summarize(history, config), ())
    page = page_text(history, config, "a b[/]", [])
    checkpoint = f"trials/{best.id}/checkpoints/{best.best.checkpoint}"
    assert f"<dt>trial</dt><dd>{best.id}</dd><dt>objective</dt><dd>{told}</dd>" in page
    assert f"robonav evaluate &#x27;a b[/]/{checkpoint}&#x27;" in page
    experiment = Experiment(tmp_path, config)
    monkeypatch.setattr(Experiment, "run_config", lambda _self, _params: load_run_config())  # the space is made up
    write_best(experiment, cast("Records", SimpleNamespace(history=history)))
    document = json.loads((tmp_path / "best.json").read_text())
    assert (document["trial"], document["checkpoint"], document["objective"]) == (
        best.id,
        checkpoint,
        best.best.objective,
    )
    assert (f"robonav evaluate {tmp_path}/{checkpoint}", "the best trial as it is") in next_commands(
        history, str(tmp_path)
    )
