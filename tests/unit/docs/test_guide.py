"""What docs/ADVANCED_TRAINING_GUIDE.md shows runs, and the messages that it quotes are the program's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/ADVANCED_TRAINING_GUIDE.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- slow -->\n\n)?^```python\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
QUICK = [text for slow, text in BLOCKS if not slow]
SLOW = [text for slow, text in BLOCKS if slow]


@pytest.mark.parametrize("snippet", QUICK, ids=range(len(QUICK)))
def test_what_the_guide_shows_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "guide", "exec"), {})


def test_the_guide_has_an_example_of_each_system() -> None:
    systems = re.split(r"^### (?=\d\. )", GUIDE, flags=re.MULTILINE)[1:]
    assert [system[0] for system in systems] == list("123456789")
    assert [system.partition("\n")[0] for system in systems if "```" not in system] == []


def test_it_quotes_what_the_program_says() -> None:
    paths = [path for room in ("robonav_ray", "robonav_policy") for path in (ROOT / room).rglob("*.py")]
    said = re.sub(r'"\n\s*f?"', "", "\n".join(path.read_text(encoding="utf-8") for path in paths))
    rows = re.findall(r"^\| (`[^|]*?) \|", GUIDE.partition("## Troubleshooting")[2], flags=re.MULTILINE)
    quoted = [row.split("`")[1] for row in rows]
    assert len(quoted) > 20
    assert [words for words in quoted if " " in words and words not in said] == []


def test_what_it_shows_of_a_difference_is_printed(
    robonav_here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = re.search(r"^\$ robonav (config diff .*)\n((?:.+\n)+?)```", GUIDE, flags=re.MULTILINE)
    assert shown is not None
    code, out, _ = robonav_here(*shlex.split(shown[1]), cwd=tmp_path)
    assert (code, [line.rstrip() for line in out.splitlines()]) == (0, shown[2].splitlines())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_run_goes_through_everything(tmp_path: Path) -> None:
    text = re.search(r"<!-- runs: begin -->\s+```\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert text is not None
    commands = [[sys.executable, "-m", "robonav_ray.cli", *shlex.split(line)[1:]] for line in text[1].splitlines()]
    for number, snippet in enumerate(SLOW):
        (tmp_path / f"slow_{number}.py").write_text(snippet)
        commands.append([sys.executable, "-W", "ignore", f"slow_{number}.py"])
    for command in commands:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert (tmp_path / "bundle/policy.onnx").is_file()
    assert (tmp_path / "out/report.pdf").is_file()
