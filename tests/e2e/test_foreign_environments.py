"""A run in a user's environment, from the command to its last file: in its own words, judged by what it tells,
and with an end."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from robonav_ray.cli import main
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.runtime import watching
from tests import foreign_envs

pytestmark = pytest.mark.usefixtures("undrawn")

WORLDS_WORDS = ("success", "collision", "timeout", "stage", "worlds")
SHORT = (
    "rollout.num_worlds=4", "rollout.steps_per_fragment=16", "replay.capacity=4000", "replay.min_size=128",
    "learner.batch_size=32", "algo.hidden_dims=[8]", "tracking.panel=plain", "tracking.interval_s=0.1",
    "evaluation.num_episodes=6", "evaluation.num_worlds=4", "budget.max_env_steps=800",
)  # fmt: skip


def robonav(*arguments: str) -> int:
    """Run a command in this process and return its exit code."""
    before, sys.argv = sys.argv, ["robonav", *arguments]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv = before
    return 0


def train(*arguments: str) -> int:
    return robonav("train", "--local", "--out", "run", *SHORT, *arguments)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def metrics() -> dict[str, float]:
    told: dict[str, float] = {}
    for line in Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines():
        told |= json.loads(line)
    return told


def test_names_of_ours_in_its_info_change_nothing_and_its_numbers_are_curves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate = "curriculum.stages=[{name: a, gate: {min_success_frac: null, min_return: 50}}]"
    assert train("env.id=Foreign-v0", "env.kwargs={kind: ours}", gate) == 0
    told = metrics()
    assert told["curriculum/passed"] == 0.0, "its task_return of 99 is not the return of 5"
    assert told["curriculum/return_mean"] == 5.0
    assert (told["info/task_return"], told["info/speed"], told["info/length"]) == (99.0, 1.25, 12.5)
    assert told["rollout/info_dropped"] > 0
    assert not {"curriculum/success_frac", "curriculum/collision_frac"} & told.keys()
    report = json.loads(Path("run/evaluation.json").read_text(encoding="utf-8"))
    (level,) = report["levels"]
    assert (level["summary"]["total_return"]["value"], level["summary"]["length"]["value"]) == (5.0, 5.0)
    assert Path("run/play.gif").read_bytes()[:3] == b"GIF"
    capsys.readouterr()
    assert robonav("play", "run", "--episodes", "1", "--output", "x.gif", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["written"], told["seed"]) == (["x.gif"], 7)
    assert told["pictures"] > 1
    assert Path("x.gif").read_bytes()[:3] == b"GIF"
    assert "goals_reached" in Path("run/log.txt").read_text(encoding="utf-8")


def test_one_that_tells_nothing_is_spoken_of_in_returns(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("env.id=Blind-v0") == 0
    shown = capsys.readouterr().out
    assert "Blind-v0: mean return 5.00" in shown
    told = shown + Path("run/evaluation.md").read_text(encoding="utf-8")
    assert not [word for word in WORLDS_WORDS if word in told.lower()]
    assert not Path("run/play.gif").exists()
    assert robonav("play", "run") == 2
    assert "draws no pictures" in capsys.readouterr().err


def test_success_told_at_the_end_only_by_a_flat_environment_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    gate = "curriculum.stages=[{name: a, gate: {min_success_frac: 0.9}}]"
    assert train("env.id=Foreign-v0", "env.kwargs={kind: end}", gate, "evaluation.gif_episodes=0") == 0
    told = metrics()
    assert told["curriculum/success_frac"] == pytest.approx(0.5, abs=0.04)
    assert told["curriculum/passed"] == 0.0
    assert "curriculum/collision_frac" not in told
    shown = capsys.readouterr().out
    assert "success in 100.0% of 6 unseen episodes" in shown
    assert "collision" not in shown


def test_a_criterion_that_nothing_is_told_for_ends_the_run_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    gate = "curriculum.stages=[{name: a, gate: {min_success_frac: 0.1, min_return: 1}}]"
    assert train("env.id=Foreign-v0", gate) == 2
    error = capsys.readouterr().err
    assert "curriculum.stages.0.gate.min_success_frac (0.1) cannot be judged" in error
    assert "Traceback" not in error
    assert newest_good_checkpoint(Path("run/checkpoints"))[0] is not None, "what was learned is not lost"
    collisions = "curriculum.stages=[{name: a, gate: {min_success_frac: null, max_collision_frac: 0.1}}]"
    assert robonav("train", "--local", "--out", "other", *SHORT, "env.id=Foreign-v0", collisions) == 2
    assert "curriculum.stages.0.gate.max_collision_frac (0.1) cannot be judged" in capsys.readouterr().err
    assert not Path("other").exists()


def test_episodes_that_never_end_are_said_cut_off_and_ended_by_a_signal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = ("env.id=Foreign-v0", "env.kwargs={length: 1000000000}", "evaluation.max_episode_steps=40")
    assert train(*endless) == 0
    shown = capsys.readouterr()
    assert (
        "Foreign-v0: mean return 40.00 (40.00 to 40.00) over 6 unseen episodes, 100.0% did not end and were cut off"
        in shown.out
    )
    summary = json.loads(Path("run/evaluation.json").read_text(encoding="utf-8"))["levels"][0]["summary"]
    assert (summary["cut_off"]["frac"], summary["success"], summary["length"]["value"]) == (1.0, None, 40.0)

    def slow(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(foreign_envs.ForeignEnv, "step", slow)
    began = time.monotonic()
    assert robonav("evaluate", "run") == 75
    assert time.monotonic() - began < 60.0, "a step takes a minute"
    assert "the evaluation was stopped, and nothing is written" in capsys.readouterr().out
    assert not Path("run/evaluations").exists()


def test_a_signal_in_the_evaluation_after_training_ends_it_and_training_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = watching.EvaluationWatch.begin

    def interrupted(self: watching.EvaluationWatch, what: str, num: int) -> object:
        show = begin(self, what, num)

        def tell(progress: EvaluationProgress) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            show(progress)

        return tell

    monkeypatch.setattr(watching.EvaluationWatch, "begin", interrupted)
    assert train("env.id=Foreign-v0") == 0
    assert "stopped before the evaluation was over; the training is whole" in capsys.readouterr().out
    assert not Path("run/evaluation.json").exists()
    assert json.loads(Path("run/status.json").read_text(encoding="utf-8"))["status"] == "finished"
