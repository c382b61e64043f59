"""The panel fits its terminal, speaks ASCII where it must, and is quiet where there is no terminal."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.runs.progress import CurriculumProgress, PartnerFigures, StageTotals, WindowFigures, WiringFacts
from robonav_ray.screen import Screen
from robonav_ray.tracking.panel import (
    LivePanel,
    NoPanel,
    PlainPanel,
    format_count,
    format_seconds,
    make_panel,
    plain_line,
    sparkline,
)
from robonav_ray.tracking.status import Pace, RunStatus, WatchedRun, estimate_remaining_s
from tests.unit.runs.test_checkpoint_index import judged

STAGES = ("basic_navigation", "obstacle_avoidance", "multi_goal_planning", "full_challenge")


def config_of(**changes: dict[str, Any]) -> RunConfig:
    """A config with these changes to its sections, unchecked."""
    config = RunConfig()
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=values) for name, values in changes.items()}
    )


def progress_of(stages: tuple[str, ...], stage: int = 0, **figures: Any) -> CurriculumProgress:
    told: dict[str, Any] = {
        "forced": False, "passed": False, "epsilon": 0.212, "elapsed_s": 0.0, "env_steps": 0, "num_episodes": 0,
        "num_gate_episodes": 0, "num_pending": 0, "num_workers": 1, "window": WindowFigures(), "window_size": 50,
        "min_success_frac": None, "min_return": None, "max_collision_frac": None,
        "stages": tuple(StageTotals(name) for name in stages), "transitions": (),
    }  # fmt: skip
    return CurriculumProgress(stage=stage, stage_name=stages[stage], num_stages=len(stages), **{**told, **figures})


STATUS = RunStatus(
    WatchedRun(
        "curriculum-20261122-181500",
        "ray",
        config_of(budget={"time_s": 300.0}, replay={"samples_per_insert": 8.0, "capacity": 400_000}),
        STAGES,
    ),
    WiringFacts(
        env_steps=1_234_567,
        learner_steps=23456,
        progress=progress_of(
            STAGES, 2, window=WindowFigures(50, 0.62, 0.24, 10.4), min_success_frac=0.7, min_return=12.0,
            max_collision_frac=0.2, num_episodes=12034,
        ),
        num_workers=2,
        num_replaced=1,
        metrics={
            "replay/samples_per_insert": 8.02,
            "rollout/policy_lag_max": 1.0,
            "learner/policy_lag_mean": 4.0,
            "replay/size": 241_000.0,
        },
        message="checkpoint env-1200000 committed",
    ),
    Pace(133.0, 167.0, 13456.0, 211.0),
)  # fmt: skip
EMPTY = RunStatus(
    WatchedRun("r", "local", config_of(budget={"time_s": 0.0}), ("open",)),
    WiringFacts(env_steps=0, learner_steps=0, progress=progress_of(("open",)), num_workers=0),
    Pace(0.0),
)


def changed(status: RunStatus, env_steps: int | None = None, **progress: Any) -> RunStatus:
    """The status with other figures of the curriculum."""
    facts = dataclasses.replace(status.facts, progress=dataclasses.replace(status.progress, **progress))
    return dataclasses.replace(
        status, facts=facts if env_steps is None else dataclasses.replace(facts, env_steps=env_steps)
    )


def drawn(
    status: RunStatus, width: int = 80, encoding: str = "utf-8", colour: bool = False, updates: int = 1
) -> list[str]:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Screen(
        file=file, width=width, height=24, force_terminal=colour, color_system="standard" if colour else None
    )
    panel = LivePanel(console)
    for _ in range(updates):
        panel.update(status)
    console.print(panel.render(status))
    panel.close()
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("status", [STATUS, EMPTY, changed(STATUS, stage=3, passed=True)])
def test_the_block_fits_the_terminal(width, status):
    lines = drawn(status, width)
    block = lines[: len(lines) // 2]
    assert max(map(len, lines)) <= width
    assert len(block) <= 23
    assert any(status.run.name[:8] in line for line in block)


def test_the_block_says_what_matters():
    text = "\n".join(drawn(STATUS))
    for word in ("62%", "≥ 70%", "10.4", "> 12", "24%", "< 20%", "1.23M", "13.5k/s", "211/s", "8.02 of 8.00",
                 "1 (of samples 4)", "60%", "workers         2, 1 replaced",
                 "2:13 of 5:00", "2:47", "multi_goal_planning", "committed", "passed"):  # fmt: skip
        assert word in text, word


def test_a_gate_that_asks_for_partners_says_who_is_worst():
    asking = changed(STATUS, min_partner_success_frac=0.8)
    assert "not played yet" in "\n".join(drawn(asking))
    shown = PartnerFigures("main-0003", 900_000, ("own", "straight"), (0.9, 0.4))
    played = changed(STATUS, min_partner_success_frac=0.8, partners=shown)
    text = "\n".join(drawn(played))
    for word in ("partners", "40%", "≥ 80%", "straight"):
        assert word in text, word
    assert "| success 40% beside straight |" in plain_line(played)
    assert played.gate_frac <= 0.5 < asking.gate_frac


def test_ascii_terminals_get_ascii_only():
    lines = drawn(STATUS, encoding="ascii", updates=5)
    assert "".join(lines).isascii()
    assert any("#" in line for line in lines)


def test_sparkline_shows_the_history():
    assert sparkline([0.0, 0.5, 1.0, 2.0, -1.0]) == "▁▅██▁"
    text = "\n".join(drawn(STATUS, updates=12))
    assert "▅" * 10 in text


def test_no_color_is_obeyed(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert any("\x1b[1;36m" in line or "\x1b[36m" in line for line in drawn(STATUS, colour=True))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any("\x1b[36m" in line or "\x1b[32m" in line for line in drawn(STATUS, colour=True))


def test_plain_lines_come_at_intervals_and_with_news():
    now, lines = [0.0], []
    panel = PlainPanel(lines.append, interval_s=10.0, now=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        panel.update(STATUS)
    assert len(lines) == 3
    panel.update(changed(STATUS, stage=3))
    assert len(lines) == 4
    assert "stage full_challenge" in lines[-1]
    panel.update(changed(STATUS, 9, stage=3))
    panel.close()
    panel.close()
    assert len(lines) == 5
    assert all(line.endswith("\n") and "\n" not in line[:-1] for line in lines)
    assert plain_line(EMPTY).startswith("[0:00/0:00] | stage open | success - |")


@pytest.mark.parametrize(
    ("kind", "terminal", "width", "expected"),
    [
        ("auto", True, 80, LivePanel),
        ("auto", True, 30, PlainPanel),
        ("auto", False, 80, PlainPanel),
        ("plain", True, 80, PlainPanel),
        ("live", False, 80, LivePanel),
        ("off", True, 80, NoPanel),
    ],
)
def test_factory(monkeypatch, kind, terminal, width, expected):
    monkeypatch.setenv("TERM", "xterm")
    console = Screen(file=io.StringIO(), force_terminal=terminal, width=width)
    with make_panel(kind, console) as panel:
        assert isinstance(panel, expected)
        panel.update(STATUS)
    if expected is PlainPanel:
        assert "multi_goal_planning" in console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (12345, "12.3k"), (999_499, "999k"), (1_234_567, "1.23M"), (2e9, "2G")],
)
def test_counts(value, text):
    assert format_count(value) == text


def test_seconds():
    assert [format_seconds(s) for s in (0, 75, 3700)] == ["0:00", "1:15", "1:01:40"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"elapsed_s": 10, "stage": 0, "passed": False, "stage_began_s": 0}, 290),
        ({"elapsed_s": 310, "stage": 0, "passed": False, "stage_began_s": 0}, None),
        ({"elapsed_s": 310, "stage": 0, "passed": False, "stage_began_s": 0, "limit_s": 400}, 90),
        ({"elapsed_s": 310, "stage": 2, "passed": False, "stage_began_s": 300}, 290),
        ({"elapsed_s": 900, "stage": 2, "passed": False, "stage_began_s": 300}, 600),
        ({"elapsed_s": 310, "stage": 3, "passed": True, "stage_began_s": 300}, 0),
        ({"elapsed_s": 100, "stage": 3, "passed": True, "stage_began_s": 90, "limit_s": 150}, 50),
    ],
)
def test_remaining_time(arguments, expected):
    assert estimate_remaining_s(budget_s=300, num_stages=4, **arguments) == expected


def test_gate_nearness_is_the_worst_criterion_times_the_filled_window():
    assert STATUS.gate_frac == pytest.approx(0.2 / 0.24)
    half = changed(STATUS, window=WindowFigures(25, 0.35, 0.0, 10.4))
    assert half.gate_frac == pytest.approx(0.25)
    assert EMPTY.gate_frac == 0.0


def test_the_newest_judgement_is_shown_with_its_interval() -> None:
    status = dataclasses.replace(STATUS, index=judged(0.75, 0.5))
    console = Screen(file=io.StringIO(), width=80, force_terminal=True)
    with LivePanel(console) as panel:
        panel.update(status)
    for text in (plain_line(status), console.file.getvalue()):
        assert "held-out success 50.0% (36.0% to 64.0%), best 75.0% at 100" in text
    assert "held-out" not in plain_line(STATUS)


def test_a_league_has_its_lines_in_the_block_and_the_first_on_a_plain_line() -> None:
    lines = ("league 7 snapshots, best main-0004, worst with orca 62%", "meets  orca 5%", "Elo    main +120")
    status = dataclasses.replace(STATUS, facts=dataclasses.replace(STATUS.facts, league=lines))
    shown = drawn(status)
    assert all(line in "\n".join(shown) for line in lines)
    assert len(shown) // 2 <= 23
    assert lines[0] in plain_line(status)
    assert lines[1] not in plain_line(status)
