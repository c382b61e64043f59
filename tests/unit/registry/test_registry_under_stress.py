"""Many writers at once, and writers that are killed at any instant: one champion, a journal without gaps, and both
agree.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.cli import main
from robonav_ray.files import place_lock
from robonav_ray.registry.contents import Content, content_of
from robonav_ray.registry.journal import MOVED, Alias
from robonav_ray.registry.registry import MovedMeanwhileError, Registry
from robonav_ray.registry.verifying import verify
from robonav_ray.runs.located import located
from tests.disk_faults import DiskOperations

PROCESSES = multiprocessing.get_context("fork")
WON, BEATEN = 0, 2


def promote_at_once(location: str, start: Any, version: int) -> None:
    """The body of a process: promote from the generation that all have seen; its exit code says who has won."""
    start.wait()
    try:
        Registry(location).set_alias("robot_nav", "champion", version, expected_generation=1, reason=str(os.getpid()))
    except MovedMeanwhileError:
        sys.exit(BEATEN)
    sys.exit(WON)


def race(location: str, number: int) -> list[int | None]:
    """Return the exit codes of processes that all promote version 2 at once."""
    start = PROCESSES.Barrier(number)
    racers = [PROCESSES.Process(target=promote_at_once, args=(location, start, 2)) for _ in range(number)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(300)
    return [racer.exitcode for racer in racers]


def is_sound(registry: Registry, *, by_value: bool = True) -> None:
    """Nothing is wrong, and the aliases are those that the journal's moves lead to."""
    entries = registry.journal("robot_nav")
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert all(after.previous_sha256 == before.sha256 for before, after in pairwise(entries))
    stands: dict[str, Alias] = {}
    for entry in entries:
        if entry.alias is not None and entry.to_version is not None:
            before = stands.get(entry.alias, Alias(0, 0))
            stands[entry.alias] = Alias(entry.to_version, before.generation + 1)
    assert registry.aliases("robot_nav") == stands
    for version in registry.versions("robot_nav"):
        version.check()
    assert not by_value or verify(registry, "robot_nav").problems == []


@pytest.mark.parametrize("number", [6, pytest.param(40, marks=pytest.mark.slow)])
def test_of_promotions_at_once_one_wins_and_the_journal_has_no_gap(registry: Registry, number: int) -> None:
    before = len(registry.journal("robot_nav"))
    assert sorted(race(registry.location, number)) == [WON] + [BEATEN] * (number - 1)  # type: ignore[type-var]
    entries = registry.journal("robot_nav")[before:]
    assert [(entry.kind, entry.alias, entry.to_version) for entry in entries] == [(MOVED, "champion", 2)]
    assert registry.aliases("robot_nav")["champion"] == Alias(2, 2)
    is_sound(registry)


@pytest.mark.slow
def test_forty_commands_at_once_move_one_after_the_other(registry: Registry, tmp_path: Path) -> None:
    """Without ``--generation`` each moves from where it finds the alias: it moves it, or says that another has."""

    def command(number: int) -> None:
        sys.stdout = sys.stderr = (tmp_path / f"said-{number}").open("w")
        sys.argv = ["robonav", "registry", "promote", f"robot_nav@{1 + number % 2}", "--registry", registry.location]
        main()

    commands = [PROCESSES.Process(target=command, args=(number,)) for number in range(40)]
    for process in commands:
        process.start()
    for process in commands:
        process.join(300)
    said = [(tmp_path / f"said-{number}").read_text() for number in range(40)]
    codes = [process.exitcode for process in commands]
    assert set(codes) <= {0, 2}, said
    assert all("has moved meanwhile" in text for code, text in zip(codes, said, strict=True) if code == 2)
    moved = sum("->" in text for text in said)
    champion = registry.aliases("robot_nav")["champion"]
    assert champion.generation == 1 + moved == len(registry.journal("robot_nav")) - 3
    is_sound(registry)


@pytest.mark.slow
def test_in_a_bucket_one_wins_too(
    registry: Registry, bucket: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket has no locks; its clock counts whole seconds, so that lock objects settle for more than one."""
    monkeypatch.setattr(place_lock, "SETTLE_S", 1.6)
    monkeypatch.setattr(place_lock, "LONGEST_PUT_S", 0.5)
    bucket("lab").mkdir()
    Path(registry.location).rename(bucket("lab/models"))
    stored = Registry("s3://lab/models")
    assert sorted(race("s3://lab/models", 5)) == [WON] + [BEATEN] * 4  # type: ignore[type-var]
    is_sound(stored)


def add_and_promote(place: Path, content: Content) -> None:
    """What `registry add` and `registry promote` write, without the seconds of reading the run each time."""
    models = Registry(place)
    version = models.add_content(content, "robot_nav", reason="")
    models.set_alias("robot_nav", "champion", version.number, expected_generation=None, evidence=b"page")


def killed_at(place: Path, content: Content, operation: int) -> int:
    """Have a process be killed before an operation on the disk; return how many it did where it was not (0: killed)."""
    counted = PROCESSES.Value("i", 0)

    def body() -> None:
        disk = DiskOperations()
        disk.at, disk.fault = operation, lambda: os.kill(os.getpid(), signal.SIGKILL)
        add_and_promote(place, content)
        counted.value = disk.count

    process = PROCESSES.Process(target=body)
    process.start()
    process.join(300)
    assert process.exitcode == (0 if counted.value else -signal.SIGKILL)
    return counted.value


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_instant_leaves_the_old_champion_or_the_new_one(
    made: Path, registry: Registry, tmp_path: Path, every: int
) -> None:
    """It writes a version and moves the champion to it; the instants are all operations that change the disk."""
    with located(made / "third") as run:
        content = content_of(run, "")
    total = killed_at(shutil.copytree(registry.location, tmp_path / "whole"), content, -1)
    assert total >= 50
    found = Counter[int]()
    for operation in range(1, total + 1, every):
        place = shutil.copytree(registry.location, tmp_path / f"killed-{operation}")
        models = Registry(place)
        assert killed_at(place, content, operation) == 0
        champion = models.aliases("robot_nav")["champion"]
        assert champion in (Alias(1, 1), Alias(3, 2)), operation
        found[champion.version] += 1
        assert models.journal("robot_nav")[-1].aliases["champion"] == champion
        add_and_promote(place, content)  # the next call
        assert models.aliases("robot_nav")["champion"] == Alias(3, 2)
        is_sound(models, by_value=False)
        assert len(models.journal("robot_nav")) == 6
    is_sound(models)
    assert found[1] > 0
    assert every > 1 or (found[3] > 0 and sum(found.values()) >= 50)
