"""Saves in the background: one at a time, a failure costs one save and not the training, the last one is waited for."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.commands import Networks
from robonav_ray.config.load import load_run_config
from robonav_ray.config.runtime import BudgetConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.errors import LearnerCallError
from robonav_ray.files.storage import open_folder, write_file
from robonav_ray.runs.checkpoint import (
    Checkpoint,
    CheckpointWriter,
    Counters,
    list_checkpoints,
    newest_good_checkpoint,
    open_checkpoint,
)
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime import saving
from robonav_ray.runtime.budget import StopReason
from robonav_ray.runtime.controller import Controller, Kept
from robonav_ray.runtime.saving import Saver
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.wiring import RunSession, WiringFacts
from tests.e2e.test_local_wiring import SMALL


class SlowWiring:
    """A wiring whose parts write for as long as a test wants, or fail."""

    def __init__(self, session: RunSession) -> None:
        self.session = session
        self.progress = Curriculum(session.config.curriculum, True).progress()
        self.learner_step, self.env_steps = 0, 0
        self.written, self.fail_cut, self.fail_write = threading.Event(), "", ""
        self.cuts: list[bool] = []
        self.told: list[Path] = []
        self.histograms_asked_at: list[int] = []
        self.num_abandoned = 0
        self.comes_up_after = 0
        """Polls before the learner's first step."""
        self.written.set()

    def poll(self, timeout_s: float, until_env_steps: int | None = None) -> WiringFacts:
        self.env_steps += 10
        self.learner_step = max(0, self.env_steps // 10 - self.comes_up_after)
        time.sleep(0.001)
        return WiringFacts(
            self.env_steps,
            self.learner_step,
            self.progress,
            1,
            is_starting=self.learner_step <= self.session.counters.learner_steps,
        )

    def tell_budget(self, used_frac: float) -> None: ...

    def histograms(self) -> tuple[()]:
        self.histograms_asked_at.append(self.env_steps)
        return ()

    def begin_save(self, writer: CheckpointWriter, *, last: bool = False) -> "SlowSave":
        if self.fail_cut:
            raise LearnerCallError(self.fail_cut)
        self.cuts.append(last)
        return SlowSave(self, writer)

    def networks(self) -> Networks:
        raise AssertionError("nothing is judged here")

    def save_replay(self, directory: Path) -> None: ...

    def committed(self, checkpoint: Checkpoint) -> None:
        self.told.append(checkpoint.path)

    def close(self) -> None: ...


class SlowSave:
    def __init__(self, wiring: SlowWiring, writer: CheckpointWriter) -> None:
        self._wiring, self._writer, self.learner_step = wiring, writer, wiring.learner_step

    def poll(self, timeout_s: float) -> bool:
        if self._wiring.fail_write:
            raise OSError(28, self._wiring.fail_write)
        if not self._wiring.written.wait(0.005):
            return False
        self._writer.add([write_file(open_folder(str(self._writer.path)), "net.bin", b"net")])
        return True

    def abandon(self) -> None:
        self._wiring.num_abandoned += 1


class Silent:
    """Trackers and panel that hear everything and say nothing."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.logged.append(metrics)

    def update(self, status: Any) -> None: ...


@pytest.fixture
def session(tmp_path: Path) -> RunSession:
    config = load_run_config(None, [*SMALL, "checkpoint.interval_s=0.02", "tracking.interval_s=0.01"])
    return RunSession(config, describe_task(config), create_run(config, tmp_path / "run"), None, time.monotonic())


def make_controller(session: RunSession, wiring: SlowWiring, stop: StopRequest) -> tuple[Controller, Silent]:
    silent = Silent()
    return Controller(session, wiring, silent, silent, stop, "local"), silent  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", ["max_env_steps", "env_steps"])
def test_worlds_that_run_while_the_learner_comes_up_end_no_run(session: RunSession, limit: str) -> None:
    """A run over Ray whose worlds had used its env steps by then ended without one learner step."""
    budget = BudgetConfig.model_validate({"time_s": 0.0, limit: 100})
    session = replace(session, config=session.config.model_copy(update={"budget": budget}))
    wiring = SlowWiring(session)
    wiring.progress = replace(wiring.progress, forced=True, is_gated=False)
    wiring.comes_up_after = 30
    ending = make_controller(session, wiring, StopRequest())[0].run()
    assert (ending.facts.env_steps, ending.facts.learner_steps, ending.kept) == (310, 1, Kept.COMMITTED)
    assert ending.reason.finished

    assert wiring.histograms_asked_at == [310], "a run that ends at its learner's first step shows its histograms, too"

    resumed = replace(session, checkpoint=ending.newest)
    wiring.session, wiring.comes_up_after = resumed, 40
    ending = make_controller(resumed, wiring, StopRequest())[0].run()
    assert (ending.facts.env_steps, ending.kept) == (320, Kept.NOTHING_NEW), "nothing is left to be trained"


def test_the_parts_go_on_while_a_checkpoint_is_written(session: RunSession) -> None:
    wiring, stop = SlowWiring(session), StopRequest()
    wiring.written.clear()
    controller, silent = make_controller(session, wiring, stop)
    assert controller.advance(400) is None
    assert wiring.cuts == [False], "one save at a time, however often one is due"
    assert list_checkpoints(session.run.checkpoints) == []
    at_cut = wiring.learner_step
    wiring.written.set()
    while controller.last_saved is None:
        controller.advance(wiring.env_steps + 10)
    saved = open_checkpoint(controller.last_saved.path)
    assert 0 < saved.counters.learner_steps < at_cut, "counters are those of the cut"
    assert wiring.told[0] == saved.path
    stop.signal_name = "SIGTERM"
    ending = controller.advance()
    assert ending is not None
    assert (ending.reason, ending.saved) == (StopReason.SIGNAL, True)
    assert wiring.cuts[-1] is True
    newest, damaged = newest_good_checkpoint(session.run.checkpoints)
    assert damaged == []
    assert newest is not None
    assert newest.counters.learner_steps == ending.facts.learner_steps
    assert silent.logged[-1]["runtime/failed_saves"] == 0.0


def test_what_nobody_foresaw_while_a_checkpoint_is_finished_ends_the_run(
    session: RunSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring = SlowWiring(session)

    def forget(checkpoint: Checkpoint) -> None:
        raise KeyError(checkpoint.path.name)

    monkeypatch.setattr(wiring, "committed", forget)
    controller, _ = make_controller(session, wiring, StopRequest())
    with pytest.raises(KeyError, match="env-"):
        controller.advance(1_000_000)


@pytest.mark.parametrize("fault", ["fail_cut", "fail_write"])
def test_a_disk_that_is_full_costs_saves_and_nothing_else(
    session: RunSession, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And when the last one fails as well, the ending says so, which is exit code 1."""
    wiring, stop = SlowWiring(session), StopRequest()
    controller, silent = make_controller(session, wiring, stop)
    while controller.last_saved is None:
        controller.advance(wiring.env_steps + 10)
    setattr(wiring, fault, "No space left on device")
    while controller._failed_saves < 3:
        assert controller.advance(wiring.env_steps + 10) is None
    assert "No space left on device" in caplog.text
    assert "the previous one is intact" in caplog.text
    stop.signal_name = "SIGTERM"
    ending = controller.advance()
    assert ending is not None
    assert not ending.saved
    newest, damaged = newest_good_checkpoint(session.run.checkpoints)
    assert (newest and newest.path, damaged) == (controller.last_saved.path, [])
    assert [p.name for p in session.run.checkpoints.iterdir() if p.name.startswith(".aside")] == []
    assert silent.logged[-1]["runtime/failed_saves"] >= 3.0
    assert wiring.num_abandoned == (0 if fault == "fail_cut" else controller._failed_saves)


def test_a_writer_that_never_ends_is_given_up(session: RunSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "WRITE_TIMEOUT_S", 0.05)
    wiring = SlowWiring(session)
    wiring.written.clear()
    saver = Saver(session, wiring)
    saver.begin(Counters(env_steps=1))
    with pytest.raises(RuntimeError, match="already"):
        saver.begin(Counters(env_steps=2))
    while (outcome := saver.take(0.05)) is None:
        pass
    assert outcome.checkpoint is None
    assert outcome.total_s >= 0.05
    assert wiring.num_abandoned == 1
    assert saver.take() is None
    wiring.written.set()
    saver.begin(Counters(env_steps=2))
    while (outcome := saver.take(0.05)) is None:
        pass
    assert outcome.checkpoint is not None


def test_closing_gives_up_what_is_being_written(session: RunSession) -> None:
    wiring = SlowWiring(session)
    wiring.written.clear()
    saver = Saver(session, wiring)
    saver.begin(Counters(env_steps=1))
    saver.close()
    outcome = saver.take()
    assert outcome is not None
    assert outcome.checkpoint is None
    assert list(session.run.checkpoints.iterdir()) == []
