"""What a step depends on, as hashes: values, files, the source of modules; and in what two of them differ."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_reading
from robonav_ray.text import one_line
from robonav_ray.tracking.run_facts import flat_items
from robonav_ray.user_code import search_current_folder

_PIECE = 1 << 20
_PACKAGE = Path(__file__).parents[1]


def plain(values: Any) -> Any:
    """Return ``values`` as JSON gives them back: lists for tuples, texts for keys and paths."""
    return json.loads(json.dumps(values, sort_keys=True, default=str))


def digest_of(values: Any) -> str:
    """Return a hash of JSON values; the same values, the same hash."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a plain file; FileNotFoundError without one."""
    digest = hashlib.sha256()
    with open_reading(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def sources_of(modules: Iterable[str]) -> dict[str, str]:
    """Return dotted name -> a hash of the source of a module, or of all modules of a package; nothing is imported.

    Raises:
        UserError: When there is no such module.
    """
    return {name: _source_digest(name) for name in modules}


def _source_digest(name: str) -> str:
    top, *below = name.split(".")
    if top == _PACKAGE.name:
        base = _PACKAGE
    else:
        search_current_folder(top)
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
        if spec is None or spec.origin is None:
            raise UserError(
                f"modules: {name!r}: there is no module {top!r}; name one by its dotted name, as in an import"
            )
        base = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
    path = base.joinpath(*below)
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path if path.suffix == ".py" else path.with_suffix(".py")]
    if not files or not files[0].is_file():
        raise UserError(f"modules: {name!r}: there is no module {'.'.join(below)!r} in {top!r}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(base.parent)} {file_sha256(file.resolve())}\n".encode())
    return digest.hexdigest()


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in what two sets of inputs differ, by dotted key, in one line."""
    old, new = ({k: v for k, v in flat_items(dict(one)) if v != {}} for one in (before, now))
    keys = [
        key for key in [*new, *(key for key in old if key not in new)] if old.get(key, _GONE) != new.get(key, _GONE)
    ]
    if not keys:
        return "its inputs differ"
    key = keys[0]
    was, is_ = (_short(values.get(key, _GONE)) for values in (old, new))
    return one_line(f"{key} is {is_}, and was {was}{f' (and {len(keys) - 1} more)' * (len(keys) > 1)}")


_GONE = object()


def _short(value: Any) -> str:
    if value is _GONE:
        return "not set"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 48 else f"{text[:45]}..."
