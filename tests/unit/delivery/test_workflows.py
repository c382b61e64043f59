"""The workflows: actions by hash, no more rights than a job needs, an end by time, nothing that a stranger's text can
steer; and all that they call is there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_lines import commands_of, parse_robonav

ROOT = Path(__file__).parents[3]
TEXTS = {path.name: path.read_text() for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
WORKFLOWS: dict[str, dict[Any, Any]] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
JOBS = {(name, job): facts for name, workflow in WORKFLOWS.items() for job, facts in workflow["jobs"].items()}
STEPS = [(f"{name}:{job}", step) for (name, job), facts in JOBS.items() for step in facts["steps"]]
SCRIPTS = [(where, step["run"]) for where, step in STEPS if "run" in step]
MAY_WRITE = {("release.yml", "images"): {"packages"}, ("release.yml", "release"): {"contents"}}
ON_RUNNERS = {
    *("[", "cd", "code=$?", "echo", "exit", "export", "mkdir", "python", "robonav", "sha256sum", "tar", "timeout"),
    *("docker", "gh", "jq", "make", "read"),
}
"""Commands of the shell and of a hosted runner that the workflows may call."""


def triggers(workflow: dict[Any, Any]) -> dict[str, Any]:
    """What starts a workflow; YAML 1.1 reads the key `on` as true."""
    found: dict[str, Any] = workflow[True]
    return found


def test_the_four_are_there_and_start_when_they_should():
    assert {name: set(triggers(workflow)) for name, workflow in WORKFLOWS.items()} == {
        "ci.yml": {"push", "pull_request"},
        "release.yml": {"push"},
        "security.yml": {"push", "pull_request", "schedule"},
        "train.yml": {"workflow_dispatch", "schedule"},
    }
    assert triggers(WORKFLOWS["release.yml"]) == {"push": {"tags": ["v*"]}}


def test_an_action_is_named_by_its_commit_with_the_version_beside_it():
    versions = defaultdict(set)
    for text in TEXTS.values():
        for action, commit, note in re.findall(r"uses: (\S+?)@(\S+)(.*)", text):
            assert re.fullmatch(r"actions/[a-z-]+(/[a-z]+)?", action), (
                "one of others is one more that can be taken over"
            )
            assert re.fullmatch(r"[0-9a-f]{40}", commit), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", note), action
            versions[action].add((commit, note))
    assert versions
    assert all(len(found) == 1 for found in versions.values()), versions


@pytest.mark.parametrize("name", TEXTS)
def test_a_workflow_has_no_rights_and_runs_once_at_a_time(name):
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {}
    assert set(workflow["concurrency"]) == {"group", "cancel-in-progress"}
    assert workflow["defaults"] == {"run": {"shell": "bash"}}, "with `shell: bash` a pipe fails when a part of it does"


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_may_read_and_ends_by_time(name, job):
    facts = JOBS[name, job]
    assert 0 < facts["timeout-minutes"] <= 360
    rights = facts["permissions"]
    assert {right for right, kind in rights.items() if kind == "write"} == MAY_WRITE.get((name, job), set())
    assert set(rights.values()) <= {"read", "write"}
    needs = facts.get("needs", [])
    assert set([needs] if isinstance(needs, str) else needs) <= set(WORKFLOWS[name]["jobs"])


def test_the_token_of_a_checkout_does_not_stay_behind():
    for where, step in STEPS:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, where


def test_no_text_of_strangers_becomes_code():
    """An expression in a script is put in as text, before the shell reads it: values go through variables."""
    for where, script in SCRIPTS:
        assert "${{" not in script, where
    for workflow in WORKFLOWS.values():
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers(workflow))


def test_secrets_are_behind_an_environment_and_not_within_reach_of_a_pull_request():
    for (name, job), facts in JOBS.items():
        if "secrets." in yaml.safe_dump(facts):
            assert "environment" in facts, (name, job)
            assert "pull_request" not in triggers(WORKFLOWS[name]), name
    for name, text in TEXTS.items():
        assert len(re.findall(r"secrets\.", text)) == sum(
            yaml.safe_dump(facts).count("secrets.") for (where, _), facts in JOBS.items() if where == name
        ), f"{name}: a secret outside of a job"


def test_scripts_are_read_by_bash():
    text = "\n".join(f"step_{i}() {{\n{script}\n}}" for i, (_, script) in enumerate(SCRIPTS))
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_all_that_is_called_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    called = [(where, words) for where, script in SCRIPTS for words in commands_of(script)]
    for where, words in called:
        assert words[0] in ON_RUNNERS, f"{where}: {words}"
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, f"{where}: {words}"
        if "robonav" in words:
            parse_robonav(words[words.index("robonav") + 1 :])
        for word in words:
            path = word.partition("=")[2] or word
            if re.match(r"(?:scripts|configs|tests|docs|cluster)/", path):
                assert (ROOT / path).exists(), f"{where}: {path}"
            if path == "constraints.txt" or re.fullmatch(r"\.\[.*\]", path):
                assert (ROOT / "pyproject.toml").is_file()
    ours = {(where, tuple(words[:2])) for where, words in called}
    for job in ("check", "test", "docs", "notebooks", "wheel"):
        assert (f"ci.yml:{job}", ("make", job)) in ours
    assert JOBS["ci.yml", "test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12"]


def test_commands_of_a_script():
    script = 'A="x y" robonav config list > out && if make a B=c; then\n  (cd dist && echo -- * > S) || code=$?\nfi\n'
    assert commands_of(script) == [
        ["robonav", "config", "list"], ["make", "a", "B=c"], ["cd", "dist"], ["echo", "--", "*"]
    ]  # fmt: skip


def test_zizmor_finds_nothing():
    zizmor = Path(sys.executable).with_name("zizmor")
    if not zizmor.is_file():
        pytest.skip("zizmor is not installed (extra dev)")
    command = [str(zizmor), "--offline", "--quiet", "--no-progress", str(ROOT / ".github")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
