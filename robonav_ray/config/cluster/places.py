"""What each place needs besides the node groups: machines of your own, clouds, Kubernetes."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from robonav_ray.config.base import Section

NAME = r"^[a-z][a-z0-9-]{0,30}$"
ShellCommand = Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]+$")]
"""One line for the shell of a machine."""


def check_address(host: str) -> str:
    """Return an IP address in its usual form; ValueError for what is none."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise ValueError(f"{host!r} is no IP address: write one such as 192.168.1.10") from None


class OnPremConfig(Section):
    """``ray up`` on machines of your own, over ssh."""

    head_ip: str = "192.168.1.10"
    """Address of the machine that becomes the head."""
    worker_ips: dict[str, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    """Addresses of the machines of each worker group."""
    ssh_user: str = Field(default="robonav", pattern=r"^[a-z_][a-z0-9_-]*$")
    """Who logs in there, with a key and without being root."""
    ssh_private_key: str = "~/.ssh/id_ed25519"
    """The key, on your machine."""

    @field_validator("head_ip")
    @classmethod
    def _head_is_an_address(cls, host: str) -> str:
        return check_address(host)

    @field_validator("worker_ips")
    @classmethod
    def _addresses(cls, groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {name: tuple(check_address(host) for host in hosts) for name, hosts in groups.items()}

    @model_validator(mode="after")
    def _no_address_twice(self) -> OnPremConfig:
        everywhere = [self.head_ip, *(host for hosts in self.worker_ips.values() for host in hosts)]
        twice = sorted({host for host in everywhere if everywhere.count(host) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is named twice: each machine carries one node")
        return self


class AwsConfig(Section):
    """``ray up`` on Amazon EC2."""

    region: str = Field(default="eu-central-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    """Region of the machines."""
    instance_types: dict[str, str] = Field(default_factory=dict[str, str])
    """Machine type of each group."""
    images: dict[str, str] = Field(default_factory=dict[str, str])
    """AMI of each group; a group that is not named takes Ray's default (Ubuntu 18.04, with a driver too old for new
    GPUs)."""
    disk_gb: int = Field(default=256, ge=8)
    """Disk of each machine; at least that of the AMI (Ray's default: 140)."""
    mount_commands: tuple[ShellCommand, ...] = ()
    """What mounts ``storage.url`` on a machine, before its container starts; each must bear being run twice. Empty: the
    AMI does it."""


class GcpConfig(Section):
    """``ray up`` on Google Compute Engine."""

    project_id: str = Field(default="my-project", pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")
    """Project that pays."""
    region: str = Field(default="europe-west4", pattern=r"^[a-z]+-[a-z]+\d$")
    """Region of the machines."""
    availability_zone: str = Field(default="europe-west4-a", pattern=r"^[a-z]+-[a-z]+\d-[a-z]$")
    """Zone of the machines."""
    machine_types: dict[str, str] = Field(default_factory=dict[str, str])
    """Machine type of each group."""
    accelerators: dict[str, str] = Field(default_factory=dict[str, str])
    """Accelerator type of each group that has GPUs."""
    source_image: str = "projects/deeplearning-platform-release/global/images/family/common-cpu-debian-11"
    """Image of the disks of a group without GPUs that ``source_images`` does not name; containers run on it."""
    gpu_source_image: str = "projects/deeplearning-platform-release/global/images/family/common-cu124-debian-11"
    """The same for a group with GPUs; the machine installs the driver at its first start."""
    source_images: dict[str, str] = Field(default_factory=dict[str, str])
    """Image of the disks of each group that is named."""
    disk_gb: int = Field(default=100, ge=10)
    """Disk of each machine; at least that of the image."""
    mount_commands: tuple[ShellCommand, ...] = ()
    """What mounts ``storage.url`` on a machine, before its container starts; each must bear being run twice. Empty: the
    image does it."""


class KubeRayConfig(Section):
    """Kubernetes, with the KubeRay operator 1.6 or later (authentication by token needs it)."""

    namespace: str = Field(default="robonav", pattern=NAME)
    """Namespace of the cluster."""
    storage_claim: str = Field(default="robonav-runs", pattern=NAME)
    """PersistentVolumeClaim that is mounted where ``storage.url`` says; unused with a bucket."""
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"] = "ReadWriteMany"
    """Its access mode; with several nodes it must be ReadWriteMany."""
    storage_size: str = Field(default="100Gi", pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$")
    """Size of the volume that is claimed."""
    storage_class: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
    """Class of the volume; None takes the Kubernetes cluster's own default."""
    user_id: int = Field(default=1000, ge=1)
    """User of every container; the one of our images."""
