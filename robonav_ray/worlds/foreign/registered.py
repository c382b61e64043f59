"""From ``env.id`` to an environment.

The module in front of the colon is imported, also from the current folder, and what it registers is made.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from robonav_ray.config.worlds import EnvConfig
from robonav_ray.errors import UserError
from robonav_ray.user_code import current_folder, search_current_folder
from robonav_ray.worlds.foreign.failure import failure, is_refused_call
from robonav_ray.worlds.foreign.guard import GuardedEnv, go_back
from robonav_ray.worlds.foreign.hard_exit import catch_hard_exits

logger = logging.getLogger(__name__)
SLOW_S = 10.0
"""An environment that takes longer to be made is told of: nothing else happens meanwhile."""


def find_spec(env_id: str) -> EnvSpec:
    """Return what is registered under ``env_id``, after importing its module.

    Raises:
        UserError: When there is no such module, or nothing of this id is registered.
        EnvironmentFailedError: When the module fails while it is imported.
    """
    catch_hard_exits()  # first: its module may keep the function
    module, colon, name = env_id.rpartition(":")
    if colon:  # Gymnasium's way to name an environment that a module registers when it is imported
        _import(module, env_id)
    if name not in gym.registry:
        raise UserError(_unknown(env_id, module, name))
    return gym.spec(name)


def make_guarded(env: EnvConfig, **options: Any) -> GuardedEnv:
    """Make one environment; ``options`` are more arguments of ``gymnasium.make``.

    Raises:
        UserError: When it is not registered or not installed, does not take ``env.kwargs``, or has spaces that are not
            supported.
        EnvironmentFailedError: When it fails while it is made.
    """
    with same_folder():
        return _make_guarded(env, options)


def _make_guarded(env: EnvConfig, options: dict[str, Any]) -> GuardedEnv:
    spec = find_spec(env.id)
    package = _package(spec)
    try:
        made = gym.make(
            spec.id, **{"disable_env_checker": True, **env.kwargs, **options}
        )  # the guard checks more, and all the time
    except gym.error.Error as error:  # a package that it needs is not installed
        raise UserError(f"env.id={env.id!r} cannot be made with env.kwargs={env.kwargs}: {error}") from None
    except BaseException as error:  # noqa: BLE001  also what it exits with
        if is_refused_call(error):
            raise UserError(f"env.id={env.id!r} cannot be made with env.kwargs={env.kwargs}: {error}") from None
        raise failure(error, env.id, "the making", package) from None
    return GuardedEnv(made, env.id)


@contextlib.contextmanager
def same_folder() -> Iterator[None]:
    """Come back to the current folder, which is what the paths of the command are relative to."""
    before = current_folder()
    try:
        yield
    finally:
        go_back(before)


@contextlib.contextmanager
def telling_if_slow(env_id: str) -> Iterator[None]:
    """Log once when the block, which makes an environment, takes long: a person would take it for a hang of ours."""
    text = f"env.id={env_id!r}: waiting for the environment, which is being made and stepped once"
    timer = threading.Timer(SLOW_S, logger.warning, (text,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _package(spec: EnvSpec) -> str:
    """Return the top name of the module that an environment is made in."""
    entry = spec.entry_point
    module = entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")
    return module.partition(".")[0]


def _import(module: str, env_id: str) -> None:
    if not all(part.isidentifier() for part in module.split(".")):
        raise UserError(
            f"env.id={env_id!r}: {module!r} is no name of a module; write it as after `import`, without .py and "
            "without folders, for instance env.id=myenv:Point-v0"
        )
    search_current_folder(module.partition(".")[0])
    try:
        importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001  also what it exits with
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise UserError(_missing(env_id, module, str(error.name))) from None
        raise failure(error, env_id, f"the import of {module}", module.partition(".")[0]) from None


def _missing(env_id: str, module: str, part: str) -> str:
    where = "in the current folder or in an installed package"
    if sys.flags.safe_path:
        where = "in an installed package (PYTHONSAFEPATH is set: the current folder is not searched)"
    found = sys.modules.get(part.rpartition(".")[0])
    if found is not None:
        where = f"in {getattr(found, '__file__', None) or part.rpartition('.')[0]}"
    return (
        f"env.id={env_id!r}: the module {module!r} cannot be imported: there is no {part!r} {where}. Run from the "
        "folder that it stands in, or install it (docs/your_environment.md)"
    )


def _unknown(env_id: str, module: str, name: str) -> str:
    near = difflib.get_close_matches(name, list(gym.registry), n=3, cutoff=0.5) or difflib.get_close_matches(
        name, list(gym.registry), n=1, cutoff=0.0
    )
    nearest = f"the nearest {'is' if len(near) == 1 else 'are'} {', '.join(map(repr, near)) or 'none'}"
    if not module:
        return (
            f"env.id={env_id!r} is not registered with Gymnasium; {nearest}. One of your own is named with the module "
            f"that registers it, env.id=mymodule:{name or 'Point-v0'} (mymodule.py in the current folder, or an "
            "installed package; docs/your_environment.md)"
        )
    found = sys.modules[module]
    if isinstance(getattr(found, name, None), type):
        return (
            f"env.id={env_id!r}: {name} is a class of {module}, not an id. Register it in there, "
            f"gymnasium.register('{name}-v0', entry_point='{module}:{name}'), and write env.id={module}:{name}-v0"
        )
    own = [known for known, spec in gym.registry.items() if _package(spec) == module.partition(".")[0]]
    registers = f"it registers {', '.join(map(repr, own))}" if own else "it registers none"
    file = getattr(found, "__file__", "a folder")
    return f"env.id={env_id!r}: {module} ({file}) registers no {name!r}; {registers}; {nearest}"
