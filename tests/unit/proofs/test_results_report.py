"""Verdicts, tables and pictures of what trials came to; commands that are read; failures that are said."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from proofs.reproduction import docs
from proofs.reproduction.command import read_figure, run_command
from proofs.reproduction.curves import draw_overview, make_panels
from proofs.reproduction.entries import ENTRIES, chosen_entries
from proofs.reproduction.entry import ROOT, Command, Entry
from proofs.reproduction.progress import Board
from proofs.reproduction.report import make_row, markdown_notes, markdown_table, write_report
from proofs.reproduction.schedule import run_trial
from proofs.reproduction.store import Trial, TrialResult, trial_of
from robonav_ray.screen import Screen

(TRAINING,) = chosen_entries(["cleanrl_dqn_cartpole"])
SUITE = Entry(
    name="made_up", group="made_up", published="p", source="s", bound="at least", threshold=2.0, tolerance="t",
    task=Command(("-c", "print('{\"a\": {\"b\": 6, \"c\": 2}}')"), "json", "a.b / a.c"), minutes=0, unit="factor",
)  # fmt: skip


def finished(entry: Entry, values: dict[int, float], tmp_path, num_seeds: int) -> list[Trial]:
    trials = [trial_of(entry, seed, tmp_path) for seed in range(1, num_seeds + 1)]
    for trial in trials:
        trial.folder.mkdir(parents=True, exist_ok=True)
        if trial.seed in values:
            trial.finish(TrialResult(values[trial.seed], 100, 60.0))
    return trials


@pytest.mark.parametrize(
    ("values", "statistic", "verdict"),
    [
        ({}, "mean", "not run"),
        ({1: 490.0}, "mean", "incomplete"),
        ({1: 490.0, 2: 480.0, 3: 470.0}, "mean", "reproduced"),
        ({1: 500.0, 2: 500.0, 3: 100.0}, "mean", "missed"),
        ({1: 500.0, 2: 500.0, 3: 100.0}, "median", "reproduced"),
        ({1: 500.0, 2: math.nan, 3: 500.0}, "mean", "missed"),
    ],
)
def test_the_statistic_of_all_seeds_is_held_against_the_bound(tmp_path, values, statistic, verdict):
    entry = replace(TRAINING, statistic=statistic)
    assert make_row(entry, finished(entry, values, tmp_path, 3), {}).verdict == verdict


def test_at_most_is_the_other_way_round(tmp_path):
    entry = replace(TRAINING, bound="at most", threshold=0.05, unit="success")
    assert make_row(entry, finished(entry, {1: 0.0}, tmp_path / "a", 1), {}).verdict == "reproduced"
    assert make_row(entry, finished(entry, {1: 0.06}, tmp_path / "b", 1), {}).verdict == "missed"


def test_one_failed_trial_is_no_verdict(tmp_path):
    trials = finished(TRAINING, {1: 500.0, 2: 500.0}, tmp_path, 3)
    row = make_row(TRAINING, trials, {trials[2].name: "it broke"})
    assert (row.verdict, row.error) == ("failed", "it broke")


def test_the_report_is_json_and_a_table_with_one_line_per_entry(tmp_path):
    rows = [make_row(TRAINING, finished(TRAINING, {1: 490.0, 2: 480.0}, tmp_path, 2), {})]
    written = write_report(rows, tmp_path, "python scripts/reproduce.py run x")
    (found,) = json.loads(written[0].read_text())["entries"]
    assert (found["mean"], found["verdict"], found["threshold"]) == (485.0, "reproduced", TRAINING.threshold)
    assert found["values"] == {"1": 490.0, "2": 480.0}
    for table in (markdown_table(rows), markdown_notes(rows)):
        lines = table.splitlines()
        assert len(lines) == 3
        assert len({line.count("|") for line in lines}) == 1
    assert "485.0 ± 7.1" in markdown_table(rows)


def test_a_command_is_run_read_and_kept(tmp_path):
    trial = trial_of(SUITE, 1, tmp_path)
    assert run_trial(trial) is None
    result = trial.result
    assert result is not None
    assert (result.value, result.facts["output"]) == (3.0, {"a": {"b": 6, "c": 2}})


@pytest.mark.parametrize(
    ("arguments", "reads", "said"),
    [
        (("-c", "print('no json')"), "json", "last line is no JSON"),
        (("-c", "print('{}')"), "json", "'a.b / a.c'"),
        (("-c", "raise SystemExit(3)"), "json", "ended with 3"),
        (("-m", "pytest", "-q", "tests/nowhere.py"), "pytest", "ended with 4"),
    ],
)
def test_a_command_that_fails_is_an_error_with_its_output(tmp_path, arguments, reads, said):
    entry = replace(SUITE, task=replace(SUITE.task, arguments=arguments, reads=reads))
    trial = trial_of(entry, 1, tmp_path)
    error = run_trial(trial) or ""
    assert "CommandError" in error
    assert said in error
    assert trial.result is None


def test_the_figure_of_a_suite_is_the_part_that_passes(tmp_path):
    suite = tmp_path / "test_three.py"
    suite.write_text("import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_n(n):\n    assert n != 2\n")
    entry = replace(
        SUITE, unit="tests", task=Command(("-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite)), "pytest")
    )
    assert run_command(trial_of(entry, 1, tmp_path)).value == 0.75


def test_figures_are_found_by_their_path():
    found = {"a": {"16": {"x": 8, "y": 2}}}
    assert read_figure(found, "a.16.x") == 8.0
    assert read_figure(found, "a.16.x / a.16.y") == 4.0
    with pytest.raises(KeyError):
        read_figure(found, "a.17.x")


def test_page_and_picture_hold_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "PAGE", tmp_path / "results.md")
    monkeypatch.setattr(docs, "PICTURE", tmp_path / "results.png")
    trials = [trial_of(TRAINING, seed, tmp_path) for seed in TRAINING.seeds]
    for trial in trials:
        trial.folder.mkdir(parents=True)
        rows = "".join(f"{100 * i},100,{i}\n" for i in range(1, 40))
        (trial.folder / "episodes.csv").write_text("env_steps,length,return\n" + rows)
        trial.finish(TrialResult(480.0, 4000, 60.0))
    for entry in chosen_entries(["her_bitflip_13", "dqn_bitflip_20"]):
        for seed in entry.seeds:
            trial = trial_of(entry, seed, tmp_path)
            trial.folder.mkdir(parents=True)
            trial.finish(TrialResult(0.0, 100, 10.0))
    assert docs.write_docs(tmp_path, "the command") == [docs.PAGE, docs.PICTURE]
    text = docs.PAGE.read_text()
    assert "| `cleanrl_dqn_cartpole` | 488.69 ± 16.11 |" in text
    assert "zoo_dqn_cartpole" not in text, "what was not run is not on the page"
    assert "**missed**" in text
    assert "Changed after a first look" in text
    assert "the command" in text
    assert docs.PICTURE.stat().st_size > 5000
    judged = [(make_row(TRAINING, trials, {}), trials)]
    assert len(make_panels(judged)) == 1
    assert draw_overview([(make_row(TRAINING, [], {}), [])], tmp_path / "none.png") is None


def test_the_board_says_each_end_once(tmp_path, capsys):
    trials = finished(TRAINING, {1: 480.0}, tmp_path, 2)
    with Board(trials, Screen(force_terminal=False, width=100)) as board:
        board.look({trials[1].name})
        trials[1].finish(TrialResult(470.0, 100, 61.0))
        board.look(set())
        board.look(set())
    said = capsys.readouterr().out
    assert said.count("cleanrl_dqn_cartpole/2: 470.0 after 1:01") == 1
    assert "cleanrl_dqn_cartpole/1:" not in said, "kept from before"


@pytest.mark.slow
def test_trials_run_side_by_side_on_ray_and_are_kept(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "run", "her_bitflip_13", "--seeds", "2",
               "--parallel", "2", "--output", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reproduced" in done.stdout
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert again.returncode == 0
    assert " after " not in again.stdout, "nothing was run again"


def test_every_entry_can_be_shown():
    rows = [make_row(entry, [], {}) for entry in ENTRIES]
    assert len(markdown_table(rows).splitlines()) == len(ENTRIES) + 2
