"""The race of the learners: who needed how long, what a peer that did not get there proves, a clock that stops for
evaluations."""

from __future__ import annotations

import time

import numpy as np
import pytest

from proofs.peers import ours, track
from proofs.peers import program as bench_peers
from proofs.peers.program import OURS, Race, factor, markdown, run_race, summarize
from proofs.peers.track import Point, Task, Track, read_points
from robonav_ray.config.load import load_run_config


def race(
    learner: str, seconds: list[float], success: list[float], stage: int = 1, seed: int = 1, target: float = 0.7
) -> Race:
    points = tuple(Point(s, int(100 * s), int(10 * s), v) for s, v in zip(seconds, success, strict=True))
    return Race(learner, stage, seed, points, target)


FAST = race(OURS, [5, 10], [0.4, 0.8])
SLOW = race("stable_baselines3", [5, 60, 120], [0.1, 0.5, 0.75])
NEVER = race("rllib", [10, 110], [0.0, 0.2])


def test_the_faster_peer_counts():
    assert factor(FAST, [SLOW, NEVER]) == (12.0, False)
    assert factor(FAST, [NEVER]) == (11.0, True)
    assert factor(race(OURS, [5.0], [0.1]), [SLOW]) == (0.0, False), "who has not arrived is not faster"


def test_seconds_to_any_level_are_those_of_the_first_point_there():
    assert [SLOW.seconds_to(level) for level in (0.1, 0.5, 0.6, 0.9)] == [5, 60, 120, None]
    assert SLOW.rate("env_steps") == pytest.approx(100.0)
    assert race("rllib", [3.0], [0.1]).rate("updates") == 0.0


def test_the_least_of_the_stages_is_the_result():
    races = [FAST, SLOW, NEVER]
    races += [
        race(OURS, [10], [0.9], stage=4),
        race("stable_baselines3", [50], [0.1], stage=4),
        race("rllib", [40], [0.1], stage=4),
    ]
    summary = summarize(races, ["stable_baselines3", "rllib"])
    assert summary["stages"] == {
        "1": {"factor": 12.0, "is_lower_bound": False},
        "4": {"factor": 4.0, "is_lower_bound": True},
    }
    assert summary["least_factor"] == 4.0
    text = markdown(races, summary)
    assert "Stage 4: the faster peer needs at least 4.0 times the seconds of our faster wiring." in text
    assert "| 1 | 1 | RLlib DQN | > 110 | – |" in text


def test_the_picture_is_drawn(tmp_path):
    bench_peers.draw([FAST, SLOW, NEVER], tmp_path / "peers.png")
    assert (tmp_path / "peers.png").stat().st_size > 5000


def task(tmp_path, **changes) -> Task:
    return Task(
        **{"stage": 0, "seed": 1, "target": 0.7, "limit_s": 1e6, "num_episodes": 16, "output": tmp_path} | changes
    )


def test_the_clock_stands_still_during_an_evaluation(tmp_path, monkeypatch):
    def slow_evaluation(self, act):
        time.sleep(0.3)
        return 0.25

    monkeypatch.setattr(Task, "held_out_success", slow_evaluation)
    found = Track(task(tmp_path))
    found._due_s = found.seconds
    before = found.seconds
    assert not found.is_over(100, 10, np.zeros_like)
    assert found.seconds - before < 0.15
    assert not found.is_over(101, 11, np.zeros_like), "not due again so soon"
    (point,) = read_points(tmp_path)
    assert (point.env_steps, point.updates, point.success) == (100, 10, 0.25)


@pytest.mark.parametrize(("success", "limit_s", "over"), [(0.7, 1e6, True), (0.69, 1e6, False), (0.0, 0.0, True)])
def test_a_learner_stops_at_its_target_or_at_its_limit(tmp_path, monkeypatch, success, limit_s, over):
    monkeypatch.setattr(Task, "held_out_success", lambda self, act: success)
    found = Track(task(tmp_path, limit_s=limit_s))
    found._due_s = 0.0
    assert found.is_over(1, 1, np.zeros_like) is over


def test_held_out_worlds_are_the_same_for_everyone(tmp_path):
    def spin(obs):
        return np.zeros(len(obs), np.int64)

    assert task(tmp_path).held_out_success(spin) == task(tmp_path, seed=9).held_out_success(spin) <= 0.2


def test_what_has_run_is_not_run_again_unless_something_else_is_asked(tmp_path, monkeypatch):
    calls = []

    def fake(command, **_):
        calls.append(command[command.index("-m") + 1])
        track.write_point(wanted.output, Point(3.0, 10, 1, 0.9))
        return bench_peers.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(bench_peers.subprocess, "run", fake)
    wanted = task(tmp_path / "rllib")
    for _ in range(2):
        assert run_race("rllib", wanted).seconds == 3.0
    wanted = task(tmp_path / "rllib", target=0.8)
    run_race("rllib", wanted)
    assert calls == ["proofs.peers.rllib_dqn"] * 2
    # not reached in 3 s: more time is another question, less is not
    for limit_s, again in ((2.0, False), (30.0, True)):
        wanted = task(tmp_path / "rllib", target=0.95, limit_s=limit_s)
        run_race("rllib", wanted)
        del calls[:]
        run_race("rllib", wanted)
        assert bool(calls) is again


def test_a_process_that_fails_is_an_error_with_its_output(tmp_path, monkeypatch):
    monkeypatch.setitem(bench_peers.MODULES, "rllib", "proofs.peers.nowhere")
    with pytest.raises(bench_peers.BenchError, match=r"No module named proofs\.peers\.nowhere"):
        run_race("rllib", task(tmp_path / "rllib"))


def test_a_missing_library_is_said_with_what_to_type(monkeypatch):
    monkeypatch.setitem(bench_peers.NEEDS, "rllib", ("no_such_library",))
    with pytest.raises(bench_peers.BenchError, match=r"pip install -c constraints.txt -e '\.\[bench\]'"):
        bench_peers.check_installed(["rllib"])


@pytest.mark.parametrize("stage", range(4))
def test_our_side_is_a_valid_config_of_one_stage(tmp_path, stage):
    config = load_run_config(None, ours.overrides(task(tmp_path, stage=stage)))
    assert config.curriculum.force_stage == stage
    assert config.curriculum.stages[stage].epsilon.start == 1.0
    assert config.env == task(tmp_path).config.env
