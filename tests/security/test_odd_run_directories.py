"""Odd files in place of a run's files: the verbs end with one message and exit code 2, nothing hangs, nothing else
is touched."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robonav_ray.cli import main
from robonav_ray.config.load import load_run_config
from robonav_ray.files.plain_files import append
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters
from robonav_ray.runs.run_directory import RunDirectory, create_run
from tests.e2e.test_local_wiring import SMALL
from tests.odd_files import ODD_FILES, TOO_LARGE, put

FILES = ("config.yaml", "run.json", "status.json", "summary.json", "metrics.jsonl", "events.jsonl", "log.txt", ".lock")
FOLDERS = ("checkpoints", "tensorboard", "evaluations", "ray_train")
ODD_FOLDERS = {name: ODD_FILES[name] for name in ("link to a folder", "link to nothing", "pipe", "socket")} | {
    "file": Path.touch
}


def end(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code of a command, and what it said on stderr."""
    monkeypatch.setattr("sys.argv", ["robonav", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0, capsys.readouterr().err  # type: ignore[return-value]


def small_run(path: Path) -> RunDirectory:
    """A run with a checkpoint that holds no policy: what gets as far as that is refused too."""
    run = create_run(load_run_config(None, SMALL), path)
    CheckpointWriter(run.checkpoints, Counters(env_steps=1)).commit()
    run.write_status("unfinished")
    append(run.path / "metrics.jsonl", '{"step": 1, "time": 1, "a": 1}\n')
    return run


def test_what_is_odd_in_a_run_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = small_run(tmp_path / "run").path
    cases = [(name, odd) for name in FILES for odd in ODD_FILES.items()]
    cases += [(name, odd) for name in FOLDERS for odd in ODD_FOLDERS.items()] + [("config.yaml", ("5 GB", TOO_LARGE))]
    verbs = itertools.cycle((["evaluate"], ["play"], ["train", "--local", "--resume"]))
    for (name, (odd, kind)), verb in zip(cases, verbs, strict=False):
        kept = tmp_path / "kept"
        if (run / name).exists():
            (run / name).rename(kept)
        put(kind, run / name)
        code, said = end([*verb, str(run)], monkeypatch, capsys)
        assert code == 2, (name, odd, said)
        assert name in said, (name, odd, said)
        assert "Traceback" not in said
        put(Path.touch, run / name)
        (run / name).unlink()
        if kept.exists():
            kept.rename(run / name)


def test_odd_things_as_config_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs = (["config", "show"], ["config", "validate"], ["train"], ["tune"], ["cluster", "up", "--definition"])
    for odd, kind in {**ODD_FILES, "5 GB": TOO_LARGE}.items():
        if odd == "link to a file":
            continue  # which a file that is named on the command line may be
        put(kind, tmp_path / "odd.yaml")
        for verb in verbs:
            code, said = end([*verb, str(tmp_path / "odd.yaml")], monkeypatch, capsys)
            assert code == 2, (odd, verb, said)
            assert "odd.yaml" in said, (odd, verb, said)
    for verb in verbs:
        code, said = end([*verb, "/dev/zero"], monkeypatch, capsys)
        assert (code, "/dev/zero: is a device" in said) == (2, True), (verb, said)


def test_a_config_may_be_a_link_to_a_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "real.yaml").write_text("seed: 7\n")
    (tmp_path / "a=b.yaml").symlink_to("real.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["robonav", "config", "show", "a=b.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "seed: 7\n" in capsys.readouterr().out


NOISE: dict[str, Callable[[Path], object]] = {
    **ODD_FILES,
    "5 GB": TOO_LARGE,
    "empty": Path.touch,
    "noise": lambda path: path.write_bytes(random.Random(path.name).randbytes(5000)),
    "deep": lambda path: path.write_text("[" * 200_000),
    "no object": lambda path: path.write_text("[1, 2]"),
    "missing": lambda path: None,
}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_file_of_a_real_run_in_every_odd_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ends in 0, 2 or 75, without a traceback; what lies behind the links stays."""
    good, victim = tmp_path / "good", tmp_path / "victim"
    victim.write_text("dear")
    code, said = end(["train", *SMALL, "budget.max_env_steps=600", "--local", "--out", str(good)], monkeypatch, capsys)
    assert code in (0, 75), said
    names = sorted(path.relative_to(good).as_posix() for path in good.rglob("*"))
    kinds = {**NOISE, "link to a file": lambda path: path.symlink_to(victim)}
    rng, run = random.Random(13), tmp_path / "run"
    cases = [(name, kind) for name in names for kind in kinds]
    for name, odd in rng.sample(cases, min(200, len(cases))):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(good, run)
        put(kinds[odd], run / name)
        verb = rng.choice(
            (["evaluate", "--episodes", "1"], ["train", "--local", "budget.max_env_steps=600", "--resume"])
        )
        code, said = end([*verb, str(run)], monkeypatch, capsys)
        assert code in (0, 2, 75), (name, odd, verb, said)
        assert "Traceback" not in said, (name, odd, verb, said)
        assert victim.read_text() == "dear", (name, odd, verb)
