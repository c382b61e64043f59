"""docker compose: the cluster and what watches it, on one machine, each node a container.

Sizes are those of ``groups.NAME.local``. No container runs as root, may gain privileges or keeps capabilities; what is
published is bound to ``ports.publish_host``; secrets are files of the user that are mounted, never values in a file of
ours.
"""

from __future__ import annotations

from typing import Any

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.launch.ray_start import head_words, label_text, node_labels, node_variables, port_words, start_command

Service = dict[str, Any]

MLFLOW_IMAGE = "robonav-ray:mlflow"
SERVE_IMAGE = "robonav-ray:serve"
PROMETHEUS_IMAGE = "prom/prometheus:v3.5.0"
GRAFANA_IMAGE = "grafana/grafana:12.1.1"
MLFLOW_SECRETS = ("mlflow_auth.ini", "mlflow_password", "mlflow_key")
USER = "${ROBONAV_UID:-1000}:${ROBONAV_GID:-1000}"
"""The owner of the secrets' files; compose mounts them with the owner and mode that they have."""
SECRETS = "${ROBONAV_SECRETS:-${HOME}/.robonav/secrets}"


def compose_file(definition: ClusterDefinition) -> dict[str, Any]:
    """Return ``docker-compose.yml``."""
    services: dict[str, Service] = {}
    for name, group in definition.groups.items():
        if group.local.count:
            services[name] = _ray_node(definition, name)
    services |= {
        "mlflow": _mlflow(definition),
        "tensorboard": _tensorboard(definition),
        "prometheus": _prometheus(definition),
        "grafana": _grafana(definition),
        "serve": _serve(definition),
    }
    _build_once(services)
    volumes = {
        name: {} for name in (*(() if definition.storage.is_bucket else ("runs",)), "mlflow", "prometheus", "grafana")
    }
    token = definition.auth.token_file.replace("~/", "${HOME}/", 1)
    secrets = {"ray_token": {"file": f"${{ROBONAV_TOKEN_FILE:-{token}}}"}}
    secrets |= {name: {"file": f"{SECRETS}/{name}"} for name in (*MLFLOW_SECRETS, "grafana_password", "serve_token")}
    return {
        "name": definition.name,
        "services": services,
        "networks": {"cluster": {}},
        "volumes": volumes,
        "secrets": secrets,
    }


def prometheus_file(definition: ClusterDefinition) -> dict[str, Any]:
    """Return the configuration of Prometheus: every container of every group, found by the names of the services."""
    names = [name for name, group in definition.groups.items() if group.local.count]
    return {
        "global": {"scrape_interval": "10s"},
        "scrape_configs": [
            {
                "job_name": "robonav",
                "dns_sd_configs": [
                    {"names": names, "type": "A", "port": definition.ports.metrics, "refresh_interval": "10s"}
                ],
            }
        ],
    }


def grafana_source(definition: ClusterDefinition) -> dict[str, Any]:
    """Return Grafana's data source."""
    source = {"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "access": "proxy", "isDefault": True}
    return {"apiVersion": 1, "datasources": [{**source, "url": f"http://prometheus:{definition.ports.prometheus}"}]}


def _build_once(services: dict[str, Service]) -> None:
    """Leave ``build`` to the first service of each image; an engine that builds all at once refuses to make one tag
    twice.
    """
    built = set[str]()
    for service in services.values():
        if service["image"] in built:
            service.pop("build", None)
        built.add(service["image"])


def _hardened(service: Service, memory_bytes: int, cpus: float) -> Service:
    limits = {"cpus": f"{cpus:g}", "memory": f"{memory_bytes // (1 << 20)}M", "pids": 4096}
    deploy = service.pop("deploy", {})
    return {
        **service,
        "user": service.get("user", USER),
        "init": True,
        "restart": "unless-stopped",
        "read_only": True,
        "security_opt": ["no-new-privileges:true"],
        "cap_drop": ["ALL"],
        "networks": ["cluster"],
        "deploy": {**deploy, "resources": {"limits": limits, **deploy.get("resources", {})}},
    }


def _ray_node(definition: ClusterDefinition, name: str) -> Service:
    group, ports = definition.groups[name], definition.ports
    is_head, on_gpu = name == definition.head, group.local.num_gpus > 0
    words = {
        **(head_words(definition, "0.0.0.0") if is_head else {"address": f"{definition.head}:{ports.gcs}"}),
        "num-cpus": str(group.local.num_cpus),
        "num-gpus": str(group.local.num_gpus),
        "memory": str(group.local.memory_bytes),
        "object-store-memory": str(group.local.object_store_bytes),
        "labels": label_text(node_labels(name, group)),
        **port_words(definition),
    }
    image = "gpu" if on_gpu else "cpu"
    service: Service = {
        "image": definition.image.gpu if on_gpu else definition.image.cpu,
        "build": {"context": ".", "target": image, "args": {"STORAGE": _mount(definition)}},
        "command": start_command(words, head=is_head, block=True),
        "environment": {
            **node_variables(definition),
            "RAY_AUTH_TOKEN_PATH": "/run/secrets/ray_token",
            "MLFLOW_TRACKING_URI": f"http://mlflow:{ports.mlflow}",
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD_FILE": "/run/secrets/mlflow_password",
            "ROBONAV_REGISTRY": _registry(definition),
            **_bucket_variables(definition),
        },
        "secrets": ["ray_token", "mlflow_password"],
        # Volumes without a name: Ray's sessions, spilled objects and runtime environments, each container's own.
        "volumes": [
            *([] if definition.storage.is_bucket else [f"runs:{definition.storage.url}"]),
            "/tmp",
            "/home/robonav",
        ],
        "shm_size": f"{(group.local.object_store_bytes >> 20) + 64}M",
        "stop_grace_period": "60s" if is_head else "40s",
        "healthcheck": _healthcheck(ports.dashboard_agent, "api/local_raylet_healthz")
        if not is_head
        else _healthcheck(ports.dashboard, "api/gcs_healthz"),
    }
    if is_head:
        service["ports"] = [f"{ports.publish_host}:{ports.dashboard}:{ports.dashboard}"]
    else:
        service["depends_on"] = {definition.head: {"condition": "service_healthy"}}
        service["deploy"] = {"replicas": group.local.count}
    if on_gpu:
        devices = [{"driver": "nvidia", "count": group.local.num_gpus, "capabilities": ["gpu"]}]
        service["deploy"] = {**service.get("deploy", {}), "resources": {"reservations": {"devices": devices}}}
    # Ray itself needs about 1 GiB besides what it offers to tasks.
    return _hardened(
        service, group.local.memory_bytes + group.local.object_store_bytes + (1 << 30), max(1, group.local.num_cpus)
    )


def _mlflow(definition: ClusterDefinition) -> Service:
    port = definition.ports.mlflow
    names = dict.fromkeys(("mlflow", "localhost", "127.0.0.1", definition.ports.publish_host))
    hosts = ",".join(f"{name}:{port}" for name in names)
    serve = (
        f"exec mlflow server --app-name=basic-auth --host=0.0.0.0 --port={port} --workers=2 --allowed-hosts={hosts} "
        "--backend-store-uri=sqlite:////data/mlflow.db --artifacts-destination=/data/artifacts"
    )
    service: Service = {
        "image": MLFLOW_IMAGE,
        "build": {"context": ".", "target": "mlflow"},
        "command": ["sh", "-c", f'export MLFLOW_FLASK_SERVER_SECRET_KEY="$$(cat /run/secrets/mlflow_key)"; {serve}'],
        "environment": {
            "MLFLOW_AUTH_CONFIG_PATH": "/run/secrets/mlflow_auth.ini",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of language models; 1 GB less
        },
        "secrets": ["mlflow_auth.ini", "mlflow_key"],
        "volumes": ["mlflow:/data"],
        "tmpfs": ["/tmp:mode=1777"],
        "ports": [f"{definition.ports.publish_host}:{port}:{port}"],
        "healthcheck": _healthcheck(port, "health"),
    }
    return _hardened(service, 2 << 30, 1)


def _tensorboard(definition: ClusterDefinition) -> Service:
    port = definition.ports.tensorboard
    service: Service = {
        "image": definition.image.cpu,
        "command": ["tensorboard", f"--logdir={definition.storage.url}", "--host=0.0.0.0", f"--port={port}"],
        **({"environment": _bucket_variables(definition)} if definition.storage.is_bucket else {}),
        "volumes": [] if definition.storage.is_bucket else [f"runs:{definition.storage.url}:ro"],
        "tmpfs": ["/tmp:mode=1777"],
        "ports": [f"{definition.ports.publish_host}:{port}:{port}"],
        "healthcheck": _healthcheck(port, ""),
        "depends_on": [definition.head],  # which builds the image
    }
    return _hardened(service, 1 << 30, 1)


def _prometheus(definition: ClusterDefinition) -> Service:
    port = definition.ports.prometheus
    service: Service = {
        "image": PROMETHEUS_IMAGE,
        "user": "65534:65534",
        "command": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=15d",
            f"--web.listen-address=0.0.0.0:{port}",
        ],
        "volumes": ["./cluster/compose/prometheus.yml:/etc/prometheus/prometheus.yml:ro", "prometheus:/prometheus"],
        "ports": [f"{definition.ports.publish_host}:{port}:{port}"],
        "healthcheck": {
            "test": ["CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{port}/-/healthy"],
            "interval": "15s",
            "timeout": "5s",
            "retries": 3,
        },
    }
    return _hardened(service, 1 << 30, 1)


def _grafana(definition: ClusterDefinition) -> Service:
    port = definition.ports.grafana
    folder = "./cluster/compose/grafana"
    service: Service = {
        "image": GRAFANA_IMAGE,
        "environment": {
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_SECURITY_ADMIN_PASSWORD__FILE": "/run/secrets/grafana_password",
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": "/etc/grafana/provisioning/dashboards/robonav.json",
        },
        "secrets": ["grafana_password"],
        "volumes": [
            f"{folder}/datasources:/etc/grafana/provisioning/datasources:ro",
            f"{folder}/dashboards:/etc/grafana/provisioning/dashboards:ro",
            "grafana:/var/lib/grafana",
        ],
        "tmpfs": ["/tmp:mode=1777"],
        "ports": [f"{definition.ports.publish_host}:{port}:{port}"],
        "healthcheck": {
            "test": ["CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{port}/api/health"],
            "interval": "15s",
            "timeout": "5s",
            "retries": 3,
        },
        "depends_on": ["prometheus"],
    }
    return _hardened(service, 1 << 30, 1)


def _serve(definition: ClusterDefinition) -> Service:
    """A model of the registry, answered with over HTTP; it comes up with the profile ``serve`` alone, because it needs
    a champion.
    """
    port, token = definition.ports.serve, "/run/secrets/serve_token"
    ask = (
        f"import urllib.request as u; t = open('{token}').read().strip(); "
        f"u.urlopen(u.Request('http://127.0.0.1:{port}/health', headers={{'Authorization': 'Bearer ' + t}}), timeout=4)"
    )
    command = ["robonav", "serve", "${ROBONAV_SERVED:-robot_nav@champion}", "--host=0.0.0.0", f"--port={port}"]
    service: Service = {
        "image": SERVE_IMAGE,
        "build": {"context": ".", "target": "serve", "args": {"STORAGE": _mount(definition)}},
        "profiles": ["serve"],
        "command": [*command, f"--token-file={token}"],
        "environment": {"ROBONAV_REGISTRY": _registry(definition), **_bucket_variables(definition)},
        "secrets": ["serve_token"],
        "volumes": [
            *([] if definition.storage.is_bucket else [f"runs:{definition.storage.url}:ro"]),
            "/tmp",
            "/home/robonav",
        ],
        "shm_size": "512M",
        "stop_grace_period": "70s",
        "ports": [f"{definition.ports.publish_host}:{port}:{port}"],
        "healthcheck": {**_healthcheck(port, "health"), "test": ["CMD", "python", "-c", ask], "start_period": "120s"},
    }
    return _hardened(service, 4 << 30, 2)


def _registry(definition: ClusterDefinition) -> str:
    """Where the cluster keeps models by name."""
    return f"{definition.storage.url}/models"


def _healthcheck(port: int, path: str) -> dict[str, Any]:
    """Ask over HTTP with the Python that is in the image; these pages need no token and say nothing."""
    ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/{path}', timeout=4)"
    return {
        "test": ["CMD", "python", "-c", ask],
        "interval": "10s",
        "timeout": "8s",
        "retries": 5,
        "start_period": "60s",
    }


def _bucket_variables(definition: ClusterDefinition) -> dict[str, None]:
    """Names of the variables of the calling shell that a bucket's client reads; their values stay there."""
    scheme = definition.storage.url.partition("://")[0] if definition.storage.is_bucket else ""
    names = {
        "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"),
        "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
        "abfs": ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"),
    }.get(scheme, ())
    return dict.fromkeys(names)


def _mount(definition: ClusterDefinition) -> str:
    return "/mnt/robonav/runs" if definition.storage.is_bucket else definition.storage.url
