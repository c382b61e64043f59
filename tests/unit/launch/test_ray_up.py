"""Ray's own check of its cluster files accepts ours, and would refuse wrong ones."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from robonav_ray.config.cluster import StorageConfig
from robonav_ray.config.load import load_cluster_definition
from robonav_ray.launch.derived_files import render
from robonav_ray.launch.ray_start import job_command
from robonav_ray.launch.ray_up import aws_file, gcp_file, onprem_file

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def configs(definition):
    return {path.split("/")[-1]: yaml.safe_load(text) for path, text in render(definition, "ray-up").items()}


def accepted(config):
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


@pytest.mark.parametrize("name", ["onprem.yaml", "aws.yaml", "gcp.yaml"])
def test_rays_schema_accepts(name, configs):
    assert accepted(configs[name])["cluster_name"] == "robonav"


def test_rays_schema_would_refuse(configs):
    import jsonschema

    with pytest.raises((jsonschema.ValidationError, ValueError)):
        accepted({**configs["aws.yaml"], "max_wokers": 3})
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        accepted({**configs["gcp.yaml"], "head_node_type": "boss"})


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_clouds_have_the_counts_resources_and_labels_of_the_definition(name, configs, definition):
    types = configs[name]["available_node_types"]
    assert configs[name]["head_node_type"] == definition.head
    assert configs[name]["max_workers"] == sum(group.most for group in definition.workers.values())
    for group_name, group in definition.workers.items():
        assert (types[group_name]["min_workers"], types[group_name]["max_workers"]) == (group.count, group.most)
        assert types[group_name]["resources"].get("GPU", 0) == group.num_gpus
        assert types[group_name]["labels"]["robonav.role"] == group.role


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_containers_on_clouds_have_nothing_to_gain(name, configs):
    options = configs[name]["docker"]["run_options"]
    assert {"--user $(id -u):$(id -g)", "--cap-drop=ALL", "--security-opt=no-new-privileges"} <= set(options)
    assert not any("privileged" in option and "no-new" not in option for option in options)


@pytest.mark.parametrize("name", ["onprem.yaml", "aws.yaml", "gcp.yaml"])
def test_the_dashboard_stays_on_the_heads_loopback(name, configs):
    command = configs[name]["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in command
    assert "--autoscaling-config=" in command


def test_machines_of_your_own_find_their_labels_by_their_address(configs):
    """The shell code runs for real, with another `hostname` and another `ray`."""
    command = configs["onprem.yaml"]["worker_start_ray_commands"][-1]
    stub = 'hostname() { echo "10.0.0.9 192.168.1.21 "; }; ray() { for word in "$@"; do echo "$word"; done; }; '
    done = subprocess.run(
        ["bash", "-c", stub + command],
        capture_output=True,
        text=True,
        check=True,
        env={"RAY_HEAD_IP": "192.168.1.10", "HOME": "/x", "PATH": "/bin"},
    )
    words = done.stdout.split()
    assert "--labels=robonav.group=learner,robonav.role=learner" in words
    assert "--address=192.168.1.10:6379" in words


def other(*overrides):
    return load_cluster_definition(ROOT / "cluster" / "cluster.yaml", overrides)


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_the_user_of_a_container_has_a_name(name, configs):
    """Ray asks for it, and ssh ends without one; a cloud's user has another number than the image's."""
    options = configs[name]["docker"]["run_options"]
    assert {"-v /etc/passwd:/etc/passwd:ro", "-v /etc/group:/etc/group:ro", "--env HOME=/home/robonav"} <= set(options)


def test_disks_are_as_large_as_asked_and_hold_rays_default_image(configs):
    def sizes(config):
        return {
            node["node_config"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]
            for node in config["available_node_types"].values()
        }

    assert sizes(configs["aws.yaml"]) == {256}
    assert sizes(aws_file(other("aws.disk_gb=500"))) == {500}
    for node in gcp_file(other("gcp.disk_gb=300"))["available_node_types"].values():
        assert node["node_config"]["disks"][0]["initializeParams"]["diskSizeGb"] == 300


def test_groups_with_gpus_have_an_image_with_cuda_unless_another_is_named(configs):
    def images(config):
        types = config["available_node_types"]
        return {
            name: types[name]["node_config"]["disks"][0]["initializeParams"]["sourceImage"].split("/")[-1]
            for name in types
        }

    assert images(configs["gcp.yaml"]) == {
        "head": "common-cpu-debian-11",
        "rollout": "common-cpu-debian-11",
        "learner": "common-cu124-debian-11",
    }
    assert images(gcp_file(other("gcp.source_images={rollout: lab/mine}")))["rollout"] == "mine"
    named = aws_file(other("aws.images={learner: ami-0123}"))["available_node_types"]
    assert named["learner"]["node_config"]["ImageId"] == "ami-0123"
    assert "ImageId" not in named["head"]["node_config"]


@pytest.mark.parametrize(("bus", "waits"), [([], False), (["0x8086"], False), (["0x8086", "0x10de"], True)])
def test_machines_with_a_gpu_wait_for_its_driver_and_the_others_do_not(bus, waits, configs, tmp_path):
    """The shell code runs for real, with another bus and another `nvidia-smi`, which answers the second time."""
    (command,) = configs["aws.yaml"]["initialization_commands"]
    for number, vendor in enumerate(bus):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "vendor").write_text(f"{vendor}\n")
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\ntest -f {tmp_path}/asked || {{ touch {tmp_path}/asked; exit 9; }}\n")
    smi.chmod(0o755)
    command = command.replace("/sys/bus/pci/devices", str(tmp_path)).replace("sleep 5", "sleep 0.1")
    subprocess.run(["bash", "-c", command], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=30)
    assert (tmp_path / "asked").exists() == waits


def test_without_gpus_nothing_is_waited_for():
    definition = other("groups.learner.num_gpus=0", "groups.learner.image=cpu", "job.gpus_per_rank=0")
    assert aws_file(definition)["initialization_commands"] == gcp_file(definition)["initialization_commands"] == []


def test_the_shared_folder_is_mounted_before_the_container_starts():
    page = (ROOT / "docs" / "cluster.md").read_text()
    (example,) = (
        text for text in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if text.startswith("aws:")
    )
    commands = yaml.safe_load(example)["aws"]["mount_commands"]
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    lines = ", ".join(f"'{command}'" for command in commands)
    for config in (aws_file(other(f"aws.mount_commands=[{lines}]")), gcp_file(other(f"gcp.mount_commands=[{lines}]"))):
        assert accepted(config)["initialization_commands"][:-1] == commands


def test_what_stands_in_commands_is_quoted_even_if_it_was_not_vetted(definition):
    evil = "/mnt/a b;touch $(x)\n'"
    hostile = definition.model_copy(update={"storage": StorageConfig.model_construct(url=evil)})
    assert f"output_dir={evil}" in shlex.split(job_command(hostile))
    for config in (onprem_file(hostile), aws_file(hostile)):
        assert f"ROBONAV_STORAGE={evil};" in shlex.split(config["head_start_ray_commands"][-1])
