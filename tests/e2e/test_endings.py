"""However a run ends, what was learned is kept: a fault is one sentence, a trace in error.txt, a reason in status.json and exit code 1."""

import json
import sys
from pathlib import Path

import gymnasium
import pytest

from robonav_ray.cli import main
from robonav_ray.runtime.checkpoint import Checkpoint, newest_good_checkpoint

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
    "env.id=moody:Moody-v0", "algo.hidden_dims=[16]", "rollout.num_worlds=4", "rollout.steps_per_fragment=16", "replay.capacity=2000",
    "replay.min_size=128", "learner.batch_size=32", "tracking.panel=off", "tracking.backends=[jsonl]",
    "curriculum.stages=[{name: never, gate: {min_success_frac: null, min_return: 99}}]", "evaluation.num_episodes=4",
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
    ("error", "sentence"),
    [
        (KeyError("x"), "KeyError: 'x' at moody.py:"),
        (SystemExit(0), "SystemExit: 0 at moody.py:"),
        pytest.param(MemoryError(), "MemoryError at moody.py:", marks=pytest.mark.slow),
    ],
)
def test_an_exception_in_the_worlds_costs_no_training_and_is_resumed(
    moody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, sentence: str
) -> None:
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
