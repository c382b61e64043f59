"""However a run ends, what was learned is kept: a fault is one sentence, a trace in error.txt, a reason in status.json
and exit code 1."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from robonav_ray.cli import main
from robonav_ray.runs.checkpoint import Checkpoint, newest_good_checkpoint

pytestmark = pytest.mark.usefixtures("undrawn")

ENV = """
import gymnasium, numpy as np

STEPS, FAILS_AT = [0], [None, None]

class Moody(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        STEPS[0] += 1
        if STEPS[0] == FAILS_AT[0]:
            raise FAILS_AT[1]
        return np.zeros(3, np.float32), 1.0, self.steps == 10, False, {}

gymnasium.register("Moody-v0", Moody, disable_env_checker=True)
"""
MOODY = [
    "env.id=moody:Moody-v0", "algo.hidden_dims=[16]", "rollout.num_worlds=4", "rollout.steps_per_fragment=16",
    "replay.capacity=2000", "replay.min_size=128", "learner.batch_size=32", "tracking.panel=off",
    "tracking.backends=[jsonl]", "curriculum.stages=[{name: never, gate: {min_success_frac: null, min_return: 99}}]",
    "evaluation.num_episodes=4",
]  # fmt: skip


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an environment that fails when it is told to; it is the current one."""
    (tmp_path / "moody.py").write_text(ENV)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "moody", raising=False)
    gymnasium.registry.pop("Moody-v0", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Return the exit code of ``robonav train --local`` in this process."""
    monkeypatch.setattr(sys, "argv", ["robonav", "train", "--local", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def newest(run: Path) -> Checkpoint:
    checkpoint, damaged = newest_good_checkpoint(run / "checkpoints")
    assert not damaged
    assert checkpoint is not None
    return checkpoint


def fail_at(step: int, error: BaseException) -> None:
    import moody  # pyright: ignore[reportMissingImports]

    moody.STEPS[0] = 0
    moody.FAILS_AT[:] = [step, error]


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), SystemExit(0), pytest.param(MemoryError(), marks=pytest.mark.slow)],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_in_the_worlds_costs_no_training_and_is_resumed(
    moody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    sentence = "at moody.py:19"
    fail_at(1000, error)
    assert train(monkeypatch, "--out", "run", *MOODY) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert len(told.splitlines()) <= 3
    assert "robonav train --resume run" in told
    run = moody / "run"
    saved = newest(run)
    assert 64 * 14 <= saved.counters.env_steps <= 1000, "all whole fragments, none of the one that failed"
    assert saved.counters.learner_steps > 0
    assert not (saved.rollout / "worker.npz").exists(), "the worlds were half stepped"
    trace = (run / "error.txt").read_text()
    assert "Traceback" in trace
    assert 'moody.py", line' in trace
    status = json.loads((run / "status.json").read_text())
    assert status["status"] == "unfinished"
    assert sentence in status["reason"]

    fail_at(0, error)
    assert train(monkeypatch, "--resume", "run", "budget.max_env_steps=1500") == 0
    assert f"at {saved.counters.env_steps:,} env steps" in capsys.readouterr().out
    last = newest(run)
    assert last.counters.env_steps >= 1500
    assert last.counters.learner_steps > saved.counters.learner_steps


def test_a_verb_that_looks_at_a_run_tells_of_its_environment_in_one_sentence(
    moody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(monkeypatch, "--out", "run", *OPEN, "budget.env_steps=320") == 0
    capsys.readouterr()
    fail_at(30, KeyError("x"))
    monkeypatch.setattr(sys, "argv", ["robonav", "evaluate", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert told.splitlines()[0].startswith("robonav: your environment failed: KeyError('x') at moody.py:19")
    assert "Traceback" not in told
    assert 'moody.py", line 19' in (moody / "run" / "error.txt").read_text()


OPEN = [*MOODY[:-2], "evaluation.num_episodes=4"]


def test_a_stage_without_a_gate_trains_for_the_budget_in_env_steps(
    moody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(monkeypatch, "--out", "run", *OPEN, "budget.env_steps=1600") == 0
    told = capsys.readouterr().out
    assert "stopped because its budget is used: 1,600 env steps" in told
    assert "passed" not in told
    assert "robonav train --resume run --local budget.env_steps=3200" in told
    assert newest(moody / "run").counters.env_steps == 1600
    assert train(monkeypatch, "--resume", "run", "budget.env_steps=1920") == 0
    assert newest(moody / "run").counters.env_steps == 1920


def test_a_gate_that_never_opens_is_given_up_by_name(
    moody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(monkeypatch, "--out", "run", *MOODY, "budget.give_up_s=3") == 75
    told = " ".join(capsys.readouterr().out.split())
    assert "no gate has opened for 0.05 minutes of training (budget.give_up_s)" in told
    assert "the gate of stage 'never': 50 of 50 episodes in its window, return 10 (above 99) has not opened" in told
    assert newest(moody / "run").counters.learner_steps > 0
    assert json.loads((moody / "run" / "status.json").read_text())["status"] == "unfinished"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["budget.max_env_steps=1000"],
            ["budget.max_env_steps (1000): nothing would be learned", "replay.min_size (5000)"],
        ),
        (["env.id=CartPole-v1", "budget.time_s=0"], ["the last stage (open) has no gate", "budget.env_steps"]),
        (["env.id=CartPole-v1", "budget.env_steps=100"], ["budget.env_steps (100): nothing would be learned"]),
        (["budget.env_steps=9000", "budget.time_s=60"], ["time_s (60) would be ignored"]),
        (["budget.env_steps=9000", "budget.max_env_steps=8000"], ["must not be above max_env_steps"]),
    ],
)
def test_a_budget_that_can_teach_nothing_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(monkeypatch, *arguments) == 2
    told = capsys.readouterr().err
    assert all(part in told for part in parts), told
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_reader_that_goes_away_loses_no_training(moody: Path) -> None:
    told = ["tracking.panel=plain", *(word for word in MOODY if not word.startswith("tracking.panel"))]
    command = [sys.executable, "-m", "robonav_ray.cli", "train", "--local", "--out", "run", *told]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "stage never" not in process.stdout.readline():
            pass
        process.stdout.close()  # the next line of the panel has no reader
        said = process.stderr.read()
        assert process.wait(60) == 75, said
    assert said.startswith("robonav: stopped because the reader of stdout went away")
    assert "go on with: robonav train --resume run --local" in said
    assert newest(moody / "run").counters.learner_steps > 0
