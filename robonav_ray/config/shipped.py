"""Configs that come with the package, found by name where there is no file of that path.

A wheel holds them below ``robonav_ray/shipped/``; a checkout, where people edit them, beside the package (``setup.py``
copies them)::

    configs/run/quick.yaml      robonav train quick            also run/quick, configs/run/quick.yaml
    configs/tuning/asha.yaml    robonav tune asha
    cluster/cluster.yaml        robonav cluster up
    configs/robots/jackal.yaml  robonav train env.world.robot=jackal
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robonav_ray.files.plain_files import read_text

ConfigKind = Literal["run", "search", "cluster", "suite", "ablation", "pipeline", "robot", "map"]
FOLDERS: dict[ConfigKind, tuple[str, ...]] = {
    "run": ("configs/run", "configs/curriculum", "configs/reproduce", "configs"),
    "search": ("configs/tuning",),
    "cluster": ("cluster",),
    "suite": ("configs/evaluation",),
    "ablation": ("configs/evaluation",),
    "pipeline": ("configs/pipeline", "configs"),
    "robot": ("configs/robots",),
    "map": ("configs/maps",),
}
"""Where configs of a kind lie; of two with one name, the one in the earlier folder is meant."""
ALONE: dict[str, ConfigKind] = {"training_config": "run", "pipeline_config": "pipeline"}
"""Configs that lie in ``configs`` itself, by name."""
_PACKAGE = Path(__file__).parents[1]
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ShippedConfig:
    """A config that comes with the package."""

    name: str
    """What it is called on the command line: ``quick``."""
    kind: ConfigKind
    path: Path

    @property
    def question(self) -> str:
        """The question that it answers: the comment in its first line."""
        line = (
            read_text(self.path, follow=True).partition("\n")[0].removeprefix("# ").removeprefix("Question: ").strip()
        )
        question, mark, _ = line.partition("?")
        return question[:1].upper() + question[1:] + mark


def shipped_root() -> Path | None:
    """Return the folder that holds ``configs`` and ``cluster``: in the package, or beside it in a checkout; None when
    there is neither.
    """
    roots = (_PACKAGE / "shipped", _PACKAGE.parent)
    return next((root for root in roots if (root / "configs" / "run").is_dir() and (root / "cluster").is_dir()), None)


def shipped_configs(kind: ConfigKind) -> list[ShippedConfig]:
    """Return the configs of a kind, folder by folder, in order of their names."""
    root, found = shipped_root(), dict[str, ShippedConfig]()
    for folder in () if root is None else (root / name for name in FOLDERS[kind]):
        for path in sorted(path for path in folder.glob("*.yaml") if _is_of(kind, path)):
            found.setdefault(path.stem, ShippedConfig(path.stem, kind, path))
    return list(found.values())


def _is_of(kind: ConfigKind, path: Path) -> bool:
    """Whether a file is of a kind: suites and ablations lie in one folder, and an ablation is called one; ``configs``
    itself holds what ``ALONE`` names.
    """
    if path.parent.name == "configs":
        return ALONE.get(path.stem) == kind
    return kind not in ("suite", "ablation") or path.stem.startswith("ablation") == (kind == "ablation")


def find_shipped(path: Path, kind: ConfigKind) -> Path | None:
    """Return the shipped config that ``path`` names where no file lies there; None when a file does, or none is called
    so.
    """
    if os.path.lexists(path) and not path.is_dir():
        return None
    root, given = shipped_root(), path.with_suffix("") if path.suffix in _SUFFIXES else path
    if root is None or given.is_absolute():
        return None
    files = ((folder, file) for folder in FOLDERS[kind] for file in (root / folder).glob("*.yaml"))
    known = {(folder, file.stem): file for folder, file in files if _is_of(kind, file)}
    for (folder, name), config in known.items():
        places = (Path(name), Path(folder, name), Path(folder, name).relative_to(Path(folder).parts[0]))
        if given in places:
            return config
    return None


def unknown_config(path: Path, kind: ConfigKind) -> str:
    """Return what to say of a config that is neither a file nor a shipped one: the nearest files and names."""
    beside = path.parent.glob("*.yaml") if path.parent.is_dir() else Path("configs").rglob("*.yaml")
    files = [str(file) for file in beside]
    names = [config.name for config in shipped_configs(kind)]
    stem = path.stem if path.suffix in _SUFFIXES else str(path)
    near = [
        *difflib.get_close_matches(str(path), files, n=1, cutoff=0.3),
        *difflib.get_close_matches(stem, names, n=3, cutoff=0.5),
    ]
    if near:
        return f"no such file, and no shipped config of that name; did you mean {' or '.join(near)}?"
    listed = f" ({', '.join(names)})" if names else ""
    return f"no such file, and no shipped config of that name{listed}; an override is written section.key=value"
