"""Whether no other user of the machine can put something in the place of what this user makes in a folder; the lowest
layer.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path


def is_guarded(folder: Path) -> bool:
    """Whether only this user and root can rename or remove what this user makes in ``folder``; OSError when it is not
    there.

    Each folder on the way counts, by the name that it has and by those that links lead to.
    """
    named = Path(os.path.abspath(folder))
    real = folder.resolve()
    return all(_is_ours(one) for one in {named, *named.parents, real, *real.parents})


def _is_ours(folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid not in (0, os.geteuid()):
        return False
    if found.st_mode & stat.S_ISVTX:
        return True
    return not found.st_mode & stat.S_IWOTH and not (
        found.st_mode & stat.S_IWGRP and not _is_of_this_user_alone(found.st_gid)
    )


def _is_of_this_user_alone(group: int) -> bool:
    """Whether a group is the one that many systems make for each user (their umask is 002)."""
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
