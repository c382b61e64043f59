"""Programs that tests hand to another interpreter as text: what they import is there, also in those that run seldom."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("robonav_ray", "proofs", "tests")


def programs(path: Path) -> Iterator[tuple[int, ast.Module]]:
    """Give line and syntax tree of every text in a file that is a program which imports something of ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            try:
                tree = ast.parse(textwrap.dedent(node.value))
            except SyntaxError:
                continue  # English, or a template with fields
            yield node.lineno, tree


@cache
def names_of(module: str) -> frozenset[str] | None:
    """Return what a module of ours defines or imports at its top; None where there is none."""
    place = ROOT.joinpath(*module.split("."))
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not source.is_file():
        return None
    names = {path.stem for path in place.iterdir()} if place.is_dir() else set[str]()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.split(".")[0])
    return frozenset(names)


def missing(tree: ast.Module) -> list[str]:
    """Return what a program imports of ours and is not there."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            names = names_of(node.module)
            if names is None:
                found.append(node.module)
            elif node.module != "robonav_ray":  # whose public names are lazy
                found += [f"{node.module}.{alias.name}" for alias in node.names if alias.name not in names]
        elif isinstance(node, ast.Import):
            ours = [alias.name for alias in node.names if alias.name.split(".")[0] in OURS]
            found += [name for name in ours if names_of(name) is None]
    return found


def test_what_programs_in_texts_import_is_there() -> None:
    files = [path for tree in ("tests", "proofs") for path in sorted((ROOT / tree).rglob("*.py"))]
    found = [(path, line, tree) for path in files if path != Path(__file__) for line, tree in programs(path)]
    assert len(found) > 20
    assert [f"{path.relative_to(ROOT)}:{line} {name}" for path, line, tree in found for name in missing(tree)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from robonav_ray.files.storage import join", []),
        ("from robonav_ray.files.storage import joyn", ["robonav_ray.files.storage.joyn"]),
        ("import robonav_ray.filez", ["robonav_ray.filez"]),
    ],
)
def test_what_is_not_there_is_named(text: str, expected: list[str]) -> None:
    assert missing(ast.parse(text)) == expected
