"""The notebooks are sources: no outputs, nothing defined, a badge and a word for newcomers first, names that exist."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import robonav_ray as rn
from robonav_ray.config.load import load_run_config, load_tuning_config
from robonav_ray.fronts import notebooks as front

ROOT = Path(__file__).parents[3]
NOTEBOOKS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "notebooks").glob("*.ipynb")}
BADGES = {"quickstart": "Open in Colab", "colab_training": "Open in Colab", "kaggle_training": "Open in Kaggle"}
SECTIONS = {"colab_training": 11, "kaggle_training": 9}
"""Code cells, each under a heading with its number."""
REPOSITORY = "https://github.com/robonav/robonav_ray"


def sources(name: str, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOKS[name]["cells"] if cell["cell_type"] == kind]


def python_of(source: str) -> str:
    """Return a cell as Python reads it: commands of IPython are strings."""
    return re.sub(r"^(\s*)[!%].*$", r"\1'a command'", source, flags=re.MULTILINE)


def trees(name: str) -> list[ast.Module]:
    return [ast.parse(python_of(source), name) for source in sources(name, "code")]


def calls(name: str, root: str) -> list[ast.Call]:
    """Return the calls ``root.NAME(...)``."""
    nodes = (node for tree in trees(name) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [
        node
        for node in nodes
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == root
    ]


def test_there_are_the_three_that_the_readme_promises() -> None:
    assert NOTEBOOKS.keys() == BADGES.keys()


@pytest.mark.parametrize("name", BADGES)
def test_a_notebook_is_a_source(name: str) -> None:
    book = NOTEBOOKS[name]
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    for cell in book["cells"]:
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | (
            {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        )
        assert not cell.get("outputs"), f"{name}: an output is committed; clear them (Edit, Clear All Outputs)"
        assert cell.get("execution_count") is None
        assert "widgets" not in book["metadata"]
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])


@pytest.mark.parametrize("name", BADGES)
def test_it_imports_and_never_defines(name: str) -> None:
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    found = [node.lineno for tree in trees(name) for node in ast.walk(tree) if isinstance(node, definitions)]
    assert not found, "a function of the package does it (robonav_ray/fronts/notebooks)"


@pytest.mark.parametrize("name", BADGES)
def test_it_opens_with_a_badge_and_a_word_for_newcomers(name: str) -> None:
    first = "".join(NOTEBOOKS[name]["cells"][0]["source"])
    assert NOTEBOOKS[name]["cells"][0]["cell_type"] == "markdown"
    badge, rest = first.split("\n", 1)
    assert badge.startswith(f"[![{BADGES[name]}](https://")
    assert badge.endswith(f"robonav/robonav_ray/blob/main/notebooks/{name}.ipynb)")
    assert rest.lstrip().startswith("# ")
    assert "robot" in rest
    assert "lidar" in rest


@pytest.mark.parametrize("name", BADGES)
def test_each_code_cell_is_explained_before_it(name: str) -> None:
    kinds = [cell["cell_type"] for cell in NOTEBOOKS[name]["cells"]]
    assert all(before == "markdown" for before, kind in pairwise(kinds) if kind == "code")
    assert max(len(source.splitlines()) for source in sources(name, "code")) <= 20
    if name in SECTIONS:
        heads = re.findall(r"^## (\d+)\. ", "\n".join(sources(name, "markdown")), flags=re.MULTILINE)
        assert heads == [str(i + 1) for i in range(SECTIONS[name])]
        assert len(sources(name, "code")) == SECTIONS[name]


@pytest.mark.parametrize("name", BADGES)
def test_all_is_cloned_from_one_place(name: str) -> None:
    urls = set(re.findall(r"https://github\.com/[\w-]+/[\w-]+", "\n".join(sources(name, "code"))))
    assert urls == {REPOSITORY}


@pytest.mark.parametrize("name", BADGES)
def test_what_it_imports_and_calls_exists(name: str) -> None:
    for tree in trees(name):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("robonav_ray"):
                module = importlib.import_module(str(node.module))
                assert {alias.name for alias in node.names} <= set(dir(module))
    for root, module in (("rn", rn), ("notebooks", front)):
        for call in calls(name, root):
            assert isinstance(call.func, ast.Attribute)
            function: Any = getattr(module, call.func.attr)
            named: dict[str, Any] = {word.arg: None for word in call.keywords if word.arg is not None}
            inspect.signature(function).bind(*call.args, **named)


@pytest.mark.parametrize("name", BADGES)
def test_its_settings_are_settings_of_the_package(name: str) -> None:
    (cell,) = (source for source in sources(name, "code") if "notebooks.settings(" in source)
    (call,) = (call for call in calls(name, "notebooks") if ast.unparse(call.func) == "notebooks.settings")
    values = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert all("#" in line for line in cell.splitlines() if re.match(r"    \w+=", line)), "each says what it is"
    texts = [f"{key}={value}" for key, value in values["overrides"].items()]
    load_run_config(Path(values.get("config", "quick")), texts)
    if "trial_overrides" in values:
        load_tuning_config(Path("asha"), [f"{key}={value}" for key, value in values["trial_overrides"].items()])
    for key, quota in {"colab_training": (12, 10), "kaggle_training": (9, 15)}.items():
        if name == key:
            assert (values["session_hours"], values["stop_minutes_before"]) == quota
    if name == "kaggle_training":
        assert values["checkpoint_episodes"] == 500
    read = {node.attr for tree in trees(name) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name) and node.value.id == "settings"}  # fmt: skip
    assert read == set(values), "each setting is used, and no other one"


def test_the_quickstart_starts_ray_itself_and_opens_the_tensorboard_of_its_search() -> None:
    told = "\n".join(sources("quickstart", "code"))
    order = [
        "ray.init(",
        "rn.train(",
        "notebooks.four_plots(",
        "rn.evaluate(",
        "rn.tune(",
        "open_tensorboard(search.path",
    ]
    assert sorted(order, key=told.index) == order
