"""Texts in a config that become paths, are shown to people, or must not be there at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from robonav_ray.files.locations import is_uri, with_lost_slash, without_secrets

_SECRET = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|credentials?|api_?key|access_?key|private_?key)$", re.IGNORECASE
)


_PASSWORD = re.compile(r"://[^/\s'\"@]*:[^/\s'\"]*@")


def _is_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} has characters that cannot be shown: write letters, digits and punctuation only")
    return text


def _is_folder(text: str) -> str:
    if not text.strip():
        raise ValueError("names no folder: write one, for instance runs")
    if text.startswith("~"):
        raise ValueError(f"{text!r}: ~ is not expanded in a config: write the folder out")
    if is_uri(with_lost_slash(text)):
        raise ValueError(
            f"{text.partition('?')[0]!r} is no folder of this machine: leave it at a folder, and set "
            "checkpoint.storage=URI (of a search: run.checkpoint.storage=URI), under which checkpoints and all small "
            "files of a run are stored as they are made"
        )
    return _is_printable(text)


FolderPath = Annotated[str, Field(max_length=1000), AfterValidator(_is_folder)]
"""A folder, absolute or relative to where the command is given."""
ShownName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_is_printable)]
"""A name for people: printed in tables and logs, so without control characters."""
ShownPlace = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_is_printable)]
"""A run, a model or a storage, as a person names it."""
ShownSentence = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_is_printable)]
"""A sentence for people."""


def refuse_secrets(section: str, given: Mapping[str, object]) -> None:
    """Raise ValueError when a key of ``given`` is called like a secret: configs are written down with every run, and
    logged.
    """
    for key in given:
        if _SECRET.search(key):
            raise ValueError(
                f"{section}.{key}: a config is written down with the run, so it holds no secrets: set an environment "
                "variable, and let the environment read it"
            )


def without_secret(override: str) -> str:
    """Return ``a.b=c`` as it may be shown: without the value when the key is called like a secret, and without what is
    secret in a URI.
    """
    key, equals, _ = override.partition("=")
    return f"{without_secrets(key)}=..." if equals and _is_secret(key) else without_secrets(override)


def shown_words(command: Sequence[str]) -> list[str]:
    """Return the words of a command line as they may be written down: each as by ``without_secret``, and without the
    value that follows an option that is called like a secret (``--api-key VALUE``).
    """
    before = ["", *command]
    return [
        "..." if option.startswith("-") and "=" not in option and _is_secret(option) else without_secret(word)
        for option, word in zip(before, command, strict=False)
    ]


def refuse_password(text: str) -> None:
    """Raise ValueError, naming the key, when an address in ``text``, the YAML of a config or an override, holds a
    password: what is begun with it writes it down.
    """
    for line in text.splitlines():
        if _PASSWORD.search(line):
            key = re.split(r"[:=]", line, maxsplit=1)[0].strip(" -'\"")
            raise ValueError(
                f"{key}: has an address with a name and a password in it, and a config is written down with the run: "
                "set an environment variable, and let the environment read it"
            )


def _is_secret(key: str) -> bool:
    """Whether a key is called like a secret; where a channel of notices is named its URL may be written by mistake."""
    return bool(_SECRET.search(key.strip().replace("-", "_"))) or "notify.channels" in key
