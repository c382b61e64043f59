"""What a notice says: the last lines of a log, short enough for any channel, and without the secrets that are known."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from robonav_ray.files.locations import without_secrets
from robonav_ray.files.plain_files import open_reading
from robonav_ray.text import one_line

MAX_LINE, MAX_TITLE, MAX_BODY = 200, 120, 1800
"""Characters; Discord takes a body of 2,000."""
_TAIL_BYTES, _MOST_READ = 65_536, 4_000
_LEAST_SECRET = 6
"""A shorter value would be found everywhere."""
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CALLS = re.compile(r"<(?=[!@#])|[@!](?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
"""Marks by which Slack and Discord would call everybody."""
_SECRET_NAME = r"[\w-]*(?:passw(?:or)?d|passphrase|secret|token|credentials?|(?:api|access|private)[_-]?key|webhook)"
_SECRET_VARIABLE = re.compile(_SECRET_NAME + r"[\w-]*", re.IGNORECASE)
_PAIR = re.compile(rf"(?i)(\b{_SECRET_NAME}[\w-]*[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&)\]}}]+)")
_LOOKS_SECRET = re.compile(
    r"(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{8,})"
    r"|https?://\S*?(?i:hooks?|webhooks?)\S*"
    r"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bhf_\w{20,}|\bxox[a-z]-[\w-]{8,}|\bsk-[\w-]{16,}"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
)


def log_tail(path: Path, num_lines: int) -> list[str]:
    """Return the last lines of a log, of its last 64 kB; OSError when it cannot be read."""
    if num_lines == 0:
        return []
    with open_reading(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        data = file.read(_TAIL_BYTES)
    lines = data.decode(errors="replace").splitlines()
    return [line for line in lines[size > _TAIL_BYTES :] if line.strip()][-num_lines:]


def shown_line(text: object, secrets: Iterable[str] = (), most: int = MAX_LINE) -> str:
    """Return ``text`` as one line that calls nobody, without ``secrets`` and all that looks like one, cut at ``most``
    characters.
    """
    told = without_known(_TERMINAL.sub("", str(text)[:_MOST_READ]), secrets)
    told = one_line(_CALLS.sub(lambda found: "< " if found[0] == "<" else "(at)", told).strip())
    return told if len(told) <= most else told[: most - 1] + "…"


def body_of(paragraphs: Iterable[str], log: Iterable[str], secrets: Iterable[str] = ()) -> str:
    """Return a body of at most MAX_BODY characters: what was said, then as many of the last lines as find room."""
    secrets = tuple(secrets)
    said = "\n".join(shown_line(line, secrets, 400) for one in paragraphs for line in one.splitlines() if line.strip())
    said = said[:1200]
    tail, left = list[str](), MAX_BODY - len(said) - 30
    for line in reversed([shown_line(line, secrets) for line in log]):
        left -= len(line) + 1
        if left < 0:
            break
        tail.insert(0, line)
    return "\n".join([said, "", "last lines of the log:", *tail] if tail else [said])


def without_known(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with each of ``secrets``, and all that looks like a secret, as three dots."""
    for secret in sorted({one for one in secrets if len(one) >= _LEAST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, "...")
    return _LOOKS_SECRET.sub("...", _PAIR.sub(r"\1...", without_secrets(text)))


def known_secrets(urls: Iterable[str] = ()) -> set[str]:
    """Return the values of environment variables that are called like secrets, and ``urls`` with the parts of them."""
    found = {value for name, value in os.environ.items() if _SECRET_VARIABLE.fullmatch(name)}
    for url in urls:
        found |= {url, *(part for part in re.split(r"[/:@?&=#,]+", url) if len(part) >= 8)}
    return found
