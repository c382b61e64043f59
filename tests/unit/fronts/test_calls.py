"""The calls of ``robonav_ray`` do what the verbs do, and leave the program that they are called in as it was."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest
import yaml

import robonav_ray as rn
from robonav_ray.cli import main
from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.errors import UserError
from robonav_ray.evaluation.report import to_dict
from robonav_ray.fronts import call_display
from robonav_ray.fronts.call_config import asked_config
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.tracking.jsonl import read_metrics
from robonav_ray.tracking.panel import NoPanel, PlainPanel
from tests.e2e.test_local_wiring import SMALL
from tests.e2e.test_sessions import bits
from tests.unit.tracking.test_panel import STATUS

pytestmark = pytest.mark.usefixtures("undrawn")

STEPS = 2000
SHORT = {
    **{key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in SMALL)},
    "budget.max_env_steps": STEPS, "evaluation.num_episodes": 4, "evaluation.num_worlds": 4,
    "evaluation.gif_episodes": 0, "tracking.interval_s": 0.1, "tracking.backends": ["jsonl"],
    "checkpoint.interval_s": 1000,
}  # fmt: skip


def program() -> tuple[Any, ...]:
    """Return what a call must leave as it was."""
    return (
        [*logging.root.handlers], logging.root.level, [*logging.getLogger("robonav_ray").handlers],
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)], sys.stdout, sys.stderr,
    )  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> rn.TrainResult:
    """A short run of one process."""
    folder, before = tmp_path_factory.mktemp("calls"), program()
    result = rn.train(SHORT, {"seed": 3, "output_dir": folder / "runs"}, local=True, quiet=True)
    assert program() == before
    return result


@pytest.fixture
def run(result: rn.TrainResult, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(result.path, tmp_path / "runs" / "copy")


def test_a_training_gives_its_run_its_evaluation_and_its_metrics(result: rn.TrainResult) -> None:
    assert (result.status, result.env_steps >= STEPS, result.path.parent.name) == ("finished", True, "runs")
    assert result.evaluation is not None
    written = json.loads((result.path / "evaluation.json").read_text())
    assert json.loads(json.dumps(to_dict(result.evaluation))) == written
    assert result.evaluation.levels[-1].summary.success.frac == written["levels"][-1]["summary"]["success"]["frac"]
    frame = result.metrics()
    lines = read_metrics(result.path / "metrics.jsonl")
    assert frame["step"].tolist() == [line["step"] for line in lines]
    assert frame["learner/learner_step"].iloc[-1] == lines[-1]["learner/learner_step"] > 0
    with pytest.raises(AttributeError):
        result.status = "unfinished"  # type: ignore[misc]


def test_the_command_line_makes_the_same_bits(
    result: rn.TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{key}={json.dumps(value)}" for key, value in (SHORT | {"seed": 3}).items()]
    monkeypatch.setattr(sys, "argv", ["robonav", "train", "--local", "--out", str(tmp_path / "run"), *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    one, other = bits(RunDirectory(tmp_path / "run")), bits(RunDirectory(result.path))
    assert one["learner_steps"] > 50
    assert one == other


def test_an_interrupt_ends_the_run_with_a_checkpoint_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(NoPanel):
        def update(self, status: Any) -> None:
            if status.facts.learner_steps > 20:
                signal.raise_signal(signal.SIGINT)

    before = program()
    monkeypatch.setattr(call_display, "PlainPanel", lambda write: Interrupting())
    stopped = rn.train(
        SHORT | {"budget.max_env_steps": 10**6}, {"checkpoint.interval_s": 1000}, local=True, out=tmp_path / "run"
    )
    assert (stopped.status, stopped.evaluation, stopped.path) == ("unfinished", None, tmp_path / "run")
    assert program() == before
    assert rn.runs(tmp_path)[["name", "status", "steps"]].values.tolist() == [["run", "unfinished", stopped.env_steps]]
    monkeypatch.undo()

    async def cell() -> rn.TrainResult:
        """As a notebook runs it: within a loop, which asyncio has put a handler of its own beside."""
        inside = program()
        more = {"budget.max_env_steps": stopped.env_steps + 300}
        result = rn.train(resume=stopped.path, overrides=more, quiet=True)  # as it was: in one process
        assert program() == inside
        return result

    again = asyncio.run(cell())
    assert again.status == "finished"
    assert again.path == stopped.path
    assert again.env_steps >= stopped.env_steps + 300
    assert again.metrics()["step"].is_monotonic_increasing
    sessions = json.loads((again.path / "run.json").read_text())["sessions"]
    assert [session["wiring"] for session in sessions] == ["local", "local"]


def test_a_policy_acts_on_one_observation_or_many(result: rn.TrainResult) -> None:
    policy = rn.load_policy(result.path)
    obs = np.random.default_rng(0).normal(size=(5, policy.obs_dim)).astype(np.float32)
    actions, values = policy.act(obs), policy.q_values(obs)
    assert values.shape == (5, policy.num_actions)
    assert values.dtype == np.float32
    assert actions.tolist() == values.argmax(axis=1).tolist()
    one = policy.act(obs[2])
    assert (type(one), one) == (int, actions[2])
    assert np.array_equal(policy.q_values(obs[2]), values[2])
    assert policy.act(obs[:0]).shape == (0,)
    checkpoint = next((result.path / "checkpoints").glob("env-*"))
    assert np.array_equal(rn.load_policy(str(checkpoint)).q_values(obs), values)
    spoilt = obs.copy()
    spoilt[1, 2] = np.nan
    for given, told in (
        (obs.astype(np.float64), "dtype float64"), (obs[:, :-1], r"shape \(5, "), (obs[None], r"shape \(1, 5, "),
        (spoilt, r"nan at \[1, 2\]"), (obs[0].tolist(), "obs is list"), (np.float32(1.0), "float32"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            policy.act(given)
        with pytest.raises(UserError, match=told):
            policy.q_values(given)


def test_what_is_no_policy_is_told_from_what_is_damaged_and_what_does_not_fit(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        rn.load_policy(tmp_path)
    with pytest.raises(UserError, match="is not a run directory"):
        rn.load_policy(tmp_path / "nowhere")
    config = run / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("num_beams: 12", "num_beams: 16"))
    with pytest.raises(UserError, match=r"another observation size: its first layer takes \d+ numbers"):
        rn.load_policy(run)
    config.write_text(text)
    weights = next(run.glob("checkpoints/env-*/learner/*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-5] ^= 0xFF
    weights.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged|sha256|no whole checkpoint"):
        rn.load_policy(run)


def test_an_evaluation_may_be_of_other_worlds_and_says_so(run: Path) -> None:
    before = program()
    report = rn.evaluate(run, episodes=3, stages=["full_challenge"], quiet=True)
    assert [level.level for level in report.levels] == ["full_challenge"]
    assert report.levels[0].summary.num_episodes == 3
    assert report.changes == ()
    faster = rn.evaluate(run, episodes=3, stages=[3], overrides={"env.world.difficulty": "fast"}, quiet=True)
    assert faster.changes == ("env.world.difficulty=fast (trained with standard)",)
    reports = sorted(run.glob("evaluations/*/evaluation.json"))
    assert len(reports) == 2, "two in one second have a folder each"
    assert {tuple(json.loads(path.read_text())["changes"]) for path in reports} == {(), faster.changes}
    assert any("in changed worlds" in path.with_suffix(".md").read_text() for path in reports)
    for arguments, told in (
        ({"overrides": {"algo.gamma": 0.5}}, "algo.gamma=0.5.*would change nothing"),
        ({"overrides": {"env.world.lidar.num_beams": 16}}, "was trained with"),
        ({"overrides": {"env.wrld": 1}}, "did you mean 'world'"),
        ({"stages": ["nowhere"]}, "there is no stage 'nowhere'; the stages are 0"),
        ({"stages": 9}, "there is no stage '9'"),
        ({"stages": []}, "names none"),
        ({"episodes": 0}, r"episodes \(0\)"),
    ):
        with pytest.raises(UserError, match=told):
            rn.evaluate(run, quiet=True, **arguments)
    assert program() == before
    assert len(list(run.glob("evaluations/*"))) == 2


def test_a_call_in_another_thread_touches_no_signal(run: Path, tmp_path: Path) -> None:
    before, told = program(), list[Any]()

    def call() -> None:
        told.append(rn.evaluate(run, episodes=2, stages="basic_navigation", out=tmp_path / "out", quiet=True))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert told[0].levels[0].level == "basic_navigation"
    assert program() == before
    assert (tmp_path / "out" / "evaluation.json").is_file()


def test_runs_are_a_table_and_the_room_of_that_name_can_be_called(result: rn.TrainResult, tmp_path: Path) -> None:
    table = rn.runs(result.path.parent)
    assert list(table.columns) == ["name", "status", "seed", "steps", "success", "started", "path"]
    row = table.iloc[-1]
    assert (row["name"], row["status"], row["seed"], row["steps"]) == (
        result.path.name,
        "finished",
        3,
        result.env_steps,
    )
    assert 0.0 <= row["success"] <= 1.0
    assert row["started"].tzinfo is not None
    assert Path(row["path"]) == result.path
    assert rn.runs(tmp_path).empty
    with pytest.raises(UserError, match="no such folder"):
        rn.runs(tmp_path / "nowhere")
    assert callable(sys.modules["robonav_ray.runs"])
    for module in (rn, rn.runs):
        assert cloudpickle.loads(cloudpickle.dumps(module)) is module


def test_a_config_may_be_a_path_a_mapping_a_config_or_nothing(tmp_path: Path) -> None:
    def made(given: Any, overrides: dict[str, Any] | None = None) -> RunConfig:
        asked, words = asked_config(RunConfig, given, overrides)
        return asked if isinstance(asked, RunConfig) else load_run_config(asked, words)

    path = tmp_path / "c.yaml"
    path.write_text("env: {id: CartPole-v1}\nseed: 5\n")
    nested = {"env": {"id": "CartPole-v1"}, "seed": np.int64(5)}
    for given in (path, str(path), nested, {"env.id": "CartPole-v1", "seed": 5}, made(path)):
        config = made(
            given,
            {"algo.hidden_dims": (32, 16), "learner.learning_rate": np.float64(1e-4), "env.kwargs": {"a.b": "1e5"}},
        )
        assert (config.env.id, config.seed, config.algo.hidden_dims) == ("CartPole-v1", 5, (32, 16))
        assert config.learner.learning_rate == 1e-4
        assert config.env.kwargs == {"a.b": "1e5"}
    assert made(None) == load_run_config()
    assert made(made(path)) == made(path)
    for given, overrides, told in (
        ({"leaner": {}}, None, "config: leaner: unknown key; did you mean 'learner'"),
        ({"learner": {"batch_size": 7.5}}, None, r"config: learner\.batch_size"),
        (None, {"learner.batch_sise": 3}, "did you mean 'batch_size'"),
        (None, {"seed": object()}, "object is no kind of value"),
        (None, {3: 3}, "is no text"),
        (7, None, "int is no config"),
        (TuningConfig.model_construct(), None, "TuningConfig is no config"),
        (RunConfig(), {"preset": "rainbow"}, "every setting written down"),
        ("nowhere.yaml", None, "no such file"),
    ):
        with pytest.raises(UserError, match=told):
            made(given, overrides)


def test_mistakes_are_user_errors_and_make_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = program()
    for call in (
        lambda: rn.train("nowhere.yaml", local=True),
        lambda: rn.train({"seed": -1}, local=True),
        lambda: rn.train(resume="nowhere"),
        lambda: rn.train(None, {"env.id": "Nowhere-v0"}, local=True),
        lambda: rn.tune(),
        lambda: rn.tune("nowhere.yaml"),
        lambda: rn.tune({"num_trials": 0, "space": {"algo.gamma": {"uniform": [0.9, 0.99]}}}),
        lambda: rn.tune(resume="nowhere", overrides={"num_trials": 3}),
        lambda: rn.tune("asha", time_limit_s=0.0),
    ):
        with pytest.raises(UserError):
            call()
    assert program() == before
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_has_one_output_that_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    handle = SimpleNamespace(update=lambda bundle, raw: shown.append(bundle))

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        shown.append(bundle)
        return handle

    ipython, of_display = ModuleType("IPython"), ModuleType("IPython.display")
    of_display.display = display  # type: ignore[attr-defined]
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    clock = [0.0]
    view = call_display.call_audience(False).make_view("auto")
    assert isinstance(view, call_display.NotebookPanel)
    view._now = lambda: clock[0]
    for _ in range(10):  # within a second: two drawings
        view.update(STATUS)
        clock[0] += 0.1
    view.close()
    assert len(shown) == 3
    assert "<pre" in shown[0]["text/html"]
    assert STATUS.run.name in shown[-1]["text/plain"]
    assert "\x1b" not in shown[-1]["text/plain"] + shown[-1]["text/html"]
    ipython.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    assert isinstance(call_display.call_audience(False).make_view("auto"), PlainPanel)
    assert isinstance(call_display.call_audience(True).make_view("auto"), NoPanel)


ALONE = """
import sys
from pathlib import Path
import numpy as np
import robonav_ray as rn
assert rn.runs.__name__ == "robonav_ray.runs", "before anything has imported the room"
import robonav_ray.runtime.local, robonav_ray.runtime.train
late = {"pandas", "matplotlib", "scipy.special", "scipy.stats", "robonav_ray.planners.base"}
assert not late & sys.modules.keys(), "a training begins later for it"
short = eval(sys.argv[1])
changes = {"budget.max_env_steps": 1000, "evaluation.num_episodes": 2}
result = rn.train(short, changes, local=True, out="run", quiet=True)
policy = rn.load_policy(result.path)
policy.act(np.zeros(policy.obs_dim, np.float32))
rn.evaluate(result.path, episodes=2, stages=[0], quiet=True)
assert len(result.metrics()) > 0 and len(rn.runs(".")) == 1
from robonav_ray.cli import main
for words in (["train", "--local", "--resume", "run", "budget.max_env_steps=1100"],
              ["evaluate", "run", "--episodes", "2", "--stages", "0"],
              ["play", "run", "--episodes", "1", "--stage", "0", "--output", "a.gif"], ["runs", "list", "."]):
    sys.argv = ["robonav", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
assert Path("a.gif").is_file()
found = sorted(name for name in sys.modules if name == "ray" or name.startswith("ray."))
assert found == [], found
print("without Ray")
"""


def test_what_is_local_never_imports_ray(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, repr(SHORT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("without Ray\n")
