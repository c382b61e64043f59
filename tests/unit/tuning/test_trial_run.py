"""A trial, report by report, in one process: it goes on where it was, and takes over what another one learned."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.runs.checkpoint import list_checkpoints, newest_good_checkpoint
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runtime import signals, watching
from robonav_ray.runtime.live import start_local
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped
from robonav_ray.tuning import search, trial_run
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.session import SearchSession
from robonav_ray.tuning.trial import FileStop
from robonav_ray.tuning.trial_run import ORDER_FILE, TAKE_OVERS_FILE, TrialRun, order_take_over
from robonav_ray.verbs.tune import tune_command

RUN = {
    "algo": {"hidden_dims": [32]},
    "env": {"world": {"lidar": {"num_beams": 12}}},
    "replay": {"capacity": 20_000, "min_size": 500},
    "learner": {"batch_size": 32, "batches_per_call": 4},
    "rollout": {"num_worlds": 16},
    "curriculum": {"window": 4},
}
SEARCH = TuningConfig.model_validate(
    {
        "run": RUN,
        "space": {"learner.learning_rate": {"uniform": [1e-4, 1e-2]}},
        "trial": {"wiring": "local", "max_env_steps": 6_000, "report_env_steps": 2_000, "evaluation_episodes": 8},
        "scheduler": {"kind": "fifo"},
    }
)


def make(tmp_path: Path, trial: str, learning_rate: float = 1e-3, stop: StopRequest | None = None) -> TrialRun:
    config = Experiment(tmp_path, SEARCH).trial_config(trial, {"learner.learning_rate": learning_rate})
    return TrialRun(tmp_path / trial, config, 2_000, start_local, wiring_name="local", command=("test",), stop=stop)


def learner_hash(directory: Path, which: int = -1) -> str:
    manifest = list_checkpoints(directory / "checkpoints")[which] / "manifest.json"
    return json.loads(manifest.read_text())["files"]["learner/learner.safetensors"]["sha256"]


def test_reports_come_at_multiples_and_the_last_says_done(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(watching, "LINE_S", 0.0)
    caplog.set_level("INFO", trial_run.__name__)
    run = make(tmp_path, "00000")
    found = [run.report() for _ in range(3)]
    run.close()
    assert [f.env_steps // 2_000 for f in found] == [1, 2, 3]
    assert [f.env_steps % 2_000 < 16 * 32 + 1 for f in found] == [True] * 3
    assert [f.done for f in found] == [False, False, True]
    assert all(f.objective == pytest.approx(f.stage + f.success_frac) for f in found)
    assert found[-1].checkpoint == list_checkpoints(tmp_path / "00000" / "checkpoints")[-1].name
    assert RunDirectory(tmp_path / "00000").status == "finished"
    log = (tmp_path / "00000" / "log.txt").read_text()
    assert "trial_run: evaluating basic_navigation: 8 of 8 episodes, " in log, "how far the evaluation is"


def test_a_later_life_goes_on_where_the_first_was_and_never_at_0(tmp_path):
    run = make(tmp_path, "00000")
    first = run.report()
    run.close()
    again = make(tmp_path, "00000")
    second = again.report()
    again.close()
    assert second.env_steps > first.env_steps
    assert second.learner_steps > first.learner_steps
    assert RunDirectory(tmp_path / "00000").read_json("run.json")["sessions"][1]["command"] == ["test"]


def test_a_life_that_left_no_checkpoint_is_begun_anew(tmp_path):
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000" / "config.yaml").write_text("name: broken\n")
    run = make(tmp_path, "00000")
    assert run.report().env_steps >= 2_000
    run.close()


@pytest.mark.parametrize("how", ["live", "closed", "ordered", "fresh"])
def test_a_clone_has_the_donors_learner_and_its_own_steps_and_values(tmp_path, how):
    donor = make(tmp_path, "00001")
    donor.report()
    donor.report()
    donor.close()
    donor_path = list_checkpoints(tmp_path / "00001" / "checkpoints")[-1]
    clone, before = make(tmp_path, "00000"), 0
    if how != "fresh":
        before = clone.report().env_steps
    new = make(tmp_path, "00000", learning_rate=5e-3).config
    if how == "live":
        clone.take_over(donor_path, new, None)
    elif how == "ordered":
        clone.close()
        order_take_over(tmp_path / "00000", donor_path)
        clone = make(tmp_path, "00000", learning_rate=5e-3)
        clone.open()
        assert not (tmp_path / "00000" / ORDER_FILE).exists()
    else:
        clone.close()
        clone = make(tmp_path, "00000", learning_rate=5e-3)
        clone.take_over(donor_path, new, None)
    assert learner_hash(tmp_path / "00000") == learner_hash(tmp_path / "00001")
    (told,) = [json.loads(line) for line in (tmp_path / "00000" / TAKE_OVERS_FILE).read_text().splitlines()]
    assert told["sha256"] == told["donor_sha256"] == learner_hash(tmp_path / "00001")
    assert told["stage"] == told["donor_stage"]
    assert told["learner"]["learning_rate"] == 5e-3
    checkpoint, _ = newest_good_checkpoint(tmp_path / "00000" / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.counters.env_steps == before
    assert (checkpoint.path / "replay").is_dir() == (how == "live"), "its own rows stay where they were in memory"
    after = clone.report()
    assert after.env_steps > before
    clone.close()
    lines = [json.loads(line) for line in (tmp_path / "00000" / "metrics.jsonl").read_text().splitlines()]
    rates = [line["learner/learning_rate"] for line in lines if "learner/learning_rate" in line]
    assert rates[-1] == pytest.approx(5e-3)
    told = [line for line in lines if "trial/objective" in line]
    assert (told[-1]["step"], told[-1]["trial/objective"]) == (after.env_steps, after.objective)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_return_that_cannot_be_compared_fails_the_trial_alone(tmp_path, monkeypatch, value):
    nothing = SimpleNamespace(success=None, collision=None, task_return=SimpleNamespace(value=value))
    monkeypatch.setattr("robonav_ray.tuning.trial_run.judge_stage", lambda *_: None)
    monkeypatch.setattr("robonav_ray.tuning.trial_run.summarize", lambda _: nothing)
    run = make(tmp_path, "00000")
    with pytest.raises(RuntimeError, match=r"00000: the mean return of .* cannot be compared"):
        run.report()
    run.close()


@pytest.mark.parametrize("judging", [False, True])
def test_a_trial_that_is_asked_to_stop_leaves_its_report_and_goes_on_later(tmp_path, monkeypatch, judging):
    monkeypatch.setattr(FileStop, "LOOK_S", 0.0)
    asked = tmp_path / "stop-1"
    run = make(tmp_path, "00000", stop=FileStop(asked))
    steps = []
    if judging:
        inner = trial_run.judge_stage

        def judge(*args):
            def show(progress):
                steps.append(progress)
                asked.touch()
                args[-1](progress)

            return inner(*args[:-1], show)

        monkeypatch.setattr(trial_run, "judge_stage", judge)
    else:
        run.open()
        asked.touch()
    with pytest.raises(EvaluationStopped):
        run.report()
    run.close()
    assert len(steps) == judging, "an evaluation ends at its next step"
    monkeypatch.undo()
    asked.unlink()
    later = make(tmp_path, "00000", stop=FileStop(tmp_path / "stop-2"))
    assert later.report().env_steps >= 2_000
    later.close()


def test_a_search_tells_its_trials_once_that_it_ends(tmp_path):
    session = SearchSession.__new__(SearchSession)
    session._stop, session._limit, session._interrupted = StopRequest(), None, False
    session._stop_file = tmp_path / "ray_tune" / "stop-1"
    trial = FileStop(session._stop_file)
    assert not session._should_stop()
    assert not trial
    session._stop.signal_name = "SIGTERM"
    assert session._should_stop()
    assert FileStop(session._stop_file)
    assert not FileStop(tmp_path / "ray_tune" / "stop-2"), "a later session begins without a request"
    session._stop_file.unlink()
    assert session._should_stop()
    assert not session._stop_file.exists()


def test_a_search_that_is_stopped_has_the_runs_grace(monkeypatch):
    class Reached(Exception):
        pass

    def entered(grace_s, in_session):
        raise Reached(grace_s, in_session)

    monkeypatch.setattr(signals, "stop_on_signals", entered)
    config = SEARCH.model_copy(update={"run": {**RUN, "budget": {"grace_s": 7}}})
    monkeypatch.setattr(search, "resolve_search", lambda *asked: (config, None))
    with pytest.raises(Reached, match=r"7\.0, True"):
        tune_command(None, [])
