"""When a run stops, and that its process ends even where something hangs."""

import os
import signal
import subprocess
import sys
import time

import pytest

from robonav_ray.config.runtime import BudgetConfig
from robonav_ray.runtime.budget import Budget, StopReason
from robonav_ray.runtime.signals import StopRequest

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


@pytest.mark.parametrize(("limit_s", "grace_s", "margin_s"), [(1200.0, 30.0, 30.0), (60.0, 30.0, 6.0), (600.0, 5.0, 5.0)])
def test_a_time_limit_is_when_the_command_is_over(limit_s: float, grace_s: float, margin_s: float) -> None:
    budget = Budget(BudgetConfig(max_time_s=limit_s, grace_s=grace_s))

    def reason(session_s: float) -> StopReason | None:
        return budget.stop_reason(train_s=0.0, session_s=session_s, env_steps=0, passed=False)

    assert reason(limit_s - margin_s - 0.01) is None
    assert reason(limit_s - margin_s) is StopReason.TIME_LIMIT


@pytest.mark.parametrize(("exit_code", "manner", "expected"), [(75, "hangs", 75), (0, "hangs", 0), (75, "obeys", 7)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_hangs_beyond_the_grace_is_ended_by_force(number: int, exit_code: int, manner: str, expected: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, "0.6", str(exit_code), manner], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == expected
    if manner == "hangs":
        name = signal.Signals(number).name
        assert said == (
            f"robonav: not over 0.6 s after {name}: ended by force with exit code {exit_code}; what was committed before is intact\n"
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
