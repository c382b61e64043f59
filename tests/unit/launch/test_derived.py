"""What is committed is what the definition says, in every place the same cluster."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from robonav_ray.config.load import load_cluster_definition
from robonav_ray.launch.derived_files import HEADER, TARGETS, render, stale_files, write_files
from robonav_ray.launch.kuberay import RAY_VERSION

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "cluster" / "cluster.yaml"


@pytest.mark.parametrize("target", TARGETS)
def test_the_committed_files_are_up_to_date(target, definition):
    stale = stale_files(render(definition, target), ROOT)
    assert not stale, f"`robonav cluster render --target {target}` writes anew: {', '.join(stale)}"


def test_a_changed_definition_makes_them_stale():
    changed = load_cluster_definition(SHIPPED, ["ports.dashboard=8266"])
    assert "docker-compose.yml" in stale_files(render(changed, "compose"), ROOT)
    assert "cluster/ray-up/aws.yaml" in stale_files(render(changed, "ray-up"), ROOT)
    assert stale_files(render(load_cluster_definition(SHIPPED, ["name=other"]), "kuberay"), ROOT)


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_says_whence_it_is(target, definition):
    for path, text in render(definition, target).items():
        assert HEADER in text, path


@pytest.mark.parametrize("target", TARGETS)
def test_written_files_are_not_stale_and_are_not_written_twice(target, definition, tmp_path):
    files = render(definition, target)
    assert write_files(files, tmp_path) == list(files)
    assert stale_files(files, tmp_path) == []
    assert write_files(files, tmp_path) == []


def test_no_derived_file_holds_a_secret(definition):
    word = re.compile(r"(password|secret|token)\s*[:=]\s*['\"]?[A-Za-z0-9+/_-]{12,}", re.IGNORECASE)
    for target in TARGETS:
        for path, text in render(definition, target).items():
            assert not [found for found in word.findall(text) if "/run/secrets" not in found], path


def test_the_token_is_on_in_every_place(definition):
    compose = yaml.safe_load(render(definition, "compose")["docker-compose.yml"])
    for name in definition.groups:
        assert compose["services"][name]["environment"]["RAY_AUTH_MODE"] == "token"
    for text in render(definition, "ray-up").values():
        config = yaml.safe_load(text)
        for command in config["head_start_ray_commands"] + config["worker_start_ray_commands"]:
            assert "ray start" not in command or "export RAY_AUTH_MODE=token " in command
        assert config["file_mounts"]["~/.ray/auth_token"] == definition.auth.token_file
    cluster, job = (
        yaml.safe_load(render(definition, "kuberay")[f"cluster/kuberay/{kind}.yaml"])
        for kind in ("raycluster", "rayjob")
    )
    assert cluster["spec"]["authOptions"] == job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert "RAY_AUTH_MODE=token" in render(definition, "local")["cluster/local.sh"]


def test_the_version_of_ray_is_that_of_the_constraints():
    assert f"ray=={RAY_VERSION}\n" in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize("storage", ["/mnt/robonav/runs", "s3://lab/runs"])
def test_the_job_is_a_valid_command_of_ours(storage):
    from robonav_ray.config.load import load_run_config
    from robonav_ray.launch.ray_start import job_command

    definition = load_cluster_definition(SHIPPED, [f"storage.url={storage}"])
    words = shlex.split(job_command(definition))
    assert words[:2] == ["robonav", "train"]
    config = load_run_config(ROOT / words[2], [word for word in words[3:] if "=" in word])
    assert config.learner.num_ranks == definition.job.num_ranks
    assert storage in (config.output_dir, config.checkpoint.storage)


def test_the_config_of_the_job_wants_the_ranks_that_the_groups_were_checked_against(definition):
    """More ranks than GPUs would learn on CPUs without a word."""
    from robonav_ray.config.load import load_run_config

    assert load_run_config(ROOT / definition.job.config).learner.num_ranks == definition.job.num_ranks


def kuberay_head(overrides: list[str]) -> dict:
    text = render(load_cluster_definition(SHIPPED, overrides), "kuberay")["cluster/kuberay/raycluster.yaml"]
    return yaml.safe_load(text)["spec"]["headGroupSpec"]


def test_a_head_in_kubernetes_listens_where_its_container_says():
    head = kuberay_head(["ports.gcs=7001", "ports.dashboard=7002", "ports.client=7003"])
    start = head["rayStartParams"]
    assert (start["port"], start["dashboard-port"], start["ray-client-server-port"]) == ("7001", "7002", "7003")
    assert start["dashboard-host"] == "0.0.0.0"
    assert all(isinstance(value, str) for value in start.values())
    ports = {port["name"]: port["containerPort"] for port in head["template"]["spec"]["containers"][0]["ports"]}
    assert (ports["gcs-server"], ports["dashboard"]) == (7001, 7002)


@pytest.mark.parametrize(("overrides", "wanted"), [([], None), (["kuberay.storage_class=fast-nfs"], "fast-nfs")])
def test_a_volume_is_of_the_class_that_was_asked_for(overrides, wanted):
    text = render(load_cluster_definition(SHIPPED, overrides), "kuberay")["cluster/kuberay/storage.yaml"]
    (claim,) = (document for document in yaml.safe_load_all(text) if document["kind"] == "PersistentVolumeClaim")
    assert claim["spec"].get("storageClassName") == wanted


@pytest.mark.parametrize(("words", "name"), [([], "robonav"), (["--nodes", "rollout=2", "name=second"], "second")])
def test_the_script_takes_the_token_of_the_cluster_that_it_started(words, name, definition, tmp_path):
    """The shell code runs for real, with another `robonav`."""
    (tmp_path / "local.sh").write_text(render(definition, "local")["cluster/local.sh"])
    (tmp_path / "robonav").write_text('#!/bin/sh\n[ "$2" = address ] && echo "address of $3" || true\n')
    (tmp_path / "robonav").chmod(0o755)
    done = subprocess.run(
        [
            "bash",
            "-c",
            'source "$0" "$@"; echo "$RAY_ADDRESS|$RAY_AUTH_TOKEN_PATH"',
            str(tmp_path / "local.sh"),
            *words,
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": "/x", "PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.stdout == f"address of {name}|/x/.robonav/clusters/{name}/token\n"
