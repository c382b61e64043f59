"""A run notes the git revision of the user's project beside ours."""

import subprocess
from pathlib import Path

import pytest

from robonav_ray.runs import session_facts as facts_of
from robonav_ray.runs.session_facts import project_facts, session_facts


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *who, "-C", str(folder), *words], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "mine.py").write_text("a = 1\n")
    git(tmp_path, "add", "mine.py")
    git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "below").mkdir()
    return tmp_path


def test_the_users_project_is_noted_clean_and_dirty(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "below")
    revision = git(project, "rev-parse", "--short=12", "HEAD")
    assert session_facts(["robonav"])["project"] == {"folder": str(project), "git_revision": revision, "dirty": False}
    (project / "new.txt").write_text("not known to git\n")
    assert project_facts(project) == {"folder": str(project), "git_revision": revision, "dirty": False}
    (project / "mine.py").write_text("a = 2\n")
    assert project_facts(project) == {"folder": str(project), "git_revision": revision, "dirty": True}


def test_outside_of_a_repository_and_before_its_first_commit(tmp_path: Path) -> None:
    assert project_facts(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert project_facts(tmp_path) == {"folder": str(tmp_path), "git_revision": None, "dirty": False}


def test_an_installed_package_has_not_the_revision_of_the_project_that_it_is_installed_in(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = project / ".venv" / "site-packages" / "robonav_ray" / "runs" / "session_facts.py"
    installed.parent.mkdir(parents=True)
    monkeypatch.setattr(facts_of, "__file__", str(installed))
    assert session_facts([])["git_revision"] is None
    monkeypatch.setattr(facts_of, "__file__", str(project / "robonav_ray" / "runs" / "session_facts.py"))
    assert session_facts([])["git_revision"] == git(project, "rev-parse", "--short=12", "HEAD")
