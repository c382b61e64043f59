"""Ray's token: where it comes from, who can read it, and the one that we make when there is none.

Ray looks in RAY_AUTH_TOKEN, then in the file that RAY_AUTH_TOKEN_PATH names, then in ~/.ray/auth_token. Its value is
never printed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_writing, read_text

logger = logging.getLogger(__name__)
MAX_TOKEN_BYTES = 1 << 16
HEAD_TOKEN_ADVICE = (
    "copy the head's ~/.ray/auth_token to this machine (mode 0600), or name its file in RAY_AUTH_TOKEN_PATH"
)


class AuthError(UserError):
    """A token that is missing, wrong or in bad hands; the message names the file or variable and what to do."""


@dataclass(frozen=True)
class Token:
    """A token and where it was found; ``value`` is None where there is none."""

    value: SecretStr | None
    origin: str
    """The variable or file, for people."""

    @property
    def headers(self) -> dict[str, str]:
        """What a request carries to be let in; empty without a token."""
        return {} if self.value is None else {"authorization": f"Bearer {self.value.get_secret_value()}"}


def token_mode() -> bool:
    """Whether this process speaks to Ray with a token (RAY_AUTH_MODE, which ``prepare_environment`` has made
    explicit).
    """
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def token_path() -> Path:
    """Return the file that Ray reads when RAY_AUTH_TOKEN is not set."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        return Path(named) if named else Path.home() / ".ray" / "auth_token"
    except RuntimeError:  # no HOME, and a user id that the system does not know
        return Path("/nonexistent/.ray/auth_token")


def find_token() -> Token:
    """Return the token that Ray will use in this process; a file that others could read becomes the owner's own (0600).

    Raises:
        AuthError: When RAY_AUTH_TOKEN_PATH names a file that is not there or cannot be read, or others may write the
            file.
    """
    given = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    if given:
        return Token(SecretStr(given), "RAY_AUTH_TOKEN")
    path, named = token_path(), bool(os.environ.get("RAY_AUTH_TOKEN_PATH"))
    origin = f"RAY_AUTH_TOKEN_PATH={path}" if named else str(path)
    try:
        text = read_text(path, MAX_TOKEN_BYTES, follow=True).strip()  # a mounted secret is a link
        _keep_private(path)
    except FileNotFoundError:
        if named:
            raise AuthError(f"RAY_AUTH_TOKEN_PATH: {path}: no such file; {HEAD_TOKEN_ADVICE}") from None
        return Token(None, origin)
    except (OSError, UnicodeDecodeError) as error:
        raise AuthError(f"{origin}: the token cannot be read ({error}); {HEAD_TOKEN_ADVICE}") from None
    return Token(SecretStr(text) if text else None, origin)


@contextlib.contextmanager
def own_token() -> Iterator[None]:
    """Have a token for a Ray of one's own while the block runs: the one in Ray's file, which is made if missing.

    Where HOME is missing or may not be written, one is made for as long as the block runs; it stands in this process's
    environment.

    Raises:
        AuthError: As ``find_token``, and when a file that RAY_AUTH_TOKEN_PATH names cannot be written.
    """
    if (
        not token_mode()
        or os.environ.get("RAY_AUTH_TOKEN")
        or os.environ.get("RAY_AUTH_TOKEN_PATH")
        or _can_keep(token_path())
    ):
        ensure_token()
        yield
        return
    logger.warning("%s cannot be written: this Ray has a token of its own, which ends with it", token_path())
    os.environ["RAY_AUTH_TOKEN"] = uuid.uuid4().hex
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN"]


def _can_keep(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.R_OK) or os.access(path.parent, os.W_OK | os.X_OK)


def ensure_token() -> None:
    """Make sure that a token exists where Ray looks for it, readable by the owner only."""
    if not token_mode():
        return
    path = token_path()
    if (path.is_file() or not os.environ.get("RAY_AUTH_TOKEN_PATH")) and find_token().value is not None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_writing(path) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(uuid.uuid4().hex.encode())
    except OSError as error:
        raise AuthError(
            f"{path}: Ray's token cannot be written ({error.strerror or error}); name a file that you may write in "
            "RAY_AUTH_TOKEN_PATH"
        ) from None


def _keep_private(path: Path) -> None:
    """Make the file unreadable for other users; a mounted secret that is not ours is only spoken of."""
    found = path.stat()
    if found.st_mode & stat.S_IWOTH:
        raise AuthError(
            f"{path}: every user of this machine may write the token; make a new one (`ray get-auth-token --generate`) "
            f"after `chmod 600 {path}`"
        )
    if not found.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    if found.st_uid != os.getuid():
        logger.warning("%s: others on this machine may read the token (mode %03o)", path, found.st_mode & 0o777)
        return
    path.chmod(0o600)
    logger.warning(
        "%s: others on this machine could read the token (mode %03o); it is 0600 now. Make a new one if they are not "
        "to be trusted",
        path, found.st_mode & 0o777,
    )  # fmt: skip
