"""Code of the user's own that a config names: ``module:Name``, or the name of an entry point of an installed package.

::

    tracking.extra=[mytracker:CsvTracker]     robonav_ray.trackers   (directory, resume_step) -> Tracker
    algo.network=mynetworks:Tanh            robonav_ray.networks   (obs_dim, num_actions) -> OwnNetwork
    evaluation.metrics=[mymetrics:detour]     robonav_ray.metrics    EpisodeTable -> one number per episode

``docs/extensions.md`` has the contracts.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from importlib import metadata
from typing import Any

from robonav_ray.errors import UserError


def current_folder() -> str | None:
    """Return the folder that the paths of a command are relative to; None when it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def search_current_folder(top: str) -> None:
    """Let a module that stands in the current folder, and nowhere else, be imported from it.

    The folder comes last on ``sys.path``, and only once a config names a module in it: no file there takes the place of
    Python's or an installed one, and a command that names none imports nothing from the folder that it is given in.
    PYTHONSAFEPATH forbids it.
    """
    if top in sys.modules or sys.flags.safe_path or importlib.util.find_spec(top) is not None:
        return
    here = current_folder()
    if here is not None and importlib.machinery.PathFinder.find_spec(top, [here]) is not None:
        sys.path.append(here)


def load_user_code(name: str, group: str, key: str) -> Callable[..., Any]:
    """Return the function or class that ``name`` (``module:Name``, or an entry point of ``group``) stands for.

    Raises:
        UserError: When there is none, its module cannot be imported, or it cannot be called; the message begins with
            ``key``.
    """
    where = f"{key}: {name!r}"
    module, colon, attribute = name.partition(":")
    found = _imported(module, attribute, where) if colon else _entry_point(name, group, where)
    if not callable(found):
        raise UserError(
            f"{where} is {type(found).__name__}, and a function or a class belongs there (docs/extensions.md)"
        )
    return found


def _imported(module: str, attribute: str, where: str) -> Any:
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UserError(f"{where}: write module:Name, the module as after `import`, without .py and without folders")
    search_current_folder(module.partition(".")[0])
    try:
        found = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's module raises or exits at its import
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise UserError(
                f"{where}: there is no module {error.name!r} in the current folder or in an installed package; run "
                "from the folder that it stands in, or install it"
            ) from None
        raise UserError(f"{where}: the import of {module} failed: {_told(error)}") from error
    if attribute not in vars(found):
        near = difflib.get_close_matches(attribute, vars(found), n=1, cutoff=0.5)
        raise UserError(f"{where}: {module} has no {attribute!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return vars(found)[attribute]


def _entry_point(name: str, group: str, where: str) -> Any:
    known = {point.name: point for point in metadata.entry_points(group=group)}
    if name not in known:
        listed = f"there are {', '.join(sorted(known))}" if known else "no installed package has any"
        raise UserError(
            f"{where}: is no entry point of the group {group} ({listed}); one of your own is named module:Name"
        )
    try:
        return known[name].load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # another package raises or exits at its import
        raise UserError(f"{where}: the entry point {known[name].value} cannot be loaded: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """Return an error of the user's code in one line, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}{place}"
