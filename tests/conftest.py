"""One Ray session for the whole suite, private to it; nothing here touches a Ray of another program. And no test
hangs."""

import faulthandler
import os
import signal

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = "60"  # a rank that has no core for a while is not frozen
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("RAY_ADDRESS", None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what it puts in the background so
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HANGS_AFTER_S = 60.0
stderr = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[stderr] = os.dup(2)  # nothing is captured yet


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """A test past its timeout fails by an exception, which `ray.get` swallows: a minute later all stacks are shown and
    all ends."""
    faulthandler.dump_traceback_later(settings.timeout + HANGS_AFTER_S, exit=True, file=item.config.stash[stderr])


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer() -> None:
    faulthandler.cancel_dump_traceback_later()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With ``--durations``, as in CI: the seconds of each folder, fixtures included."""
    if config.option.durations is None:
        return
    seconds: Counter[str] = Counter()
    for report in (
        one for reports in terminalreporter.stats.values() for one in reports if isinstance(one, pytest.TestReport)
    ):
        seconds[report.nodeid.partition("::")[0].rpartition("/")[0]] += report.duration
    terminalreporter.section("seconds of each folder")
    for folder, total in seconds.most_common():
        terminalreporter.write_line(f"{total:8.1f}  {folder}")


@pytest.fixture(autouse=True)
def _suite_keeps_its_niceness() -> Iterator[None]:
    """A process cannot take its niceness back: what steps back in the suite's own has all later tests starve beside
    busy processes.
    """
    before = os.getpriority(os.PRIO_PROCESS, 0)
    yield
    assert os.getpriority(os.PRIO_PROCESS, 0) == before, "the suite's own process has stepped back"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with more logical CPUs than the machine has, so that small actors always fit."""
    from robonav_ray.nodes.own_ray import own_ray

    with own_ray(
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=150_000_000,
        log_to_driver=False,
        _system_config={
            "metrics_report_interval_ms": 1000,  # 10 s by default; a test waits for what is exported
            "worker_niceness": 0,  # as in a Ray of our own: parts step back by themselves
        },
    ):
        yield


class Ended(NamedTuple):
    """How a command has ended, and what it has said."""

    returncode: int
    stdout: str
    stderr: str


Robonav = Callable[..., Ended]


@pytest.fixture
def robonav_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Robonav:
    """Runs a command of ``robonav`` in this process, without the seconds of a new one; in the folder ``cwd``, or in the
    one that is current.
    """
    from robonav_ray.cli import main

    def run(*arguments: object, cwd: Path | None = None) -> Ended:
        capsys.readouterr()
        if cwd is not None:
            monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["robonav", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end in this process get a dot for their curves, whose picture would take longer than all the rest."""

    def draw(run: Path) -> Path:
        from PIL import Image

        Image.new("RGB", (1, 1)).save(run / "curves.png")
        return run / "curves.png"

    monkeypatch.setattr("robonav_ray.runtime.judge.draw_curves", draw)
