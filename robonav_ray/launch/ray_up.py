"""``ray up``: machines of your own over ssh, Amazon EC2, Google Compute Engine.

On machines of your own, the checkout is copied and installed into a virtual environment; on clouds, the image runs as a
container. The token travels as a file, and the dashboard listens on the head's loopback only: ``ray dashboard``
forwards it through ssh.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.launch.ray_start import head_words, label_text, node_labels, node_variables, port_words, start_command
from robonav_ray.launch.secret_names import rsync_patterns

Config = dict[str, Any]

TOKEN = "~/.ray/auth_token"  # where Ray looks for it
_VENV = "$HOME/robonav-venv"
_PYTHON = "$(command -v python3.11 || command -v python3.12)"
# A GPU is told by its maker's number on the bus, because its driver may still be being installed; where there is none,
# nothing waits.
_WAIT_FOR_GPUS = (
    "if grep -qs 0x10de /sys/bus/pci/devices/*/vendor; then "
    "timeout 900 bash -c 'until nvidia-smi; do sleep 5; done'; fi"
)
_NOT_COPIED = [".venv", "runs", "__pycache__", ".pytest_cache", ".ruff_cache", *rsync_patterns()]


def onprem_file(definition: ClusterDefinition) -> Config:
    """Return ``onprem.yaml``: Ray's provider ``local``, which treats all workers alike, so that each finds its labels
    by its address.
    """
    place = definition.onprem
    workers = [host for hosts in place.worker_ips.values() for host in hosts]
    cases: list[str] = []
    for name, hosts in place.worker_ips.items():
        patterns = "|".join(f'*" {host} "*' for host in hosts)
        if hosts:
            cases.append(f"{patterns}) labels={label_text(node_labels(name, definition.groups[name]))};;")
    find_labels = f'case " $(hostname -I) " in {" ".join(cases)} esac'
    setup = [
        f"test -x {_VENV}/bin/python || {_PYTHON} -m venv {_VENV}",
        f"{_VENV}/bin/python -m pip install -q -c $HOME/robonav_ray/constraints.txt $HOME/robonav_ray",
    ]
    before = f'export PATH="{_VENV}/bin:$PATH"'
    return {
        "cluster_name": definition.name,
        "provider": {"type": "local", "head_ip": place.head_ip, "worker_ips": workers},
        "auth": {"ssh_user": place.ssh_user, "ssh_private_key": place.ssh_private_key},
        "min_workers": len(workers),
        "max_workers": len(workers),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 1_000_000,  # machines of your own stay
        "file_mounts": {TOKEN: definition.auth.token_file, "~/robonav_ray": "."},
        "rsync_exclude": _NOT_COPIED,
        "initialization_commands": [],
        "setup_commands": setup,
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [
            f"{before}; ray stop",
            f"{before}; {_head(definition, label_text(_head_labels(definition)))}",
        ],
        "worker_start_ray_commands": [
            f"{before}; ray stop",
            f'{before}; {find_labels}; {_worker(definition)} --labels="$labels"',
        ],
    }


def aws_file(definition: ClusterDefinition) -> Config:
    """Return ``aws.yaml``; labels and resources are the node types', which Ray passes on."""
    place = definition.aws
    configs: dict[str, Config] = {}
    for name in definition.groups:
        image = {"ImageId": place.images[name]} if name in place.images else {}
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": place.disk_gb, "VolumeType": "gp3", "Encrypted": True}}
        configs[name] = {
            "InstanceType": place.instance_types.get(name, "m7i.xlarge"),
            **image,
            "BlockDeviceMappings": [disk],
            "MetadataOptions": {"HttpTokens": "required"},
        }
    provider = {"type": "aws", "region": place.region, "cache_stopped_nodes": False}
    return _cloud_file(definition, provider, configs, place.mount_commands)


def gcp_file(definition: ClusterDefinition) -> Config:
    """Return ``gcp.yaml``."""
    place = definition.gcp
    configs: dict[str, Config] = {}
    for name, group in definition.groups.items():
        image = place.source_images.get(name, place.gpu_source_image if group.num_gpus else place.source_image)
        disk = {"diskSizeGb": place.disk_gb, "sourceImage": image}
        config: Config = {
            "machineType": place.machine_types.get(name, "n2-standard-4"),
            "disks": [{"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": disk}],
        }
        if group.num_gpus and name in place.accelerators:
            zone = f"projects/{place.project_id}/zones/{place.availability_zone}"
            kind = f"{zone}/acceleratorTypes/{place.accelerators[name]}"
            config["guestAccelerators"] = [{"acceleratorType": kind, "acceleratorCount": group.num_gpus}]
            config["metadata"] = {"items": [{"key": "install-nvidia-driver", "value": "True"}]}
            config["scheduling"] = [{"onHostMaintenance": "TERMINATE"}]
        configs[name] = config
    provider = {
        "type": "gcp",
        "region": place.region,
        "availability_zone": place.availability_zone,
        "project_id": place.project_id,
    }
    return _cloud_file(definition, provider, configs, place.mount_commands)


def _cloud_file(
    definition: ClusterDefinition, provider: Config, configs: dict[str, Config], mount_commands: Sequence[str]
) -> Config:
    types: dict[str, Config] = {}
    for name, group in definition.groups.items():
        is_head = name == definition.head
        types[name] = {
            "resources": {"CPU": group.num_cpus, **({"GPU": group.num_gpus} if group.num_gpus else {})},
            "labels": node_labels(name, group),
            "min_workers": 0 if is_head else group.count,
            "max_workers": 0 if is_head else group.most,
            "node_config": configs[name],
            **({} if is_head else {"docker": {"worker_image": _image(definition, name)}}),
        }
    return {
        "cluster_name": definition.name,
        "provider": provider,
        "auth": {"ssh_user": "ubuntu"},
        "max_workers": sum(group.most for group in definition.workers.values()),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 60,
        "docker": {
            "image": _image(definition, definition.head),
            "container_name": definition.name,
            "pull_before_run": True,
            "run_options": _container_options(definition),
        },
        "head_node_type": definition.head,
        "available_node_types": types,
        "file_mounts": {TOKEN: definition.auth.token_file},
        "initialization_commands": [
            *mount_commands,
            *([_WAIT_FOR_GPUS] if any(group.num_gpus for group in definition.groups.values()) else []),
        ],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": ["ray stop", _head(definition, "")],
        "worker_start_ray_commands": ["ray stop", _worker(definition)],
    }


def _container_options(definition: ClusterDefinition) -> list[str]:
    """Not root but the machine's own user, whose files are mounted; nothing to gain.

    The machine's list of users comes along, because the autoscaler and ssh ask for the name of theirs; home is the
    image's all the same.
    """
    folder = shlex.quote(definition.storage.url)
    mount = [] if definition.storage.is_bucket else [f"-v {folder}:{folder}"]
    return [
        "--init",
        "--user $(id -u):$(id -g)",
        "-v /etc/passwd:/etc/passwd:ro",
        "-v /etc/group:/etc/group:ro",
        "--env HOME=/home/robonav",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--ulimit nofile=65536:65536",
        *mount,
    ]


def _exports(definition: ClusterDefinition) -> str:
    return "export " + " ".join(f"{key}={shlex.quote(value)}" for key, value in node_variables(definition).items())


def _head(definition: ClusterDefinition, labels: str) -> str:
    words = {**head_words(definition, "127.0.0.1"), **port_words(definition), **({"labels": labels} if labels else {})}
    command = start_command({**words, "autoscaling-config": "~/ray_bootstrap_config.yaml"}, head=True)
    return f"{_exports(definition)}; {' '.join(command)}"


def _worker(definition: ClusterDefinition) -> str:
    command = start_command({"address": f"$RAY_HEAD_IP:{definition.ports.gcs}", **port_words(definition)})
    return f"{_exports(definition)}; {' '.join(command)}"


def _head_labels(definition: ClusterDefinition) -> dict[str, str]:
    return node_labels(definition.head, definition.groups[definition.head])


def _image(definition: ClusterDefinition, name: str) -> str:
    return definition.image.gpu if definition.groups[name].image == "gpu" else definition.image.cpu
