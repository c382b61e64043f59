"""What a secret is called, and how a private key begins: such files stay here unless they are named one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_ENDINGS = ("", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".txt", ".xml", ".properties", ".env", ".bak", ".enc")
_WORDS = (
    *(
        "secret",
        "secrets",
        ".secret",
        ".secrets",
        "credential",
        "credentials",
        ".credentials",
        "password",
        "passwords",
        ".password",
    ),
    *("passwd", "token", "tokens", ".token", "auth_token", "api_key", "apikey", "api_keys", "kubeconfig", "client_secret"),
)
FOLDERS = (
    *(
        ".ssh",
        ".aws",
        ".azure",
        ".kube",
        ".gnupg",
        ".password-store",
        ".docker",
        ".oci",
        ".gcloud",
        ".vault",
        ".vault.d",
        ".kaggle",
    ),
    *("secrets", ".secrets", "keyrings", ".env", ".git", ".hg", ".svn"),
)
FILES = (
    *(f"{word}{ending}" for word in _WORDS for ending in _ENDINGS),
    *(
        ".env",
        ".env.*",
        ".env-*",
        ".env_*",
        "*.env",
        ".envrc",
        ".netrc",
        "_netrc",
        ".netrc.*",
        ".authinfo*",
        ".pgpass",
        "pgpass.conf",
    ),
    *(".my.cnf", ".mylogin.cnf", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", "pip.conf", ".git-credentials", ".dockercfg"),
    *(
        ".dockerconfigjson",
        ".htpasswd",
        ".htdigest",
        ".vault-token",
        ".vault_pass*",
        "*vault-pass*",
        ".boto",
        ".s3cfg",
        "rclone.conf",
    ),
    *(
        "*.pem",
        "*.key",
        "*.p8",
        "*.p12",
        "*.pfx",
        "*.pkcs12",
        "*.jks",
        "*.keystore",
        "*.kdb",
        "*.kdbx",
        "*.ppk",
        "*.keytab",
        "*.ovpn",
    ),
    *(
        "id_rsa*",
        "id_dsa*",
        "id_ecdsa*",
        "id_ed25519*",
        "*_rsa",
        "*_ed25519",
        "*.token",
        "*_token",
        "*-token",
        "*.secret",
        "*.secrets",
    ),
    *("*credentials*.json", "client_secret*.json", "*service-account*.json", "*service_account*.json", "*serviceaccount*.json"),
    *("kaggle.json", "basic_auth.ini", ".databrickscfg", ".terraformrc", "terraform.rc", "*.tfstate", "*.tfstate.*", "*.tfvars"),
    *("*.tfvars.json", "*.kubeconfig", "secring.*", "*.jwt", ".*_history", ".comet.config", "wandb_api_key*"),
)
"""Patterns of names in lower case; ``FOLDERS`` are those of folders that are left out whole."""
_PLACES = (
    *((".config", name) for name in ("gcloud", "gh", "hub", "rclone", "op", "doctl", "wandb", "containers", "kaggle")),
    *((".cargo", name) for name in ("credentials", "credentials.toml")),
    *(
        (".huggingface", "token"),
        ("huggingface", "token"),
        (".m2", "settings.xml"),
        (".gem", "credentials"),
        (".ray", "auth_token"),
    ),
)
_EXAMPLES = (".example", ".sample", ".template", ".dist", ".tmpl")
HEAD_BYTES = 65_536
"""How much of a file is looked at."""
_KEY = rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
_IS_KEY = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:" + _KEY + rb"|PuTTY-User-Key-File-)|" + _KEY + rb"(?:\s|\\r|\\n)+[\w+/=:, -]{16}"
)


def is_secret_name(parts: Sequence[str]) -> bool:
    """Whether the last of ``parts``, or the folder that it is, is called like a secret; examples (``.env.example``) are none."""
    lower = [part.lower() for part in parts]
    name = lower[-1]
    if name.endswith(_EXAMPLES):
        return False
    return tuple(lower[-2:]) in _PLACES or name in FOLDERS or any(fnmatchcase(name, pattern) for pattern in FILES)


def holds_private_key(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a private key, or hold one whole line of it."""
    return _IS_KEY.search(head) is not None


def rsync_patterns() -> list[str]:
    """Return the names as patterns of rsync, upper case or lower."""
    return [re.sub(r"[a-z]", lambda c: f"[{c[0]}{c[0].upper()}]", name) for name in dict.fromkeys((*FOLDERS, *FILES))]
