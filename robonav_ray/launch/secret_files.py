"""Secrets of the containers: files of the user (0600) that compose mounts; nothing of ours holds their values."""

from __future__ import annotations

import secrets
from pathlib import Path

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.files.plain_files import open_new, read_text
from robonav_ray.launch.local_state import own_folder

_MLFLOW = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:////data/auth.db
admin_username = admin
admin_password = {password}
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def secret_paths(definition: ClusterDefinition) -> dict[str, Path]:
    """Return where each secret lies on this machine."""
    folder = own_folder() / "secrets"
    names = ("mlflow_auth.ini", "mlflow_password", "mlflow_key", "grafana_password", "serve_token")
    return {"ray_token": Path(definition.auth.token_file).expanduser(), **{name: folder / name for name in names}}


def make_secrets(definition: ClusterDefinition) -> dict[str, Path]:
    """Make the secrets that are not there yet; return those that were made."""
    paths = secret_paths(definition)
    mlflow = _mlflow_password(paths["mlflow_auth.ini"]) or secrets.token_urlsafe(18)
    texts = {
        "ray_token": secrets.token_hex(32),
        "mlflow_auth.ini": _MLFLOW.format(password=mlflow),
        "mlflow_password": mlflow,  # for its clients, who may not read the rest of the server's settings
        "mlflow_key": secrets.token_hex(32),
        "grafana_password": secrets.token_urlsafe(18),
        "serve_token": secrets.token_hex(32),
    }
    made: dict[str, Path] = {}
    for name, path in paths.items():
        if path.is_file():
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open_new(path, 0o600) as file:
            file.write(texts[name].encode())
        made[name] = path
    return made


def _mlflow_password(settings: Path) -> str | None:
    """Return the password in settings of MLflow's server that were made before; None where there are none."""
    try:
        lines = read_text(settings).splitlines()
    except FileNotFoundError:
        return None
    found = [line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "admin_password"]
    return found[0] if found else None
