"""The one cluster definition: node groups, image, authentication, storage, ports, and what each place needs besides.

Everything that starts a cluster is derived from it (``robonav cluster render``, ``robonav cluster up``), so what cannot
work on any of them is refused here, before anything is started.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.cluster.places import NAME, AwsConfig, GcpConfig, KubeRayConfig, OnPremConfig, check_address

Role = Literal["head", "rollout", "learner"]
ROLES: tuple[Role, ...] = ("head", "rollout", "learner")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
_OWN_FOLDERS = ("/tmp", "/var/tmp", "/run", "/root", "/home")
_PROGRAM_FOLDERS = ("/app", "/opt", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev")
# Both go into shell commands and mounts, so they are words of plain characters.
_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+")
_BUCKET = re.compile(r"[a-z0-9][A-Za-z0-9._@/-]*")
_GIB = 1 << 30


class LocalSizeConfig(Section):
    """What a node group is when all nodes run on one machine (``robonav cluster up``)."""

    count: int = Field(default=1, ge=0, le=64)
    """Nodes of this group that are started."""
    num_cpus: int = Field(default=1, ge=0)
    """CPUs that each of them offers; logical, they may add up to more than the machine has."""
    num_gpus: int = Field(default=0, ge=0)
    """GPUs that each of them offers."""
    object_store_bytes: int = Field(default=134_217_728, ge=78_643_200)
    """Object store of each of them."""
    memory_bytes: int = Field(default=2 * _GIB, ge=268_435_456)
    """Memory that each of them offers."""


class NodeGroupConfig(Section):
    """Nodes of one kind."""

    role: Role
    """What its nodes are for: ``head`` keeps the cluster together and runs the drivers of jobs, ``rollout`` acts,
    ``learner`` learns."""
    count: int = Field(default=1, ge=0)
    """Nodes at the start."""
    min_count: int | None = Field(default=None, ge=0)
    """Fewest nodes, where the cluster is scaled; None is ``count``."""
    max_count: int | None = Field(default=None, ge=0)
    """Most nodes, where the cluster is scaled; None is ``count``."""
    num_cpus: int = Field(default=4, ge=0)
    """CPUs of each node."""
    num_gpus: int = Field(default=0, ge=0)
    """GPUs of each node."""
    memory_bytes: int = Field(default=8 * _GIB, ge=_GIB)
    """Memory of each node (the limit of its container)."""
    object_store_bytes: int = Field(default=_GIB, ge=78_643_200)
    """Part of that memory for Ray's object store (shared memory of the container)."""
    image: Literal["cpu", "gpu"] = "cpu"
    """Which of the two images it runs."""
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    """Ray labels besides robonav.group and robonav.role."""
    local: LocalSizeConfig = LocalSizeConfig()
    """The same group on one machine."""

    @property
    def fewest(self) -> int:
        """Nodes at least."""
        return self.count if self.min_count is None else self.min_count

    @property
    def most(self) -> int:
        """Nodes at most."""
        return self.count if self.max_count is None else self.max_count

    @field_validator("labels")
    @classmethod
    def _labels_are_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            check_label(key, value)
        return labels

    @model_validator(mode="after")
    def _counts_in_order(self) -> NodeGroupConfig:
        if not self.fewest <= self.count <= self.most:
            raise ValueError(
                f"min_count ({self.fewest}), count ({self.count}) and max_count ({self.most}) must rise in this order: "
                "change one of them"
            )
        if self.object_store_bytes > 0.6 * self.memory_bytes:
            raise ValueError(
                f"object_store_bytes ({self.object_store_bytes}) is more than 60 % of memory_bytes "
                f"({self.memory_bytes}): the processes of the node need the rest; make it smaller"
            )
        if self.num_gpus and self.image != "gpu":
            raise ValueError(f"num_gpus is {self.num_gpus}, but image is cpu, which has no CUDA: write image: gpu")
        return self


def check_label(key: str, value: str) -> None:
    """Raise ValueError for what is no Ray label, or is set by us."""
    if key.startswith(("ray.io/", "robonav.")):
        raise ValueError(
            f"labels.{key}: names that begin with ray.io/ or robonav. are set by Ray and by us; take another"
        )
    for word in (key, value):
        if not _LABEL.fullmatch(word):
            raise ValueError(
                f"labels.{key}={value}: a label is up to 63 letters, digits, '-', '_' and '.'; write it so"
            )


class LocalConfig(Section):
    """``robonav cluster up``: all nodes as processes on this machine."""

    network: Literal["loopback", "namespaces"] = "loopback"
    """``loopback``: the nodes have 127.77.0.1, 127.77.0.2 ... ``namespaces``: each node has its own network namespace
    and address (Linux, needs root)."""
    port_base: int | None = Field(default=None, ge=20_000, le=32_000)
    """First of the ports that the cluster takes, 200 for each node; None finds free ones from 21000 on."""


class ImageConfig(Section):
    """Container images, built from our Dockerfile and pushed where the machines can pull them."""

    cpu: str = Field(default="robonav-ray:cpu", min_length=1)
    """Image of the target ``cpu`` of the Dockerfile."""
    gpu: str = Field(default="robonav-ray:gpu", min_length=1)
    """Image of its target ``gpu``."""

    @field_validator("cpu", "gpu")
    @classmethod
    def _has_a_tag(cls, image: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", image) or ":" not in image.rsplit("/", 1)[-1]:
            raise ValueError(
                f"{image!r} is no image with a tag: write registry/name:tag, so that all nodes run the same"
            )
        return image


class AuthConfig(Section):
    """Who may use the cluster. Ray runs every program that is submitted to it."""

    mode: Literal["token", "disabled"] = "token"
    """``token``: only who has the token. ``disabled`` is refused."""
    token_file: str = "~/.ray/auth_token"
    """File with the token on the machine from which clusters are started and jobs submitted (`ray get-auth-token
    --generate` writes it)."""

    @field_validator("mode")
    @classmethod
    def _never_open(cls, mode: str) -> str:
        if mode != "token":
            raise ValueError(
                "a head without a token runs the code of every caller that reaches its ports: write mode: token"
            )
        return mode


class StorageConfig(Section):
    """Where runs, checkpoints and trackers' files lie; every node reads and writes it."""

    url: str = Field(default="/mnt/robonav/runs", min_length=1)
    """A folder that all nodes mount (NFS, Lustre, a shared volume), or a bucket: ``s3://bucket/prefix``,
    ``gs://bucket/prefix``."""

    @property
    def is_bucket(self) -> bool:
        """Whether it is a bucket, not a folder."""
        return "://" in self.url

    @field_validator("url")
    @classmethod
    def _can_be_shared(cls, url: str) -> str:
        if "://" in url:
            scheme, _, rest = url.partition("://")
            if scheme not in ("s3", "gs", "abfs"):
                raise ValueError(
                    f"{url!r}: {scheme}:// is no storage that all nodes share: take s3://, gs://, abfs:// or a mounted "
                    "folder"
                )
            if not _BUCKET.fullmatch(rest):
                raise ValueError(
                    f"{url!r} names no bucket: write {scheme}://bucket/prefix, of letters, digits, '.', '_', '-', '@' "
                    "and '/'"
                )
            return url.rstrip("/")
        return _shared_folder(url)


def _shared_folder(url: str) -> str:
    folder = url.rstrip("/")
    if not _FOLDER.fullmatch(folder) or {".", ".."} & set(folder.split("/")):
        raise ValueError(
            f"{url!r}: write an absolute folder that all nodes mount, of letters, digits, '.', '_' and '-', or a bucket"
        )
    if _is_below(folder, _OWN_FOLDERS):
        raise ValueError(
            f"{url!r} is a folder that each node has for itself, so that one node's part of a checkpoint is not seen "
            "by the others: name a folder that all mount (for instance /mnt/robonav/runs) or a bucket"
        )
    if _is_below(folder, _PROGRAM_FOLDERS):
        raise ValueError(
            f"{url!r} is a folder of the program or the system, which the mount would hide in the containers: name "
            "another (for instance /mnt/robonav/runs) or a bucket"
        )
    return folder


def _is_below(folder: str, tops: tuple[str, ...]) -> bool:
    return any(folder == top or folder.startswith(f"{top}/") for top in tops)


class PortsConfig(Section):
    """Ports of a cluster with one node a machine. What is published is bound to 127.0.0.1 unless ``publish_host`` says
    otherwise.
    """

    publish_host: str = "127.0.0.1"
    """Address of the machine on which the containers' ports are published."""
    gcs: int = Field(default=6379, ge=1024, le=65535)
    """The head, for nodes and drivers."""
    dashboard: int = Field(default=8265, ge=1024, le=65535)
    """Dashboard and jobs."""
    metrics: int = Field(default=8080, ge=1024, le=65535)
    """Metrics of each node, for Prometheus."""
    node_manager: int = Field(default=6380, ge=1024, le=65535)
    """Each node, for the others."""
    object_manager: int = Field(default=6381, ge=1024, le=65535)
    """Objects between nodes."""
    runtime_env_agent: int = Field(default=6382, ge=1024, le=65535)
    """Runtime environments on each node."""
    dashboard_agent: int = Field(default=52365, ge=1024, le=65535)
    """Dashboard's agent on each node (HTTP)."""
    dashboard_agent_grpc: int = Field(default=52366, ge=1024, le=65535)
    """Dashboard's agent on each node (gRPC)."""
    client: int = Field(default=9001, ge=1024, le=65535)
    """Ray client on the head; we do not use it."""
    worker_first: int = Field(default=10002, ge=1024, le=65535)
    """First port of the worker processes."""
    worker_last: int = Field(default=19999, ge=1024, le=65535)
    """Last port of the worker processes."""
    mlflow: int = Field(default=5000, ge=1024, le=65535)
    """MLflow (compose)."""
    tensorboard: int = Field(default=6006, ge=1024, le=65535)
    """TensorBoard (compose)."""
    prometheus: int = Field(default=9090, ge=1024, le=65535)
    """Prometheus (compose)."""
    grafana: int = Field(default=3000, ge=1024, le=65535)
    """Grafana (compose)."""
    serve: int = Field(default=8000, ge=1024, le=65535)
    """The server of policies (compose, profile ``serve``)."""

    @field_validator("publish_host")
    @classmethod
    def _is_ancheck_address(cls, host: str) -> str:
        return check_address(host)

    @model_validator(mode="after")
    def _no_port_twice(self) -> PortsConfig:
        services = {name: value for name, value in self if isinstance(value, int) and not name.startswith("worker_")}
        taken: dict[int, str] = {}
        for name, port in services.items():
            if port in taken:
                raise ValueError(f"ports.{name} and ports.{taken[port]} are both {port}: give one of them another port")
            taken[port] = name
        if self.worker_last - self.worker_first < 100:
            raise ValueError(
                "ports.worker_last must be at least 100 above ports.worker_first: every process of a node takes ports "
                "of it"
            )
        for name, port in services.items():
            if self.worker_first <= port <= self.worker_last:
                raise ValueError(
                    f"ports.{name} ({port}) is inside the range of Ray's worker processes ({self.worker_first} to "
                    f"{self.worker_last}): take one outside of it"
                )
        return self


class JobConfig(Section):
    """What the cluster is for; the groups are checked against it."""

    config: str = Field(default="configs/run/cluster.yaml", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*\.yaml$")
    """Run config of the job that the derived files start, relative to the repository."""
    num_ranks: int = Field(default=1, ge=1)
    """Learner ranks of it."""
    gpus_per_rank: int = Field(default=0, ge=0)
    """GPUs of each rank; they must be on one node."""


class ClusterDefinition(Section):
    """The whole of ``cluster/cluster.yaml``."""

    name: str = Field(default="robonav", pattern=NAME)
    """Name of the cluster, and of what is made from it."""
    groups: dict[str, NodeGroupConfig]
    """Node groups by name; one of them has the role ``head``."""
    image: ImageConfig = ImageConfig()
    auth: AuthConfig = AuthConfig()
    storage: StorageConfig = StorageConfig()
    ports: PortsConfig = PortsConfig()
    job: JobConfig = JobConfig()
    local: LocalConfig = LocalConfig()
    onprem: OnPremConfig = OnPremConfig()
    aws: AwsConfig = AwsConfig()
    gcp: GcpConfig = GcpConfig()
    kuberay: KubeRayConfig = KubeRayConfig()

    @property
    def head(self) -> str:
        """Name of the head's group."""
        return next(name for name, group in self.groups.items() if group.role == "head")

    @property
    def workers(self) -> dict[str, NodeGroupConfig]:
        """The groups besides the head's."""
        return {name: group for name, group in self.groups.items() if group.role != "head"}

    @field_validator("groups")
    @classmethod
    def _every_role_has_a_node(cls, groups: dict[str, NodeGroupConfig]) -> dict[str, NodeGroupConfig]:
        for name in groups:
            if not re.fullmatch(NAME, name):
                raise ValueError(
                    f"{name!r} is no name of a group: up to 31 small letters, digits and '-', a letter first"
                )
        for role in ROLES:
            if not any(group.role == role and group.most > 0 for group in groups.values()):
                raise ValueError(f"no node has the role {role}: give a group role: {role} and a count of at least 1")
        heads = [name for name, group in groups.items() if group.role == "head"]
        if len(heads) > 1 or groups[heads[0]].most != 1:
            raise ValueError(
                f"a cluster has one head node: keep one group with role: head ({', '.join(heads)}), with count: 1"
            )
        if groups[heads[0]].local.count != 1:
            raise ValueError(f"groups.{heads[0]}.local.count: the head runs once on one machine too; write 1")
        return groups

    @model_validator(mode="after")
    def _the_job_fits(self) -> ClusterDefinition:
        learners = {name: group for name, group in self.groups.items() if group.role == "learner" and group.most > 0}
        wanted, most = self.job.gpus_per_rank, max(group.num_gpus for group in learners.values())
        if wanted > most:
            name = max(learners, key=lambda n: learners[n].num_gpus)
            raise ValueError(
                f"job.gpus_per_rank is {wanted}, but no node of the learners has more than {most} GPUs "
                f"(groups.{name}.num_gpus): ask for fewer, or give the group larger nodes"
            )
        places = sum(group.most * (group.num_gpus // wanted) for group in learners.values()) if wanted else 0
        if wanted and self.job.num_ranks > places:
            raise ValueError(
                f"job.num_ranks is {self.job.num_ranks}, but the learners' nodes have GPUs for {places} ranks of "
                f"{wanted}: ask for fewer, or raise max_count"
            )
        nodes = sum(group.most for group in self.groups.values())
        if not self.storage.is_bucket and nodes > 1 and self.kuberay.access_mode != "ReadWriteMany":
            raise ValueError(
                f"kuberay.access_mode is {self.kuberay.access_mode}, but {nodes} nodes write to the volume: write "
                "ReadWriteMany, or set storage.url to a bucket"
            )
        return self

    @model_validator(mode="after")
    def _places_name_groups(self) -> ClusterDefinition:
        tables: dict[str, dict[str, str] | dict[str, tuple[str, ...]]] = {
            "onprem.worker_ips": self.onprem.worker_ips,
            "aws.instance_types": self.aws.instance_types,
            "aws.images": self.aws.images,
            "gcp.machine_types": self.gcp.machine_types,
            "gcp.accelerators": self.gcp.accelerators,
            "gcp.source_images": self.gcp.source_images,
        }
        for key, table in tables.items():
            for name in table:
                if name not in self.groups:
                    raise ValueError(
                        f"{key}.{name}: there is no group {name!r}; the groups are {', '.join(self.groups)}"
                    )
        for name, hosts in self.onprem.worker_ips.items():
            if len(hosts) > self.groups[name].most:
                raise ValueError(
                    f"onprem.worker_ips.{name} names {len(hosts)} machines, groups.{name}.max_count is "
                    f"{self.groups[name].most}: raise it, or leave some out"
                )
        return self
