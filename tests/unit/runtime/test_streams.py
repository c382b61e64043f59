"""The reader of standard output may go away, stop reading, or have no room: nothing raises, and who listens is told
once."""

import fcntl
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robonav_ray.errors import EXIT_FAILED, EXIT_RESUME
from robonav_ray.runtime import streams as streams_module
from robonav_ray.runtime.signals import StopRequest, stop_on_signals
from robonav_ray.runtime.streams import Loss, Streams, _Guarded, guarded_streams

PRINTS = """
import logging, os, sys, warnings
from robonav_ray.runtime.signals import stop_on_signals
from robonav_ray.runtime.streams import guarded_streams
with guarded_streams() as streams, stop_on_signals(30.0) as stop:
    for i in range(20000):
        print("line", i)
        print("error", i, file=sys.stderr)
        logging.warning("warned %d", i)
        if stop:
            break
    os.write(3, f"{stop.why}: {stop.resume_code}".encode()) if stop else os.write(3, b"went on")
    print("never lost: the interpreter flushes this at its exit", end="")
"""


def printing(stdout: str, stderr: str = "2>/dev/null") -> str:
    """Return what a program that prints a lot says of its output, which goes where the shell sends it."""
    read, write = os.pipe()
    shell = f"exec 3>&{write}; {sys.executable} -c '{PRINTS}' {stdout} {stderr}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell],
        pass_fds=[write],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    os.close(write)
    with os.fdopen(read) as told:
        said = told.read()
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr + done.stdout
    assert done.returncode == 0, done.stderr
    return said


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        ("", "2>/dev/null | head -1", "the reader of stdout went away: 75"),
        (">/dev/full", "2>/dev/null", "stdout cannot be written (No space left on device): 1"),
        (">/dev/null", "2>/dev/full", "stderr cannot be written (No space left on device): 1"),
        (">&-", "2>&-", "went on"),
        pytest.param("", "2> >(head -1) >/dev/null", "the reader of stderr went away: 75", marks=pytest.mark.slow),
    ],
)
def test_output_that_nobody_takes_ends_nothing_with_an_error(stdout: str, stderr: str, expected: str) -> None:
    assert printing(stdout, stderr) == expected


def pipe_to(streams: Streams) -> tuple[io.TextIOWrapper, int, int]:
    read, write = os.pipe()
    return io.TextIOWrapper(io.BufferedWriter(_Guarded(write, "stdout", streams)), line_buffering=True), read, write


def test_what_is_read_arrives_whole_and_a_reader_that_goes_away_is_told_once() -> None:
    streams, told = Streams(), list[Loss]()
    streams.listener = told.append
    file, read, write = pipe_to(streams)
    file.write("ä" * 10_000 + "\n")
    assert os.read(read, 1 << 16).decode() == "ä" * 10_000 + "\n"
    os.close(read)
    for _ in range(3):
        file.write("lost\n")
    assert told == [Loss("the reader of stdout went away", EXIT_RESUME)]
    assert streams.loss == told[0]
    os.close(write)


def test_a_reader_that_takes_nothing_is_waited_for_only_until_the_command_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams_module, "PATIENCE_S", 0.1)
    streams = Streams()
    file, read, write = pipe_to(streams)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    began = time.monotonic()
    streams.ending = lambda: time.monotonic() - began > 0.3
    file.write("x" * 20_000 + "\n")
    assert time.monotonic() - began > 0.3
    assert streams.losses["stdout"].why == "stdout has no reader"
    os.close(read)
    os.close(write)


def test_a_disk_that_is_full_is_the_worse_of_two_losses() -> None:
    streams = Streams()
    streams.note("stdout", Loss("the reader of stdout went away", EXIT_RESUME))
    streams.note("stderr", Loss("stderr cannot be written", EXIT_FAILED))
    assert streams.loss is not None
    assert streams.loss.exit_code == EXIT_FAILED


def test_what_somebody_has_put_in_place_of_stdout_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = io.StringIO()
    monkeypatch.setattr(sys, "stdout", mine)
    with guarded_streams():
        assert sys.stdout is mine
    assert sys.stdout is mine


def test_a_loss_asks_for_a_stop_also_one_that_there_was_before() -> None:
    with guarded_streams() as streams:
        streams.note("stdout", Loss("stdout cannot be written", EXIT_FAILED))
        with stop_on_signals() as stop:
            assert stop
            assert (stop.why, stop.resume_code) == ("stdout cannot be written", EXIT_FAILED)
        with stop_on_signals() as stop:
            streams.note("stderr", Loss("the reader of stderr went away", EXIT_RESUME))
            assert stop.resume_code == EXIT_FAILED, "the first counts"
        with stop_on_signals(needs_reader=False) as stop:
            streams.note("stdout", Loss("the reader of stdout went away", EXIT_RESUME))
            assert not stop
    assert not StopRequest()
