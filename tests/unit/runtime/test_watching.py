"""An evaluation shows how far it is, and ends at a signal wherever it is."""

from __future__ import annotations

import io
import os
import signal
import threading
import time

import numba
import pytest

from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.runtime.examination.compiling import Compiling, said_on, watch_compiling
from robonav_ray.runtime.signals import StopRequest, stop_on_signals
from robonav_ray.runtime.watching import EvaluationStopped, EvaluationWatch, stopped_at_once
from robonav_ray.screen import Screen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_step_that_takes_for_ever(number: int, request: pytest.FixtureRequest) -> None:
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, hangup))
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with stop_on_signals() as stop:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        with pytest.raises(EvaluationStopped), stopped_at_once(stop):
            time.sleep(60)
        assert stop.signal_name == signal.Signals(number).name
        with pytest.raises(EvaluationStopped), stopped_at_once(stop):
            raise AssertionError("a request that is there already is enough")
    assert {n: signal.getsignal(n) for n in before} == before


def test_an_environment_that_catches_all_exceptions_does_not_catch_it_and_it_comes_once() -> None:
    closed: list[bool] = []

    def step() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except Exception:  # noqa: BLE001 (as an environment may)
            raise AssertionError("caught") from None
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            closed.append(True)

    with stop_on_signals() as stop, pytest.raises(EvaluationStopped), stopped_at_once(stop):
        step()
    assert closed


def test_signals_that_ask_for_nothing_pass() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with stopped_at_once(StopRequest()):
            os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_outside_of_the_main_thread_it_does_nothing() -> None:
    done: list[bool] = []

    def work() -> None:
        with stopped_at_once(StopRequest()):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_where_there_is_no_terminal_a_line_comes_now_and_then() -> None:
    now, console = [0.0], Screen(file=io.StringIO(), width=200)
    with EvaluationWatch(console, now=lambda: now[0]) as watch:
        show = watch.begin("evaluating [a]", 1000)
        for second in range(25):
            now[0] = float(second)
            show(EvaluationProgress(second, 1000, 100 * second))
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "evaluating [a]: 10 of 1,000 episodes, 1,000 env steps, 10 s",
        "evaluating [a]: 20 of 1,000 episodes, 2,000 env steps, 20 s",
    ]


def test_on_a_terminal_there_is_a_bar() -> None:
    now, console = [0.0], Screen(file=io.StringIO(), width=120, force_terminal=True)
    with EvaluationWatch(console, now=lambda: now[0]) as watch:
        show = watch.begin("evaluating a", 10)
        now[0] = 1.0
        show(EvaluationProgress(3, 10, 77))
    assert "evaluating a, 77 env steps" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_request_ends_it_at_the_next_step() -> None:
    stop = StopRequest()
    with EvaluationWatch(Screen(file=io.StringIO()), stop) as watch:
        show = watch.begin("x", 10)
        show(EvaluationProgress(0, 10, 1))
        stop.signal_name = "SIGTERM"
        with pytest.raises(EvaluationStopped):
            show(EvaluationProgress(0, 10, 2))


def test_kernels_that_are_compiled_are_told_of_until_a_step_is_made() -> None:
    out, clock = io.StringIO(), [0.0]
    with EvaluationWatch(Screen(file=out, soft_wrap=True, force_terminal=False), None, lambda: clock[0]) as watch:
        show = watch.begin("playing", 10)
        for now in (0.0, 5.0, 11.0, 12.0, 22.0):
            clock[0] = now
            watch.tell_compiling(Compiling("planners/dwa: choose", int(now)))
            show(EvaluationProgress(0, 10, 0))
        clock[0] = 33.0
        show(EvaluationProgress(0, 10, 100))
    compiling = "compiling kernels, once for this installation (planners/dwa: choose"
    assert out.getvalue().splitlines() == [
        f"{compiling})", f"{compiling}, 11 done)", f"{compiling}, 22 done)",
        "playing: 0 of 10 episodes, 100 env steps, 33 s",
    ]  # fmt: skip


def test_a_kernel_is_told_of_when_it_is_compiled_and_what_was_kept_is_not() -> None:
    inner = numba.njit(lambda x: x + 1)
    outer, told, out = numba.njit(lambda x: inner(x) * 2), list[Compiling](), io.StringIO()
    with watch_compiling(told.append), said_on(Screen(file=out, soft_wrap=True, force_terminal=False)):
        assert outer(3) == 8
        assert outer(4) == 10
    assert {now.kernel for now in told} == {f"{__name__.replace('.', '/')}: <lambda>"}
    assert [now.num_done for now in told] == [0, 0, 1, 2]
    assert out.getvalue().count("compiling kernels") == 1
