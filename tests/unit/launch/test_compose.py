"""docker-compose.yml: not root, no privileges to gain, published on the loopback only, no secret in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from robonav_ray.config.load import load_cluster_definition, load_run_config
from robonav_ray.launch.compose import compose_file
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.sizes import check_sizes
from tests.command_lines import parse_robonav

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
ALL = sorted(SERVICES)


def test_all_that_is_asked_for_is_there():
    assert set(SERVICES) >= {"head", "rollout", "learner", "mlflow", "tensorboard", "prometheus", "grafana", "serve"}


def test_a_policy_is_served_when_it_is_asked_for():
    """It needs a champion, which a new cluster has not."""
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["serve"]
    serve = SERVICES["serve"]
    assert serve["profiles"] == ["serve"]
    assert "/run/secrets/serve_token" in serve["healthcheck"]["test"][-1]
    assert serve["environment"]["ROBONAV_REGISTRY"] == SERVICES["head"]["environment"]["ROBONAV_REGISTRY"]
    assert "runs:/mnt/robonav/runs:ro" in serve["volumes"]
    parse_robonav(serve["command"][1:])


@pytest.mark.parametrize("name", ALL)
def test_a_service_is_confined(name):
    service = SERVICES[name]
    assert not str(service["user"]).startswith(("0", "root"))
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory", "pids"}
    for key in ("privileged", "cap_add", "network_mode", "pid", "ipc", "devices"):
        assert key not in service, key


@pytest.mark.parametrize("name", ALL)
def test_ports_are_published_on_the_loopback(name):
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_another_address_is_published_only_when_asked():
    definition = load_cluster_definition(ROOT / "cluster" / "cluster.yaml", ["ports.publish_host=10.1.2.3"])
    assert compose_file(definition)["services"]["head"]["ports"] == ["10.1.2.3:8265:8265"]


@pytest.mark.parametrize("name", ALL)
def test_no_socket_of_the_engine_and_no_folder_of_the_machine_is_mounted(name):
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert (
            source in COMPOSE["volumes"]
            or source in ("/tmp", "/home/robonav")
            or source.startswith("./cluster/compose/")
        )
        assert not source.startswith("./") or volume.endswith(":ro")


@pytest.mark.parametrize("name", ALL)
def test_a_service_has_a_healthcheck_and_known_secrets(name):
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_secrets_are_files_of_the_user():
    for secret in COMPOSE["secrets"].values():
        assert set(secret) == {"file"}
        assert "${HOME}" in secret["file"]
    for service in SERVICES.values():
        for key, value in (service.get("environment") or {}).items():
            assert not re.search(r"PASSWORD|SECRET|TOKEN", key) or str(value).startswith("/run/secrets/"), key


def test_a_bucket_needs_names_of_variables_not_their_values():
    definition = load_cluster_definition(ROOT / "cluster" / "cluster.yaml", ["storage.url=s3://lab/runs"])
    services = compose_file(definition)["services"]
    assert services["head"]["environment"]["AWS_SECRET_ACCESS_KEY"] is None
    assert not any(volume.startswith("runs:") for service in services.values() for volume in service["volumes"])


@pytest.mark.parametrize("gpus", [0, 1])
def test_every_image_of_ours_is_built_by_one_service(gpus):
    """With two builds of one tag at once, the second fails: the image exists already."""
    overrides = [f"groups.learner.local.num_gpus={gpus}"]
    services = compose_file(load_cluster_definition(ROOT / "cluster" / "cluster.yaml", overrides))["services"]
    builds = [service["image"] for service in services.values() if "build" in service]
    ours = {service["image"] for service in services.values() if service["image"].startswith("robonav-ray:")}
    assert len(builds) == len(set(builds))
    assert set(builds) == ours
    builder = {service["image"]: name for name, service in services.items() if "build" in service}
    for name, service in services.items():  # so that each also comes up alone
        if service["image"] in ours and "build" not in service:
            assert builder[service["image"]] in service["depends_on"], name


def test_the_documented_run_fits_into_the_head_that_drives_it():
    (command,) = re.findall(
        r"^docker compose exec head robonav train (.*)$", (ROOT / "docs" / "cluster.md").read_text(), re.MULTILINE
    )
    config_file, *overrides = command.split()
    config = load_run_config(ROOT / config_file, overrides)
    limit = int(SERVICES["head"]["deploy"]["resources"]["limits"]["memory"].rstrip("M")) << 20
    check_sizes(config, describe_task(config).spec, memory_bytes=limit)


def test_mlflow_answers_to_the_address_that_is_published():
    definition = load_cluster_definition(ROOT / "cluster" / "cluster.yaml", ["ports.publish_host=10.1.2.3"])
    command = " ".join(compose_file(definition)["services"]["mlflow"]["command"])
    assert "--allowed-hosts=mlflow:5000,localhost:5000,127.0.0.1:5000,10.1.2.3:5000 " in command


def test_mlflow_asks_who_is_there():
    command = " ".join(SERVICES["mlflow"]["command"])
    for word in ("--app-name=basic-auth", "--allowed-hosts=mlflow:5000,", "--backend-store-uri=sqlite:"):
        assert word in command
    assert "*" not in command


def test_nodes_know_mlflow_and_a_file_with_its_password():
    for name in ("head", "rollout", "learner"):
        there = SERVICES[name]["environment"]
        assert there["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
        assert there["MLFLOW_TRACKING_PASSWORD_FILE"] == "/run/secrets/mlflow_password"
        assert "mlflow_password" in SERVICES[name]["secrets"]


def test_images_of_others_have_a_version():
    for service in SERVICES.values():
        name, _, tag = service["image"].rpartition(":")
        assert name
        assert tag not in ("", "latest")


def test_shared_memory_holds_the_object_store_and_limits_hold_it_too(definition):
    for name, group in definition.groups.items():
        service = SERVICES[name]
        assert int(service["shm_size"].rstrip("M")) << 20 > group.local.object_store_bytes
        assert int(service["deploy"]["resources"]["limits"]["memory"].rstrip("M")) << 20 > group.local.memory_bytes


def test_a_learner_with_gpus_reserves_them():
    overrides = ["groups.learner.local.num_gpus=2"]
    learner = compose_file(load_cluster_definition(ROOT / "cluster" / "cluster.yaml", overrides))["services"]["learner"]
    assert learner["image"] == "robonav-ray:gpu"
    assert learner["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 2
    assert learner["deploy"]["resources"]["limits"]["memory"]
