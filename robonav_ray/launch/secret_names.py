"""What a secret is called, and how it is written in a file: such files stay here unless they are named one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_WORDS = (
    *("secret", "credential", "password", "passwd", "passphrase", "token", "kubeconfig"),
    *("api_key", "access_key", "secret_key", "private_key", "root_key"),
)
_DATA = (
    *("json", "yaml", "yml", "toml", "ini", "cfg", "conf", "txt", "csv", "tsv", "xml", "properties", "env", "enc"),
    *("db", "sqlite", "plist", "rtf", "xlsx", "docx", "log"),
)
"""Endings of files that hold data; sources and pages (``tokenizer.py``, ``passwords.md``) are about secrets, and
travel."""
_COPY = re.compile(
    r"(.)(?:~|\.(?:bak|backup|old|orig|save|sav|sw[op]|tmp|copy|\d+)|[-_ ](?:bak|old|copy)|\s*\(\d+\)|[-_]?\d+)$"
)
"""What editors, people and browsers put behind the name of a copy."""
_SAYS = "|".join(word.replace("_", "_?") for word in _WORDS)
_SPOKEN = re.compile(rf"(?:^|_)(?:{_SAYS})s?(?:_|$)")
_WHOLE = re.compile(rf"(?:auth_|client_)?(?:{_SAYS})s?")
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
    *(
        ".my.cnf",
        ".mylogin.cnf",
        ".npmrc",
        ".yarnrc",
        ".yarnrc.yml",
        ".pypirc",
        "pip.conf",
        ".git-credentials",
        ".dockercfg",
    ),
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
    *(
        "*credentials*.json",
        "client_secret*.json",
        "*service-account*.json",
        "*service_account*.json",
        "*serviceaccount*.json",
    ),
    *(
        "kaggle.json",
        "basic_auth.ini",
        ".databrickscfg",
        ".terraformrc",
        "terraform.rc",
        "*.tfstate",
        "*.tfstate.*",
        "*.tfvars",
    ),
    *(
        "key.asc",
        "*[-_]key.asc",
        ".renviron",
        "*.tfvars.json",
        "*.kubeconfig",
        "secring.*",
        "*.jwt",
        ".*_history",
        ".comet.config",
        "wandb_api_key*",
    ),
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
_KEY = rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 (?:[A-Z0-9]+ )*PRIVATE KEY ----"
_IS_KEY = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:"
    + _KEY
    + rb"|PuTTY-User-Key-File-)|(?:"
    + _KEY
    + rb")(?:\s|\\r|\\n)+[\w+/=:, -]{16}|AGE-SECRET-KEY-1[A-Z0-9]{16}"
)
_ASSIGNED = re.compile(
    rb"(?<![a-z0-9])(?:secret_?access_?key|" + _SAYS.encode() + rb""")["']?([ \t]{0,4}[:=][ \t]{0,4})(["']?)"""
    rb"""([\w+/=~@!%^&*.-]{8,200})(?:\2(?<=["'])|(?=\s|\Z))""",
    re.IGNORECASE,
)


def is_secret_name(parts: Sequence[str], *, is_folder: bool = False) -> bool:
    """Whether the last of ``parts`` is called like a secret, or like a copy of one; examples (``.env.example``) are
    none.
    """
    lower = [part.lower() for part in parts]
    name = lower[-1]
    if name.endswith(_EXAMPLES):
        return False
    names = {name, name.replace("-", "_")}
    while (shorter := _COPY.sub(r"\1", name)) != name:
        name = shorter
        names |= {name, name.replace("-", "_")}
    if tuple(lower[-2:]) in _PLACES or not names.isdisjoint(FOLDERS):
        return True
    return any(fnmatchcase(one, pattern) for one in names for pattern in FILES) or any(
        map(_is_spoken_folder if is_folder else _is_spoken, names)
    )


def _is_spoken(name: str) -> bool:
    """Whether a file that holds data has the word for a secret in its name; more than one token are those of a
    language.
    """
    stem, _, ending = name.lstrip(".").rpartition(".")
    if stem and ending not in _DATA:
        return False
    words = "_".join(re.findall(r"[a-z]+", stem or ending))
    return (
        _WHOLE.fullmatch(words) is not None or _SPOKEN.search(re.sub(r"(^|_)tokens(?=_|$)", r"\1", words)) is not None
    )


def _is_spoken_folder(name: str) -> bool:
    return _WHOLE.fullmatch(name.strip("._")) is not None


def holds_secret(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a private key, hold one whole line of it, or, in a text, give a
    secret its value.
    """
    if _IS_KEY.search(head) is not None:
        return True
    return b"\0" not in head and any(_is_value(*found.groups()) for found in _ASSIGNED.finditer(head))


def _is_value(between: bytes, quote: bytes, value: bytes) -> bool:
    """Whether it is written out, in letters and digits: no path, and, where it has no quotes, not the name of a
    variable of a source.
    """
    if value.startswith((b"~", b".")) or (value.startswith(b"/") and value.count(b"/") > 1):
        return False
    num_digits = len(re.findall(rb"[0-9]", value))
    if not num_digits or value.lower() == value.upper():
        return False
    return bool(quote) or between == b"=" or (len(value) >= 16 and (num_digits > 1 or value != value.lower()))


def rsync_patterns() -> list[str]:
    """Return the names as patterns of rsync, upper case or lower; they leave out a little more, and all copies."""
    words = [f"*{word.replace('_', '*')}" for word in _WORDS]
    # not tokenizer.json
    spoken = [f"{word}{more}.{ending}" for word in words for more in ("", "[!i]*") for ending in _DATA]
    whole = [f"{word}{more}" for word in words for more in ("", "s")]
    copies = [
        "*~",
        "*.bak",
        "*.backup",
        "*.old",
        "*.orig",
        "*.save",
        "*.sw[op]",
        *(f"*.{ending}.[0-9]" for ending in _DATA),
    ]
    copies += [f"{name}[-_.0-9]*" for name in FOLDERS if name.startswith(".")]
    names = dict.fromkeys((*FOLDERS, *FILES, *spoken, *whole, *copies))
    return [re.sub(r"[a-z](?![^[]*\])", lambda c: f"[{c[0]}{c[0].upper()}]", name) for name in names]
