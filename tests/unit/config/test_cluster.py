"""The cluster definition: the shipped one is valid, and what cannot work is refused with one message that names key and
remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from robonav_ray.config.cluster import ClusterDefinition, LocalConfig, NodeGroupConfig, StorageConfig
from robonav_ray.config.load import ConfigError, load_cluster_definition
from robonav_ray.launch.local_state import PORTS_PER_NODE

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "cluster" / "cluster.yaml"

REFUSED = {
    "groups.rollout.role=learner": ("groups", "no node has the role rollout"),
    "groups.rollout.role=head": ("groups", "no node has the role rollout"),
    "groups.head.count=2": ("groups", "min_count .*must rise|one head node"),
    "groups.rollout.min_count=9": ("groups.rollout", "must rise in this order"),
    "groups.rollout.max_count=1": ("groups.rollout", "must rise in this order"),
    "groups.rollout.object_store_bytes=16000000000": ("groups.rollout", "more than 60 %"),
    "groups.learner.image=cpu": ("groups.learner", "image: gpu"),
    "groups.head.labels={robonav.role: learner}": ("groups.head.labels", "are set by Ray and by us"),
    "groups.head.labels={zone: 'a b'}": ("groups.head.labels", "a label is"),
    "groups.head.rolle=head": ("groups.head", "groups.head"),
    "ports.gcs=8265": ("ports", "both 8265"),
    "ports.dashboard=12000": ("ports", "inside the range of Ray's worker processes"),
    "ports.metrics=80": ("ports.metrics", "1024"),
    "ports.worker_last=10010": ("ports", "at least 100"),
    "ports.publish_host=anywhere": ("ports.publish_host", "no IP address"),
    "auth.mode=disabled": ("auth.mode", "a head without a token"),
    "image.cpu=robonav-ray": ("image.cpu", "no image with a tag"),
    "job.gpus_per_rank=2": ("job.gpus_per_rank", "no node of the learners has more than 1"),
    "job.num_ranks=3": ("job.num_ranks", "GPUs for 2 ranks"),
    "storage.url=/tmp/runs": ("storage.url", "each node has for itself"),
    "storage.url=runs": ("storage.url", "absolute folder"),
    "storage.url=/mnt/../etc": ("storage.url", "absolute folder"),
    "storage.url=file:///mnt/runs": ("storage.url", "file:// is no storage"),
    "storage.url='s3://'": ("storage.url", "names no bucket"),
    "storage.url=/": ("storage.url", "absolute folder"),
    "storage.url=/mnt/./runs": ("storage.url", "absolute folder"),
    "storage.url=/mnt//runs": ("storage.url", "absolute folder"),
    "storage.url=/app": ("storage.url", "the mount would hide"),
    "storage.url=/opt/robonav/": ("storage.url", "the mount would hide"),
    "storage.url=/dev/shm/runs": ("storage.url", "the mount would hide"),
    "kuberay.storage_class=a b": ("kuberay.storage_class", "match"),
    "aws.disk_gb=0": ("aws.disk_gb", "8"),
    "aws.mount_commands=['']": ("aws.mount_commands", "at least 1"),
    "gcp.source_images={cpu: x}": ("gcp.source_images.cpu", "there is no group 'cpu'"),
    "kuberay.access_mode=ReadWriteOnce": ("kuberay.access_mode", "ReadWriteMany"),
    "onprem.head_ip=lab1": ("onprem.head_ip", "no IP address"),
    "onprem.head_ip=192.168.1.11": ("onprem", "named twice"),
    "onprem.worker_ips={cpu: [192.168.1.11]}": ("onprem.worker_ips.cpu", "there is no group 'cpu'"),
    "local.network=wifi": ("local.network", "loopback"),
    "local.port_base=80": ("local.port_base", "20000"),
    "name=Robo Nav": ("name", "match"),
}


HOSTILE = [" ", ";", "$(id)", "`id`", "&", "|", "'", '"', "\n", ":", "\\", "*", "~", "\x00", "é"]


@pytest.mark.parametrize("place", ["/mnt/runs", "s3://lab/runs"])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_storage_that_a_shell_would_take_apart_is_refused(place, text):
    for url in (
        f"{place}{text}",
        f"{place}{text}x",
        f"{place}/{text}/x",
        place.replace("mnt", f"m{text}").replace("lab", f"l{text}"),
    ):
        with pytest.raises(ValidationError, match="url"):
            StorageConfig(url=url)


def test_a_group_or_label_with_a_line_end_is_refused():
    with pytest.raises(ValidationError, match="is no name of a group"):
        ClusterDefinition(groups={"head\n": NodeGroupConfig(role="head")})
    with pytest.raises(ValidationError, match="a label is"):
        NodeGroupConfig(role="head", labels={"zone": "a\n"})


def test_the_ports_of_a_node_are_as_many_as_the_key_says():
    assert f", {PORTS_PER_NODE} for each node" in str(LocalConfig.model_fields["port_base"].description)


def test_the_shipped_definition_is_valid():
    definition = load_cluster_definition(SHIPPED)
    assert definition.head == "head"
    assert list(definition.workers) == ["rollout", "learner"]
    assert definition.auth.mode == "token"


@pytest.mark.parametrize("override", REFUSED)
def test_what_cannot_work_is_refused_once_with_key_and_reason(override):
    key, reason = REFUSED[override]
    with pytest.raises(ConfigError, match=reason) as caught:
        load_cluster_definition(SHIPPED, [override])
    message = str(caught.value)
    assert key in message
    assert len(message.splitlines()) == 1, message


def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(SHIPPED.read_text().replace("dashboard: 8265", "dashboard: 6379"))
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("ports:"))
    with pytest.raises(
        ConfigError, match=rf"cluster\.yaml:{line}: ports: ports\.dashboard and ports\.gcs are both 6379"
    ):
        load_cluster_definition(path)


def test_a_definition_without_groups_says_so(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("name: alone\n")
    with pytest.raises(ConfigError, match="groups: is missing"):
        load_cluster_definition(path)


def test_a_bucket_is_storage_for_all_and_needs_no_volume():
    definition = load_cluster_definition(SHIPPED, ["storage.url=s3://lab/runs/", "kuberay.access_mode=ReadWriteOnce"])
    assert definition.storage.is_bucket
    assert definition.storage.url == "s3://lab/runs"


@pytest.mark.parametrize("verb", ["up", "render"])
def test_the_command_line_ends_with_2_and_starts_nothing(verb, tmp_path, monkeypatch):
    from robonav_ray.cli import app
    from robonav_ray.errors import UserError

    monkeypatch.setenv("HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["cluster", verb, "--definition", str(SHIPPED), "auth.mode=disabled"])
    assert isinstance(result.exception, UserError)  # which main() turns into one line and exit code 2
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_key_of_a_group_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"groups\.rollout\.num_cpu: unknown key; did you mean 'num_cpus'\?"):
        load_cluster_definition(SHIPPED, ["groups.rollout.num_cpu=2"])
