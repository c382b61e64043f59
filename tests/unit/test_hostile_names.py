"""A path, a name or a message may hold anything: what the verbs print is that text, and the commands they print can be
pasted."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from robonav_ray import cli, text
from robonav_ray.config.load import load_run_config
from robonav_ray.evaluation.picture import draw_curves
from robonav_ray.evaluation.report import EvaluationReport, StageReport, print_report, to_markdown
from robonav_ray.evaluation.statistics import summarize
from robonav_ray.nodes.doctor import Finding
from robonav_ray.runs.run_directory import RunDirectory, resume_command
from robonav_ray.screen import Screen
from robonav_ray.tracking.panel import LivePanel, PlainPanel
from robonav_ray.tuning.views.html_report import page_text
from robonav_ray.tuning.views.show import next_commands, print_history
from robonav_ray.verbs.doctor import print_findings
from robonav_ray.worlds.pictures.render_text import font_of
from tests.unit.evaluation.test_evaluation_statistics import make_table
from tests.unit.test_text import HOSTILE
from tests.unit.tracking.test_panel import STATUS
from tests.unit.tuning import histories

names = st.one_of(st.sampled_from([n for n in HOSTILE if n]), st.text(min_size=1, max_size=20))
paths = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def acts_on_nothing(out: str) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in out), [c for c in out if not c.isprintable()]


def plain_screen(width: int = 400) -> Screen:
    return Screen(file=io.StringIO(), width=width, soft_wrap=True)


def written(screen: Screen) -> str:
    return screen.file.getvalue()  # type: ignore[attr-defined]


@quick
@given(paths)
@example("a[/]b")
@example("x[red]y")
@example("-rf")
@example("latest")
@example("a b")
@example("new\nline")
def test_commands_name_the_directory_they_are_about(name: str) -> None:
    run = RunDirectory(Path.cwd() / name)
    commands = [resume_command(run), *(command for command, _ in next_commands(histories.asha_history(), run.shown))]
    for command in commands:
        assert command.isprintable()
        if name.isprintable():
            words = shlex.split(command)
            assert any(os.path.normpath(word).startswith(os.path.normpath(name)) for word in words[2:])
            assert not any(word.startswith("-") and word not in ("--resume", "--logdir") for word in words[2:])


@quick
@given(names)
def test_panels_show_the_names(name: str) -> None:
    status = dataclasses.replace(
        STATUS,
        run=dataclasses.replace(STATUS.run, name=name, stage_names=(name, "b", "c", "d")),
        facts=dataclasses.replace(STATUS.facts, message=name),
    )
    screen = plain_screen(100)
    panel = LivePanel(screen)
    screen.print(panel.render(status))
    panel.close()
    lines: list[str] = []
    PlainPanel(lines.append).update(status)
    assert lines[0].count("\n") == 1
    acts_on_nothing(written(screen))
    acts_on_nothing(lines[0])
    if name.isprintable() and len(name) < 20 and name.strip() == name:
        assert name in lines[0]


@quick
@given(names)
def test_evaluations_show_the_names(name: str) -> None:
    level = StageReport(name, summarize(make_table([1] * 15 + [3] * 5)))
    report = EvaluationReport(policy=name, knows="lidar only", env_id=name, seed=1, levels=(level,), env_steps=3)
    screen = plain_screen()
    print_report(report, screen)
    acts_on_nothing(written(screen))
    source = to_markdown(report)
    assert all(line.count("|") - line.count(r"\|") in (0, 3) for line in source.splitlines())
    assert "<script" not in source


@quick
@given(names)
def test_searches_show_the_names(name: str) -> None:
    history, config = histories.asha_history(), histories.asha_config()
    history.trials["00003"].failures.append(name)
    screen = plain_screen(160)
    print_history(history, config, name, screen)
    acts_on_nothing(written(screen))
    page = page_text(history, config, name, [])
    assert f"<title>{text.html_text(name)}</title>" in page
    assert (
        re.search(
            r"<(?!/?(?:!doctype|html|head|meta|title|style|body|h1|h2|p|div|table|tr|th|td|dl|dt|dd|code|img)\b)", page
        )
        is None
    )


@quick
@given(names)
def test_doctor_shows_what_it_found(name: str) -> None:
    screen = plain_screen()
    print_findings([Finding(name, False, name, name), Finding("gpu", True, name)], screen)
    out = written(screen)
    acts_on_nothing(out)
    if name.isprintable() and name.strip() == name and "  " not in name:
        assert name in out


@settings(quick, max_examples=5)
@given(name=names)
@example(name="a[/]b")
def test_mistakes_of_every_verb_are_told_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    word = name.replace("\0", "")
    for verb in (
        ["train", "--resume"],
        ["evaluate"],
        ["play"],
        ["tune", "show"],
        ["tune", "--resume"],
        ["train"],
        ["config", "validate"],
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["robonav", *verb, f"./nowhere-{word}"])
            with pytest.raises(SystemExit) as end:
                cli.main()
        out, err = capsys.readouterr()
        assert end.value.code == 2, (verb, err)
        acts_on_nothing(out + err)
        assert "Traceback" not in err


def test_pictures_show_the_names(tmp_path: Path) -> None:
    run = tmp_path / "$a$ $\\frac$ [\u65e5\u672c]"
    run.mkdir()
    lines = [
        {"step": s, "time": s, "curriculum/stage": 0.0, "curriculum/success_frac": 0.5, "learner/loss": 1.0}
        for s in range(5)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "curriculum_progress.json").write_text(json.dumps({"stages": [{"name": "_$x^$ $y"}]}))
    assert draw_curves(run).stat().st_size > 1000


@pytest.mark.parametrize("name", ["a[/]b", "x[red]y", "$a$ b$", "_hidden", "日本 :smile:", "<b>"])
def test_a_stage_may_be_called_anything(name: str, tmp_path: Path) -> None:
    config = load_run_config(None, [f"curriculum.stages=[{{name: {name!r}}}]", f"curriculum.start_stage={name!r}"])
    assert config.curriculum.stages[0].name == name
    assert font_of(12).getlength(text.one_line(name)) > 0
