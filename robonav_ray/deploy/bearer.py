"""The token that lets a client in: where the server has it from, and whether a request bears it.

Ray's own token does not guard the HTTP port of Ray Serve, so a server has one of its own. Processes of Ray are given
its hash alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_reading

TOKEN_VARIABLE = "ROBONAV_SERVE_TOKEN"
LEAST_CHARACTERS, MOST_BYTES = 16, 4096
_MAKE = "`(umask 077; openssl rand -hex 32 > serve.token)` makes one"


class TokenError(UserError):
    """There is no token, it is too short, or others can read its file; the message says what to do."""


def token_hash(file: Path | None) -> bytes:
    """Return SHA-256 of the token in ``file``, or in ROBONAV_SERVE_TOKEN where it is None.

    Raises:
        TokenError: When there is none, others may read the file, or it is no token.
        PlainFileError: When it is no plain file that may be read.
    """
    if file is None:
        given = os.environ.get(TOKEN_VARIABLE, "")
        if not given.strip():
            raise TokenError(f"clients need a token: name its file with --token-file, or set {TOKEN_VARIABLE}; {_MAKE}")
        return hash_of(_checked(given.strip(), TOKEN_VARIABLE))
    try:
        with open_reading(file, follow=True) as opened:  # a mounted secret is a link
            mode, data = os.fstat(opened.fileno()).st_mode, opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise TokenError(f"--token-file {file}: there is no such file; {_MAKE}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise TokenError(
            f"--token-file {file}: others on this machine may read or write it (mode {stat.S_IMODE(mode):04o}); "
            "`chmod 600` it, and make a new token if they are not to be trusted"
        )
    return hash_of(_checked(data.decode("ascii", errors="replace").strip(), f"--token-file {file}"))


def hash_of(token: str) -> bytes:
    """Return the hash that tokens are compared by."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def lets_in(authorization: str | None, expected: bytes) -> bool:
    """Whether the header ``Authorization: Bearer TOKEN`` bears the token with the hash ``expected``; takes as long for
    any wrong one.
    """
    scheme, _, token = (authorization or "").partition(" ")
    return hmac.compare_digest(hash_of(token.strip()), expected) and scheme.lower() == "bearer"


def _checked(token: str, origin: str) -> str:
    if not LEAST_CHARACTERS <= len(token) < MOST_BYTES or not token.isascii() or any(c.isspace() for c in token):
        raise TokenError(f"{origin}: a token has at least {LEAST_CHARACTERS} ASCII characters and no blank; {_MAKE}")
    return token
