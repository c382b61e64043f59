"""The Dockerfile: not root, nothing fetched without a name and version."""

from __future__ import annotations

import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.command_lines import parse_robonav

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


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


@pytest.mark.parametrize("target", ["cpu", "gpu", "serve", "mlflow"])
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
    for target in ("cpu", "gpu", "serve", "node"):
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


def copied() -> set[str]:
    """What the stages take from the repository."""
    lines = [line for stage in stages().values() for line in stage if line.startswith("COPY ") and "--from" not in line]
    return {word for line in lines for word in line.split()[1:-1]}


def test_only_what_is_copied_is_sent_to_the_engine():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert copied() == {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / path).exists() for path in copied())


def test_nothing_that_is_sent_is_left_out_again():
    """The patterns behind those of what is sent are for secrets and caches; none of them fits a file of ours."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    git = subprocess.run(
        ["git", "ls-files", "--", *sorted(copied())], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = {part for path in git.stdout.splitlines() for part in Path(path).parts}
    assert names
    assert [name for name in sorted(names) for pattern in patterns if fnmatch(name, pattern)] == []


def test_stages_are_built_from_what_is_there():
    for name, lines in stages().items():
        for line in lines:
            if start := re.match(r"FROM\s+(\S+)", line):
                assert start[1] in stages() or ":" in start[1], name
            if taken := re.search(r"--from=(\S+)", line):
                assert taken[1] in stages(), name


def test_commands_are_read_by_a_shell_and_by_us():
    for name, lines in stages().items():
        for line in lines:
            kind, _, rest = line.partition(" ")
            if kind == "RUN":
                done = subprocess.run(["sh", "-n"], input=rest, capture_output=True, text=True, check=False)
                assert (done.returncode, done.stderr) == (0, ""), name
            elif kind in ("CMD", "HEALTHCHECK"):
                words = json.loads(rest[rest.index("[") :])
                if words[0] == "robonav":
                    parse_robonav(words[1:])
                elif words[:2] == ["python", "-c"]:
                    compile(words[2], name, "exec")


def test_what_is_installed_is_pinned():
    for name, lines in stages().items():
        for line in lines:
            for command in re.findall(r"pip install ([^&]*)", line):
                pinned = "-c constraints.txt" in command or "--require-hashes" in command
                assert pinned or re.fullmatch(r'"\S+==[\d.]+"\s*', command), f"{name}: {command}"


def test_the_server_and_the_volumes_of_images():
    image, service = "\n".join(stages()["serve"]), SERVICES["serve"]
    (command,) = (json.loads(line.split(" ", 1)[1]) for line in stages()["serve"] if line.startswith("CMD "))
    assert "/run/secrets/serve_token" in command
    assert json.dumps(service["healthcheck"]["test"][1:]) in image
    assert "VOLUME ${STORAGE}" in stages()["node"]
    assert "VOLUME /data" in stages()["mlflow"]
