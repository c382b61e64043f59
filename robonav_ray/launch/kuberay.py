"""KubeRay: the cluster as a RayCluster, and the job with a cluster of its own as a RayJob.

Pods fulfil the "restricted" pod security standard: not root, no privileges to gain, no capabilities, the runtime's
seccomp profile, a root filesystem that cannot be written. The operator makes the token (``authOptions``) and gives it
to the pods.
"""

from __future__ import annotations

from typing import Any

from robonav_ray.config.cluster import ClusterDefinition, NodeGroupConfig
from robonav_ray.launch.ray_start import head_words, job_command, node_labels, node_variables

RAY_VERSION = "2.60.0"
HOME = "/home/robonav"

Manifest = dict[str, Any]


def ray_cluster(definition: ClusterDefinition) -> Manifest:
    """Return ``raycluster.yaml``: a cluster that stays, for ``ray job submit`` or ``robonav submit``."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": _metadata(definition),
        "spec": _spec(definition),
    }


def ray_job(definition: ClusterDefinition) -> Manifest:
    """Return ``rayjob.yaml``: the job, with a cluster that comes and goes with it; a retry goes on from the last
    checkpoint.
    """
    spec = {
        "entrypoint": job_command(definition),
        "submissionMode": "HTTPMode",
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 600,
        "backoffLimit": 2,
        "rayClusterSpec": _spec(definition),
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": _metadata(definition), "spec": spec}


def storage(definition: ClusterDefinition) -> list[Manifest]:
    """Return ``storage.yaml``: the namespace, and the claim of the volume that all pods share."""
    space, claim = definition.kuberay.namespace, definition.kuberay.storage_claim
    secured = {"pod-security.kubernetes.io/enforce": "restricted"}
    documents: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": secured}}
    ]
    if not definition.storage.is_bucket:
        documents.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim, "namespace": space},
                "spec": {
                    **(
                        {"storageClassName": definition.kuberay.storage_class}
                        if definition.kuberay.storage_class
                        else {}
                    ),
                    "accessModes": [definition.kuberay.access_mode],
                    "resources": {"requests": {"storage": definition.kuberay.storage_size}},
                },
            }
        )
    return documents


def _metadata(definition: ClusterDefinition) -> Manifest:
    labels = {"app.kubernetes.io/name": "robonav-ray", "app.kubernetes.io/instance": definition.name}
    return {"name": definition.name, "namespace": definition.kuberay.namespace, "labels": labels}


def _spec(definition: ClusterDefinition) -> Manifest:
    head = definition.groups[definition.head]
    return {
        "rayVersion": RAY_VERSION,
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": {**head_words(definition, "0.0.0.0"), **_start_params(definition, head)},
            "labels": node_labels(definition.head, head),
            "template": _pod(definition, definition.head),
        },
        "workerGroupSpecs": [
            {
                "groupName": name,
                "replicas": group.count,
                "minReplicas": group.fewest,
                "maxReplicas": group.most,
                "rayStartParams": _start_params(definition, group),
                "labels": node_labels(name, group),
                "template": _pod(definition, name),
            }
            for name, group in definition.workers.items()
        ],
    }


def _start_params(definition: ClusterDefinition, group: NodeGroupConfig) -> dict[str, str]:
    """Return options of ``ray start``; KubeRay wants every value as a text."""
    ports = definition.ports
    return {
        "num-cpus": str(group.num_cpus),
        "num-gpus": str(group.num_gpus),
        "object-store-memory": str(group.object_store_bytes),
        "metrics-export-port": str(ports.metrics),
        "dashboard-agent-listen-port": str(ports.dashboard_agent),
        "min-worker-port": str(ports.worker_first),
        "max-worker-port": str(ports.worker_last),
    }


def _pod(definition: ClusterDefinition, name: str) -> Manifest:
    group, ports = definition.groups[name], definition.ports
    is_head = name == definition.head
    mounts = {"/tmp": "tmp", HOME: "home", "/dev/shm": "shm"}
    volumes: list[Manifest] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(group.object_store_bytes + (64 << 20))}},
    ]
    if not definition.storage.is_bucket:
        mounts[definition.storage.url] = "runs"
        volumes.append({"name": "runs", "persistentVolumeClaim": {"claimName": definition.kuberay.storage_claim}})
    amounts: dict[str, str] = {"cpu": str(max(1, group.num_cpus)), "memory": str(group.memory_bytes)}
    if group.num_gpus:
        amounts["nvidia.com/gpu"] = str(group.num_gpus)
    open_ports = {"metrics": ports.metrics} | (
        {"gcs-server": ports.gcs, "dashboard": ports.dashboard} if is_head else {}
    )
    alive = {"httpGet": {"path": "/api/local_raylet_healthz", "port": ports.dashboard_agent}, "timeoutSeconds": 5}
    container: Manifest = {
        "name": "ray-head" if is_head else "ray-worker",
        "image": definition.image.gpu if group.image == "gpu" else definition.image.cpu,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": key, "value": value}
            for key, value in {"HOME": HOME, **node_variables(definition)}.items()
            if key != "RAY_AUTH_MODE"
        ],
        "ports": [{"name": key, "containerPort": port} for key, port in open_ports.items()],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "startupProbe": {**alive, "periodSeconds": 5, "failureThreshold": 36},
        "livenessProbe": {**alive, "periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": {**alive, "periodSeconds": 10, "failureThreshold": 3},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        "volumeMounts": [{"name": volume, "mountPath": path} for path, volume in mounts.items()],
    }
    user = definition.kuberay.user_id
    return {
        "metadata": {"labels": {"app.kubernetes.io/name": "robonav-ray", "robonav.group": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 60,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "fsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": volumes,
        },
    }
