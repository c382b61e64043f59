"""What a working directory sends to the cluster: a list that can be shown, and an archive of just that list.

Ray would follow every link and leave out nothing but what .gitignore and .rayignore name. So the archive is made here:
what may hold a secret, what a link leads to outside of the directory, and what is no plain file stays, and is named.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_reading, read_text
from robonav_ray.launch.secret_names import HEAD_BYTES, holds_secret, is_secret_name
from robonav_ray.text import one_line

DEFAULT_LIMIT_MB = 100
MAX_ENTRIES = 100_000
SECRET, OUTSIDE = "may hold a secret", "is a link that leads out of the directory"
IGNORED = "is ignored by .gitignore, .rayignore or Ray's own list"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK_BYTES = 1 << 20


class PackageError(UserError):
    """A working directory that cannot be sent; the message says what in it is too much."""


@dataclass(frozen=True)
class PackedFile:
    """A file, or an empty folder, that travels."""

    name: str
    """Path in the archive."""
    source: Path
    """Where its bytes lie: within the directory, behind its links."""
    num_bytes: int
    is_folder: bool = False


@dataclass
class Package:
    """What of a directory travels, and what stays."""

    root: Path
    files: dict[str, PackedFile] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Why, by path within the directory; a folder's ends with a slash."""

    @property
    def num_bytes(self) -> int:
        """Bytes that travel, before they are compressed."""
        return sum(file.num_bytes for file in self.files.values())

    def table_text(self) -> str:
        """Return a line for each file that travels, then one for each that stays, with the reason."""
        lines = [f"{file.num_bytes:>12,}  {one_line(name)}" for name, file in sorted(self.files.items())]
        lines += [f"    left out  {one_line(name)}: {why}" for name, why in sorted(self.left_out.items())]
        return "\n".join(lines)

    def summary_text(self) -> str:
        """Return one line: how much travels, and what stays without being asked for."""
        told = {
            why: [one_line(n) for n, w in sorted(self.left_out.items()) if w == why]
            for why in sorted(set(self.left_out.values()))
        }
        told.pop(IGNORED, None)
        kinds = [
            f"{', '.join(n[:8])}{f' and {len(n) - 8} more' * (len(n) > 8)} ({len(n)}: {why})" for why, n in told.items()
        ]
        left = f"; left out: {'; '.join(kinds)}; --include PATH sends one all the same" if kinds else ""
        count = sum(not file.is_folder for file in self.files.values())
        return f"sends {count} files, {_size(self.num_bytes)} (--dry-run lists them){left}"

    def write(self, path: Path) -> None:
        """Write the archive: the same bytes for the same files, so that the cluster keeps one copy."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, file in sorted(self.files.items()):
                info = zipfile.ZipInfo(name + "/" * file.is_folder, _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (0o755 if file.is_folder else file.source.stat().st_mode & 0o777) << 16
                if file.is_folder:
                    archive.writestr(info, b"")
                    continue
                with open_reading(file.source) as source, archive.open(info, "w", force_zip64=True) as target:
                    while chunk := source.read(_CHUNK_BYTES):
                        target.write(chunk)


def collect_package(folder: Path, include: Sequence[Path] = (), limit_mb: int = DEFAULT_LIMIT_MB) -> Package:
    """Look through ``folder`` and return what a job would be given of it; .gitignore and .rayignore are obeyed, as Ray
    does.

    Args:
        folder: The working directory.
        include: Paths in it, as typed here or from ``folder`` on, that travel in any case, under any name and as links.
        limit_mb: Most megabytes that may travel.

    Raises:
        PackageError: When it is no directory, holds more than ``limit_mb``, or a path of ``include`` is not in it.
    """
    if not folder.is_dir():
        raise PackageError(f"--working-dir {folder}: is no directory")
    root = folder.resolve()
    walk = _Walk(Package(root))
    walk.folder(root, (), ())
    for path in include:
        walk.included(path, folder)
    package = walk.package
    if package.num_bytes > limit_mb * 1e6:
        raise PackageError(
            f"--working-dir {folder}: holds {_size(package.num_bytes)}, and a job takes {limit_mb} MB: most of it is "
            f"{_largest(package)}. Name what the run does not need in .gitignore or .rayignore, submit from a "
            "directory with the configs alone, or write --max-mb NUMBER"
        )
    return package


class _Walk:
    """One look through a directory, links within it followed."""

    def __init__(self, package: Package) -> None:
        from ray._private.ray_constants import get_runtime_env_default_excludes
        from ray._private.thirdparty.pathspec.pathspec import PathSpec

        self.package = package
        self._spec_of: Callable[[Sequence[str]], Any] = lambda lines: PathSpec.from_lines("gitwildmatch", lines)
        self._rules: list[tuple[tuple[str, ...], Any]] = [((), self._spec_of(get_runtime_env_default_excludes()))]
        """What is ignored below a path in the archive."""
        self._num_entries = 0

    def folder(self, real: Path, parts: tuple[str, ...], above: tuple[Path, ...], *, forced: bool = False) -> None:
        """Take what lies in the folder ``real``, which has the path ``parts`` in the archive; ``above`` are the real
        folders it is in.
        """
        try:
            entries = sorted(os.listdir(real))
        except OSError as error:
            self._leave((*parts, ""), f"cannot be read ({error.strerror})")
            return
        ignored = () if forced else [name for name in (".gitignore", ".rayignore") if name in entries]
        rules = [
            (parts, self._spec_of(read_text(real / name, follow=True, errors="replace").splitlines()))
            for name in ignored
        ]
        self._rules.extend(rules)
        for name in entries:
            self._entry(real / name, (*parts, name), (*above, real), forced=forced)
        del self._rules[len(self._rules) - len(rules) :]
        if not entries and parts:
            self.package.files["/".join(parts)] = PackedFile("/".join(parts), real, 0, is_folder=True)

    def included(self, typed: Path, folder: Path) -> None:
        """Take a path in spite of all rules but one: it must be a plain file, or a folder of such."""
        places = [Path(os.path.abspath(place)) for place in (typed, folder / typed)]
        inside = [place for place in places if os.path.lexists(place) and place.is_relative_to(os.path.abspath(folder))]
        if not inside:
            raise PackageError(f"--include {typed}: there is no such file in the working directory {folder}")
        parts = inside[0].relative_to(os.path.abspath(folder)).parts
        if not parts:
            raise PackageError(f"--include {typed}: is the working directory itself; name files or folders in it")
        self._entry(inside[0], parts, (), forced=True)

    def _entry(self, path: Path, parts: tuple[str, ...], above: tuple[Path, ...], *, forced: bool) -> None:
        self._num_entries += 1
        if self._num_entries > MAX_ENTRIES:
            raise PackageError(
                f"--working-dir {self.package.root}: holds more than {MAX_ENTRIES:,} files; name a smaller directory"
            )
        try:
            real = path.resolve(strict=True)
            mode = real.stat().st_mode
        except (OSError, RuntimeError):  # also a link to itself
            self._leave(parts, "is a link that leads nowhere" if path.is_symlink() else "cannot be read")
            return
        is_folder = stat.S_ISDIR(mode)
        why = "is a link in a circle" if real in above else self._why_not(path, real, parts, mode)
        if forced and why in (SECRET, IGNORED, OUTSIDE):
            why = (
                OUTSIDE
                if above and not (real.is_relative_to(above[0]) or real.is_relative_to(self.package.root))
                else ""
            )
        if why:
            self._leave((*parts, "") if is_folder else parts, why)
        elif is_folder:
            self._forget(parts)
            self.folder(real, parts, above, forced=forced)
        else:
            self._forget(parts)
            self.package.files["/".join(parts)] = PackedFile("/".join(parts), real, real.stat().st_size)

    def _why_not(self, path: Path, real: Path, parts: tuple[str, ...], mode: int) -> str:
        """Return why an entry stays; empty when it travels."""
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return "is no plain file"
        if "\\" in parts[-1] or parts[0][1:2] == ":" or parts[-1].encode(errors="replace").decode() != parts[-1]:
            return "has a name that Ray does not unpack"
        if not os.access(real, os.R_OK):
            return "cannot be read"
        if self._is_ignored(parts, stat.S_ISDIR(mode)):
            return IGNORED
        if not real.is_relative_to(self.package.root):
            return OUTSIDE
        inside = real.relative_to(self.package.root).parts
        behind = [inside[: n + 1] for n in range(len(inside))] if path.is_symlink() else []
        if any(self._is_ignored(p, p != inside or stat.S_ISDIR(mode)) for p in behind):
            return IGNORED
        named = [(one, stat.S_ISDIR(mode) or one != inside) for one in behind] + [(parts, stat.S_ISDIR(mode))]
        if any(is_secret_name(one, is_folder=folder) for one, folder in named) or (
            stat.S_ISREG(mode) and _holds_secret(real)
        ):
            return SECRET
        return ""

    def _is_ignored(self, parts: tuple[str, ...], is_folder: bool) -> bool:
        below = ((spec, parts[len(base) :]) for base, spec in self._rules if parts[: len(base)] == base)
        return any(rest and spec.match_file("/".join(rest) + "/" * is_folder) for spec, rest in below)

    def _leave(self, parts: tuple[str, ...], why: str) -> None:
        self.package.left_out["/".join(parts)] = why

    def _forget(self, parts: tuple[str, ...]) -> None:
        for name in ("/".join(parts), "/".join((*parts, ""))):
            self.package.left_out.pop(name, None)


def _holds_secret(path: Path) -> bool:
    try:
        with open_reading(path) as file:
            return holds_secret(file.read(HEAD_BYTES))
    except OSError:  # it went away, or became something else: nothing of it is sent unread
        return True


def _largest(package: Package) -> str:
    tops, files = Counter[str](), sorted(package.files.values(), key=lambda file: -file.num_bytes)
    for file in files:
        tops[file.name.partition("/")[0]] += file.num_bytes
    shown = dict(tops.most_common(3)) | {file.name: file.num_bytes for file in files[:3]}
    return ", ".join(f"{one_line(name)} ({_size(size)})" for name, size in shown.items())


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:,.1f} kB"
