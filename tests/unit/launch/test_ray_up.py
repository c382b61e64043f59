"""Ray's own check of its cluster files accepts ours, and would refuse wrong ones."""

from __future__ import annotations

import copy
import subprocess

import pytest
import yaml

from robonav_ray.launch.render import render


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
