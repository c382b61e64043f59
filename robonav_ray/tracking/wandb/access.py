"""How W&B is reached: online or offline, by which key, and whether its server takes that. Neither imports wandb nor
keeps a key.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import http.client
import json
import netrc
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from robonav_ray.config.tracking import WandbTracking
from robonav_ray.errors import UserError
from robonav_ray.tracking.backend import TrackerError

KEY_VARIABLE, URL_VARIABLE = "WANDB_API_KEY", "WANDB_BASE_URL"
PUBLIC_URL = "https://api.wandb.ai"
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 4_000_000
_VIEWER = "query Viewer { viewer { username } }"


@dataclass(frozen=True)
class Access:
    """Where a run is sent, if anywhere."""

    mode: Literal["online", "offline"]
    why: str
    """What decided so, for a person."""
    url: str
    """Of the server, without a password."""


def wandb_access(section: WandbTracking) -> Access:
    """Return how W&B is reached by the config and the environment.

    ``auto`` is online where there is a key (``WANDB_API_KEY``, or ``wandb login``), unless ``WANDB_MODE`` is
    ``offline``.

    Raises:
        UserError: When ``mode`` is ``online`` and there is no key, or the address of the server is none.
    """
    url = _base_url()
    if section.mode == "offline":
        return Access("offline", "tracking.wandb.mode is offline", url)
    asked = os.environ.get("WANDB_MODE", "")
    if section.mode == "auto" and asked in ("offline", "dryrun", "disabled"):
        return Access("offline", f"WANDB_MODE is {asked}", url)
    found = _key(url)
    if found is not None:
        return Access("online", f"there is a key ({found[1]})", url)
    if section.mode == "online":
        raise UserError(
            f"tracking.wandb.mode is online, and there is no key for {url}: set {KEY_VARIABLE}, or log in once with "
            "`wandb login`; tracking.wandb.mode=offline needs none"
        )
    return Access("offline", f"there is no key in {KEY_VARIABLE}, nor of `wandb login`", url)


def check_wandb(section: WandbTracking) -> None:
    """Look whether a run can be tracked to W&B; offline that asks nothing of a network.

    Raises:
        UserError: When the package is missing, the server does not answer, or it refuses the key.
    """
    check_package()
    access = wandb_access(section)
    if access.mode == "offline":
        return
    try:
        answer = ask(access.url, _VIEWER, {})
    except TrackerError as error:
        raise UserError(
            f"tracking.wandb: {error}; look at {URL_VARIABLE} and the network, or set tracking.wandb.mode=offline "
            "(tracking.wandb.required=false goes on and delivers later)"
        ) from None
    if not answer.get("viewer"):
        raise UserError(_refused(access.url))


def check_package() -> None:
    """Raise UserError unless wandb is installed."""
    spec = find_spec("wandb")
    if spec is None or spec.origin is None:  # a folder of its files may be called so
        raise UserError(
            "tracking.wandb: the package wandb is not installed; `pip install 'robonav_ray[wandb]'` installs it, "
            "tracking.wandb=null does without"
        )


def ask(url: str, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the server answers to a GraphQL query.

    Raises:
        TrackerError: When it does not answer within ``TIMEOUT_S``, or not with what was asked for.
        UserError: When it refuses the key, or there is none.
    """
    found = _key(url)
    if found is None:
        raise UserError(f"tracking.wandb: there is no key for {url}; set {KEY_VARIABLE}, or log in with `wandb login`")
    body = json.dumps({"query": query, "variables": dict(variables)}).encode()
    basic = base64.b64encode(f"api:{found[0]}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {basic}", "User-Agent": "robonav_ray"}
    request = urllib.request.Request(f"{url}/graphql", body, headers)
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as reply:
            document = json.loads(reply.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise UserError(_refused(url)) from None
        raise TrackerError(f"the W&B server at {url} answers with {error.code}") from None
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise TrackerError(f"the W&B server at {url} does not answer ({' '.join(str(why).split())[:200]})") from None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or document.get("errors"):
        raise TrackerError(f"the W&B server at {url} cannot answer: {_told(document)}")
    return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key goes to the server that it is for, and to no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _refused(url: str) -> str:
    found = _key(url)
    source = KEY_VARIABLE if found is None else found[1]
    return (
        f"tracking.wandb: the W&B server at {url} refuses the key ({source}); set {KEY_VARIABLE} to one that is valid, "
        "or tracking.wandb.mode=offline"
    )


def _told(document: Any) -> str:
    with contextlib.suppress(KeyError, IndexError, TypeError):
        return str(document["errors"][0]["message"])[:300]
    return "what it sent is no answer to a query"


def _base_url() -> str:
    """Return the address of the server, as ``wandb`` takes it: from the environment, else from its settings file."""
    url = (os.environ.get(URL_VARIABLE) or _saved_url() or PUBLIC_URL).rstrip("/")
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_secret = parts.username is not None or parts.password is not None
    except ValueError:
        is_good, has_secret = False, False
    if has_secret:
        raise UserError(f"{URL_VARIABLE}: the address holds a name or a password; leave it out and set {KEY_VARIABLE}")
    if not is_good:
        raise UserError(f"{URL_VARIABLE}: is no address of a server; write it as https://HOST")
    return url


def _saved_url() -> str | None:
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    settings = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, RuntimeError, configparser.Error, UnicodeError):
        settings.read(folder.expanduser() / "settings")
        return settings.get("default", "base_url", fallback=None)
    return None


def _key(url: str) -> tuple[str, str] | None:
    """Return the key for the server at ``url`` and where it is from; None when there is none."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key:
        return key, KEY_VARIABLE
    place = os.environ.get("NETRC") or "~/.netrc"
    with contextlib.suppress(OSError, RuntimeError, netrc.NetrcParseError, UnicodeError):
        found = netrc.netrc(Path(place).expanduser()).authenticators(urlsplit(url).netloc)
        if found is not None and found[2]:
            return found[2], place
    return None
