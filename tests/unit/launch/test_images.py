"""The Dockerfile and the workflow: not root, nothing fetched without a name and version, nothing that a stranger's text
can steer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def stages() -> dict[str, list[str]]:
    """The instructions of each stage, continued lines joined."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in re.sub(r"\\\n", " ", DOCKERFILE).splitlines():
        if start := re.match(r"FROM\s+\S+\s+AS\s+(\S+)", line):
            name = start[1]
            found[name] = [line]
        elif name and line.strip() and not line.startswith("#"):
            found[name].append(line)
    return found


@pytest.mark.parametrize("target", ["cpu", "gpu", "mlflow"])
def test_an_image_does_not_run_as_root(target):
    users = [line.split()[1] for line in stages()[target] if line.startswith("USER ")]
    assert users
    assert users[-1] == "1000:1000"  # a number, which Kubernetes can tell from root


def test_the_definition_names_the_images_that_there_are(definition):
    assert definition.image.cpu.endswith(":cpu")
    assert definition.image.gpu.endswith(":gpu")
    assert {"cpu", "gpu"} <= set(stages())


def test_nothing_is_added_from_the_net_and_no_secret_is_an_argument():
    assert not re.search(r"^ADD\s", DOCKERFILE, re.MULTILINE)
    assert not re.search(r"curl|wget|sudo", DOCKERFILE)
    assert not re.search(r"^(ARG|ENV)\s+\S*(TOKEN|PASSWORD|SECRET|KEY)\b", DOCKERFILE, re.MULTILINE)
    assert "RAY_AUTH_MODE=token" in DOCKERFILE


def test_the_last_stages_hold_no_tools_of_building():
    for target in ("cpu", "gpu", "node"):
        text = "\n".join(stages()[target])
        assert "pip install" not in text
        assert not re.search(r"\b(gcc|g\+\+|build-essential|git)\b", text)
    assert all("-c constraints.txt" in "\n".join(stages()[name]) for name in ("build-cpu", "build-gpu"))


def test_ray_up_finds_what_it_calls_in_the_container():
    """The autoscaler in the head's container calls ssh and rsync; every command of it runs in a login shell, which sets
    PATH anew."""
    node = "\n".join(stages()["node"])
    packages = re.search(r"apt-get install (.*?)&&", node)
    assert packages
    assert {"openssh-client", "rsync"} <= set(packages[1].split())
    assert """echo 'export PATH="/opt/robonav/bin:$PATH"' > /etc/profile.d/robonav.sh""" in node


def test_base_images_have_a_version():
    bases = re.findall(r"^FROM\s+(\S+)", DOCKERFILE, re.MULTILINE)
    assert all(base in stages() or re.fullmatch(r"python:3\.1[12]-slim-[a-z]+", base) for base in bases)


def test_only_what_is_copied_is_sent_to_the_engine():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    kept = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert copied == kept


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_runs_no_text_of_strangers(path):
    text, workflow = path.read_text(), yaml.safe_load(path.read_text())
    triggers = workflow[True]  # YAML 1.1 reads the key `on` so
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in triggers
    assert "workflow_run" not in triggers
    assert "secrets." not in text
    for job in workflow["jobs"].values():
        assert "permissions" not in job or job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert not re.search(r"\$\{\{[^}]*(github\.(event|head_ref|actor)|inputs\.)", step.get("run", ""))
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", step["uses"])
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_the_workflow_runs_the_two_commands_of_contributing():
    assert WORKFLOWS
    runs = [
        step.get("run", "")
        for job in yaml.safe_load(WORKFLOWS[0].read_text())["jobs"].values()
        for step in job["steps"]
    ]
    assert any(run.startswith("make check") for run in runs)
    assert any(run.startswith("make test") for run in runs)
