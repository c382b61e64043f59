"""Every text in a config or an override is read, or refused with a message that says where and what; never a
traceback."""

from __future__ import annotations

import difflib
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from robonav_ray.cli import main
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import UserError
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.sizes import check_sizes
from tests.config_fuzz import Damaged, damaged, sources

ROOT = Path(__file__).parents[2]
TEXTS = sources(ROOT)


WHERE = r"(?s)%s(:\d+: \S|: a config is a mapping )|override .+?(: |:\d+: )\S"
"""What every line of a message begins with: file and line, but for what concerns the whole file; or the override."""


def outcome(config: Damaged, folder: Path) -> str:
    """Do what `robonav config validate` does; return `fine` or the message, and look at it."""
    path = folder / "damaged.yaml"
    path.write_bytes(config.text)
    try:
        found = load_run_config(path, config.overrides)
    except ConfigError as error:
        text = str(error)
        for line in text.splitlines():
            assert re.match(WHERE % re.escape(str(path)), line), text
        assert len(text) < 20_000, "a message is for people"
        return text
    try:
        check_sizes(found, describe_task(found).spec)
    except UserError as error:
        text = str(error)
    else:
        return "fine"
    assert re.search(r"[a-z_]+\.[a-z_]+", text), "a key is named"
    return text


@pytest.mark.parametrize("block", range(4))
def test_a_hundred_damaged_configs(tmp_path: Path, block: int) -> None:
    seen = Counter(outcome(damaged(seed, TEXTS), tmp_path) == "fine" for seed in range(block * 25, block * 25 + 25))
    assert seen[False] >= 10, "the wounds do harm"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_thousand_damaged_configs(tmp_path: Path) -> None:
    seen = Counter(outcome(damaged(seed, TEXTS), tmp_path) == "fine" for seed in range(100, 1100))
    assert seen[False] > 700


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_damaged_configs_end_the_command_with_code_2(tmp_path: Path) -> None:
    path = tmp_path / "damaged.yaml"
    for seed in range(40):
        config = damaged(seed, TEXTS)
        path.write_bytes(config.text)
        fine = outcome(config, tmp_path) == "fine"
        overrides = [o for o in config.overrides if "\0" not in o]  # which no command line can hold
        if len(overrides) < len(config.overrides):
            continue
        done = subprocess.run(
            [sys.executable, "-m", "robonav_ray.cli", "config", "validate", str(path), "--", *overrides],
            capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == (0 if fine else 2), (seed, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, (seed, done.stderr)
    assert {p.name for p in tmp_path.iterdir()} == {"damaged.yaml"}, "nothing in a config is run"


def end(arguments: list[bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code of a command whose arguments are any bytes."""
    monkeypatch.setattr("sys.argv", ["robonav", *map(os.fsdecode, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])])
def test_configs_and_overrides_of_any_bytes(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rng = tmp_path / os.fsdecode(b"c\xff=\xc3\xb6.yaml"), random.Random(13)
    for _ in range(count):
        path.write_bytes(
            rng.choice((b"seed: 3\n", b"seed: ", b"name: a\n", b"")) + rng.randbytes(rng.choice((0, 1, 3, 300)))
        )
        noise = bytes(rng.choice(b"\xff\xc3\xb6#=.'\"[]{}: a1\n\x1b\x7f") for _ in range(rng.randrange(8)))
        override = rng.choice((b"name=", b"output_dir=", b"seed=", b"", b"a.b=", b"\xff=")) + noise
        code = end([b"config", b"show", os.fsencode(path), b"--", override], monkeypatch)
        said = capsys.readouterr().err
        assert code in (0, 2), (override, path.read_bytes(), said)
        assert code == 0 or "robonav: " in said or "Usage" in said
        assert "Traceback" not in said, (override, path.read_bytes(), said)


def test_a_locale_of_ascii_shows_escapes_where_it_has_no_characters(tmp_path: Path) -> None:
    (tmp_path / "größe.yaml").write_text("seed: 3\n")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "robonav_ray.cli", "config", "show", "größe.yaml", "output_dir=größe"],
        capture_output=True, cwd=tmp_path, timeout=60, check=False, env=os.environ | plain,
    )  # fmt: skip
    assert (done.returncode, b"output_dir: gr\\xf6\\xdfe\n" in done.stdout) == (0, True), done.stderr


def test_a_misspelt_key_is_answered_with_line_and_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    keys = [("learner", name) for name in ("batch_size", "learning_rate", "target_tau")] + [
        ("replay", "capacity"),
        ("rollout", "num_worlds"),
    ]
    for section, key in keys:
        wrong = key[:2] + key[3:]
        path.write_text(f"seed: 1\n{section}:\n  {wrong}: 3\n")
        with pytest.raises(ConfigError) as caught:
            load_run_config(path)
        assert f"{path}:3: {section}.{wrong}: unknown key; did you mean {key!r}" in str(caught.value)
        assert difflib.get_close_matches(wrong, [key], cutoff=0.5)
