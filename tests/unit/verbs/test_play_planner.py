"""``robonav play --planner``: a film of a planner, and what is typed wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from robonav_ray.cli import main


def play(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["robonav", "play", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_it_films_a_planner_without_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert play(["--planner", "dwa:default", "--stage", "0", "--episodes", "1", "--seed", "3"], monkeypatch) == 0
    with Image.open("play-dwa-default-stage0-seed3.gif") as film:
        assert film.n_frames > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the run whose policy shall drive, or a planner with --planner"),
        (["--planner", "dwe"], "did you mean 'dwa'"),
        (["--planner", ""], "there is no planner ''"),
        (["--planner", "dwa:best"], "leave out the rest"),
        (["--planner", "dwa", "--stage", "9"], "there is no stage '9'"),
        (["--planner", "dwa", "--checkpoint", "best"], "--checkpoint would be ignored"),
        (["--planner", "dwa", "--window", "--output", "a.gif"], "--output goes with a GIF"),
        (["no/such/run", "--planner", "dwa"], "no/such/run"),
    ],
)
def test_what_is_typed_wrong_is_said(
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert play(words, monkeypatch) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())
