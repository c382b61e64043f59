"""Secrets of the containers: files of the user (0600) that compose mounts; nothing of ours holds their values."""

from __future__ import annotations

import secrets
from pathlib import Path

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.files.plain_files import open_new
from robonav_ray.launch.local_state import own_folder

_MLFLOW = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:////data/auth.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def secret_paths(definition: ClusterDefinition) -> dict[str, Path]:
    """Return where each secret lies on this machine."""
    folder = own_folder() / "secrets"
    names = ("mlflow_auth.ini", "mlflow_key", "grafana_password")
    return {"ray_token": Path(definition.auth.token_file).expanduser(), **{name: folder / name for name in names}}


def make_secrets(definition: ClusterDefinition) -> dict[str, Path]:
    """Make the secrets that are not there yet; return those that were made."""
    texts = {
        "ray_token": secrets.token_hex(32),
        "mlflow_auth.ini": _MLFLOW.format(password=secrets.token_urlsafe(18)),
        "mlflow_key": secrets.token_hex(32),
        "grafana_password": secrets.token_urlsafe(18),
    }
    made: dict[str, Path] = {}
    for name, path in secret_paths(definition).items():
        if path.is_file():
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open_new(path, 0o600) as file:
            file.write(texts[name].encode())
        made[name] = path
    return made
