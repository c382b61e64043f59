"""When a run stops, and that its process ends even where something hangs."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from robonav_ray.config.runtime import BudgetConfig
from robonav_ray.errors import UserError
from robonav_ray.runtime import signals
from robonav_ray.runtime.budget import Budget, StopReason
from robonav_ray.runtime.signals import STOP_AT, StopRequest, seconds_to_stop, stop_on_interrupt, stop_on_signals

HANGS = """
import sys, time
from robonav_ray.runtime.signals import stop_on_signals
with stop_on_signals(float(sys.argv[1])) as stop:
    stop.exit_code = int(sys.argv[2])
    print("ready", flush=True)
    while True:
        time.sleep(0.05)
        if stop and sys.argv[3] == "obeys":
            break
sys.exit(7)
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(signals, "time", clock)
    return clock


@pytest.mark.parametrize(
    "name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGVTALRM", "SIGPROF"]
)
def test_every_signal_that_would_end_the_process_asks_for_a_stop_and_is_as_it_was_afterwards(
    name: str, request: pytest.FixtureRequest
) -> None:
    number = signal.Signals[name]
    if signal.getsignal(number) is signal.SIG_IGN:  # nohup has SIGHUP ignored
        signal.signal(number, signal.SIG_DFL)
        request.addfinalizer(lambda: signal.signal(number, signal.SIG_IGN))
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert (stop.signal_name, stop.resume_code) == (name, 75), "the first counts"
    assert signal.getsignal(number) is before


def test_two_interrupts_within_half_a_second_are_one_and_a_later_one_ends_at_once(clock: Clock) -> None:
    with stop_on_signals() as stop:
        for wait_s in (0.0, 0.2, 0.2):
            clock.now += wait_s
            signal.raise_signal(signal.SIGINT)
        assert stop.signal_name == "SIGINT"
        assert not stop.at_once
        clock.now += 0.2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.at_once
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)  # as some wrappers do
        assert stop.signal_name == "SIGTERM"
        clock.now += 1.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_who_was_started_with_nohup_hears_of_no_hangup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("limit_s", "grace_s", "margin_s"), [(1200.0, 30.0, 30.0), (60.0, 30.0, 6.0), (600.0, 5.0, 5.0)]
)
def test_a_time_limit_is_when_the_command_is_over(limit_s: float, grace_s: float, margin_s: float) -> None:
    budget = Budget(BudgetConfig(max_time_s=limit_s, grace_s=grace_s))

    def reason(session_s: float) -> StopReason | None:
        return budget.stop_reason(train_s=0.0, session_s=session_s, env_steps=0, passed=False)

    assert reason(limit_s - margin_s - 0.01) is None
    assert reason(limit_s - margin_s) is StopReason.TIME_LIMIT


def reason_of(budget: Budget, **given: Any) -> StopReason | None:
    return budget.stop_reason(**({"train_s": 0.0, "session_s": 0.0, "env_steps": 0, "passed": False} | given))


def test_a_stage_without_a_gate_ends_by_the_budget_alone() -> None:
    timed = Budget(BudgetConfig(time_s=100.0))
    assert reason_of(timed, train_s=99.0, is_open=True) is None
    assert reason_of(timed, train_s=100.0, is_open=True) is StopReason.BUDGET
    assert reason_of(timed, train_s=1e9, waited_s=1e9) is StopReason.GIVEN_UP, (
        "a gate before the last stage that never opens"
    )
    counted = Budget(BudgetConfig(env_steps=5000))
    assert reason_of(counted, train_s=1e9, env_steps=4999, is_open=True) is None
    assert reason_of(counted, env_steps=5000, is_open=True) is StopReason.BUDGET
    endless = Budget(BudgetConfig(time_s=0.0, max_env_steps=9000))
    assert reason_of(endless, train_s=1e9, env_steps=8999, is_open=True) is None
    assert reason_of(endless, env_steps=9000, is_open=True) is StopReason.MAX_ENV_STEPS
    assert reason_of(Budget(BudgetConfig(time_s=0.0)), waited_s=1e9, is_open=True) is StopReason.BUDGET, (
        "no gate is waited for"
    )
    assert reason_of(Budget(BudgetConfig(time_s=0.0, max_time_s=1e9)), waited_s=1e6, is_open=True) is None


def test_env_steps_are_used_in_any_case_and_the_gate_is_waited_for() -> None:
    budget = Budget(BudgetConfig(env_steps=5000))
    assert reason_of(budget, passed=True, env_steps=4999, train_s=1e9) is None
    assert reason_of(budget, passed=True, env_steps=5000) is StopReason.FINISHED
    assert reason_of(budget, env_steps=6000) is None
    with pytest.raises(ValueError, match=r"time_s \(600\) would be ignored"):
        BudgetConfig(env_steps=5000, time_s=600.0)


def test_a_gate_that_never_opens_is_given_up() -> None:
    assert BudgetConfig().gives_up_after_s == 1800.0
    assert BudgetConfig(time_s=3600.0).gives_up_after_s == 4 * 3600.0
    assert BudgetConfig(max_env_steps=10**9).gives_up_after_s is None, "the limit ends it"
    budget = Budget(BudgetConfig(give_up_s=60.0, max_env_steps=10**9))
    assert reason_of(budget, waited_s=59.0, train_s=1e6) is None, "a gate opened a minute ago"
    assert reason_of(budget, waited_s=60.0) is StopReason.GIVEN_UP
    assert reason_of(budget, waited_s=60.0, passed=True, train_s=1.0) is None
    assert not StopReason.GIVEN_UP.finished


@pytest.mark.parametrize(
    ("config", "env_steps", "passed", "expected"),
    [
        (BudgetConfig(), 10_000, True, ["budget.time_s=900"]),
        (BudgetConfig(max_env_steps=10_000), 10_200, False, ["budget.max_env_steps=20400", "budget.time_s=900"]),
        (BudgetConfig(env_steps=10_000), 10_200, True, ["budget.env_steps=20400"]),
        (
            BudgetConfig(env_steps=500, max_env_steps=1000),
            1000,
            True,
            ["budget.max_env_steps=2000", "budget.env_steps=2000"],
        ),
        (BudgetConfig(time_s=0), 1000, True, ["budget.env_steps=2000"]),
        (BudgetConfig(time_s=0, max_env_steps=1000), 1000, False, ["budget.max_env_steps=2000"]),
        (
            BudgetConfig(time_s=0, max_env_steps=1000),
            1000,
            True,
            ["budget.max_env_steps=2000", "budget.env_steps=2000"],
        ),
    ],
)
def test_train_longer_trains_longer(config: BudgetConfig, env_steps: int, passed: bool, expected: list[str]) -> None:
    longer = Budget(config).longer(env_steps=env_steps, train_s=200.0, passed=passed)
    assert longer == expected
    changed = {override.removeprefix("budget.").split("=")[0]: float(override.split("=")[1]) for override in longer}
    again = Budget(BudgetConfig(**{**config.model_dump(), **changed}))
    assert reason_of(again, env_steps=env_steps, train_s=200.0, passed=passed) is None


@pytest.mark.parametrize(("exit_code", "manner", "expected"), [(75, "hangs", 75), (0, "hangs", 0), (75, "obeys", 7)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_hangs_beyond_the_grace_is_ended_by_force(number: int, exit_code: int, manner: str, expected: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, "0.6", str(exit_code), manner],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=200)
    assert process.returncode == expected
    if manner == "hangs":
        name = signal.Signals(number).name
        assert said == (
            f"robonav: not over 0.6 s after {name}: ended by force with exit code {exit_code}; what was committed "
            "before is intact\n"
        )
    else:
        assert said == ""


def test_only_the_first_limit_counts_and_none_counts_once_it_is_over() -> None:
    ended: list[int] = []
    stop = StopRequest(ended.append)
    stop.end_within(30.0, "the first")
    first = stop._timer
    stop.end_within(0.0, "the second")
    assert stop._timer is first
    stop.over()
    stop = StopRequest(ended.append)
    stop.end_within(0.0, "a test")
    while not ended:
        time.sleep(0.01)
    assert ended == [75]


def test_who_shares_its_process_with_others_is_never_ended() -> None:
    stop = StopRequest()
    stop.end_within(0.0, "nothing")
    assert stop._timer is None
    assert os.getpid()


@pytest.mark.parametrize("stopping", [stop_on_signals, stop_on_interrupt])
def test_a_command_stops_at_the_time_that_its_session_was_given(
    stopping: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STOP_AT, str(time.time() + 60.0))
    with stopping(in_session=True) as stop:
        assert not stop
        clock.now += 59.0
        assert not stop
        clock.now += 2.0
        assert stop
        assert (stop.signal_name, stop.why) == (STOP_AT, "the time in ROBONAV_STOP_AT has come")
        assert stop.resume_code == 75
    monkeypatch.setenv(STOP_AT, "1000")
    with stopping(in_session=True) as stop:
        assert stop  # it is over already
    with stopping() as stop:  # what judges or draws
        assert not stop
    monkeypatch.delenv(STOP_AT)
    with stopping(in_session=True) as stop:
        clock.now += 1e9
        assert not stop


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1800000060", 60.0), ("2027-01-15T09:01:00+01:00", 60.0), (" 1799999990.5 ", -9.5), ("", None)],
)
def test_when_a_session_ends_is_read_in_two_ways(
    text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STOP_AT, text)
    assert seconds_to_stop(lambda: 1_800_000_000.0) == seconds


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-5", "1e300", "2026-13-01T00:00:00", "12h"])
def test_a_time_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STOP_AT, text)
    with pytest.raises(UserError, match=r"ROBONAV_STOP_AT=.*seconds since 1970"):
        seconds_to_stop()
