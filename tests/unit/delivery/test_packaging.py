"""The version stands in one place, the pins agree with the project and among themselves, and the changelog is one."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

import robonav_ray

ROOT = Path(__file__).parents[3]
PROJECT, TOOLS = (tomllib.loads((ROOT / "pyproject.toml").read_text())[part] for part in ("project", "tool"))
HASHED = ("constraints-hashed.txt", "constraints-hashed-cuda.txt")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    """The version of each package that a file of pins names."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(), flags=re.MULTILINE)
    assert len({plain(name) for name, _ in found}) == len(found), file
    return {plain(name): version for name, version in found}


def named(requirements: list[str]) -> set[str]:
    return {plain(re.split(r"[\[<>=!~; ]", word)[0]) for word in requirements}


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_notes", ROOT / "scripts" / "delivery" / "release_notes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_stands_in_one_place(release):
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
    assert release.source_version() == robonav_ray.__version__
    sources = [*(ROOT / "robonav_ray").rglob("*.py"), *(ROOT / "robonav_policy").rglob("*.py")]
    assert [
        path.relative_to(ROOT).as_posix()
        for path in sources
        if re.search(r"^__version__\s*=", path.read_text(encoding="utf-8"), re.MULTILINE)
    ] == ["robonav_ray/__init__.py"]


def test_the_wheel_has_all_files_of_the_package():
    files = subprocess.run(
        ["git", "ls-files", "robonav_ray"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    data = TOOLS["setuptools"]["package-data"]["robonav_ray"]
    taken = {path for pattern in data for path in (ROOT / "robonav_ray").glob(pattern)}
    assert [name for name in files if name and not name.endswith(".py") and ROOT / name not in taken] == []


@pytest.mark.parametrize("file", HASHED)
def test_pins_with_hashes_are_those_without(file):
    """After a change of constraints.txt: `make hashes`."""
    plainly, hashed = pins("constraints.txt"), pins(file)
    assert {name: version for name, version in hashed.items() if plainly.get(name, version) != version} == {}
    # What builds packages, or comes with CUDA alone, is not installed by `make`.
    others = {name for name in hashed if name not in plainly}
    assert all(re.match(r"setuptools$|cuda-|nvidia-|triton$", name) for name in others), others


@pytest.mark.parametrize("file", HASHED)
def test_every_pin_has_hashes(file):
    text = re.sub(r" \\\n", " ", (ROOT / file).read_text())
    for line in text.splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r"[\w.-]+==[^\s;]+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+", line), line[:80]


def test_the_core_is_hashed_but_for_torch():
    core, cuda = (set(pins(file)) for file in HASHED)
    assert named(PROJECT["dependencies"]) - core == {"torch"}
    assert "torch" in cuda
    assert not core & cuda


def test_what_the_project_names_is_pinned():
    extras = PROJECT["optional-dependencies"]
    wanted = named([*PROJECT["dependencies"], *(word for words in extras.values() for word in words)])
    assert wanted - set(pins("constraints.txt")) == set()


def test_the_changelog_is_one(release):
    text = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    found = release.SECTION.findall(text)
    assert len(found) == len(heads), "a section is `## [X.Y.Z] - YYYY-MM-DD`"
    days = [date.fromisoformat(day) for _, day in found[1:]]
    assert days == sorted(days, reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE)) <= kinds


def test_the_notes_of_a_release_are_those_of_its_version(release):
    text = "# C\n\n## [Unreleased]\n\n## [0.2.0] - 2027-01-05\n\n### Added\n\n- A\n\n## [0.1.0] - 2026-12-01\n\n- B\n"
    assert release.notes("0.2.0", "v0.2.0", text) == "### Added\n\n- A"
    with pytest.raises(ValueError, match=r"the tag v0.3.0 is not v0.2.0"):
        release.notes("0.2.0", "v0.3.0", text)
    for version in ("0.3.0", "Unreleased"):
        with pytest.raises(ValueError, match=rf"has no section `## \[{version}\] - DATE` with text"):
            release.notes(version, f"v{version}", text)


@pytest.mark.slow
def test_the_module_is_the_command_and_completes_in_a_shell(tmp_path):
    def said(*words: str) -> str:
        command = [sys.executable, "-m", "robonav_ray", *words]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "SHELL": "/bin/bash"},
        )
        return done.stdout

    assert said("--version") == f"robonav_ray {robonav_ray.__version__}\n"
    said("--install-completion", "bash")
    (completion,) = (tmp_path / ".bash_completions").iterdir()
    assert completion.name == "robonav.sh"
    assert "complete -o default -F _robonav_completion robonav" in completion.read_text()
