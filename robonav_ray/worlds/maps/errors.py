"""What is wrong with a map that a user has given or asked for."""

from __future__ import annotations

from robonav_ray.errors import UserError


class MapError(UserError):
    """A map cannot be read or made; the message names the file, or the config, and the key."""
