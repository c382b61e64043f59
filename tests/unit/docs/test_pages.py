"""README and docs hold: their links lead somewhere, their commands exist, their Python compiles, and what is generated
is up to date."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from proofs.door import PROGRAMS
from robonav_ray.config.described.reference import keys_of, reference_page
from robonav_ray.config.run import RunConfig
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tracking.metric_table import HISTOGRAMS, METRICS, markdown_table
from tests.command_lines import parse_robonav

ROOT = Path(__file__).parents[3]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def blocks(page: str, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(PAGES[page]) if found == language]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(page: str, text: str) -> list[str]:
    found = []
    for target, anchor in LINK.findall(BLOCK.sub("", text)):
        path = ROOT / page if not target else (ROOT / page).parent / target
        if not path.exists() or not path.resolve().is_relative_to(ROOT):
            found.append(target)
        elif anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
            found.append(f"{target}#{anchor}")
    return found


def test_every_link_leads_somewhere():
    assert {page: dead for page, text in PAGES.items() if (dead := dead_links(page, text))} == {}
    assert dead_links("docs/tuning.md", "[a](nowhere.md), [b](optuna.md#no-such-heading)") == [
        "nowhere.md",
        "optuna.md#no-such-heading",
    ]


def test_the_readme_is_a_door():
    assert len(PAGES["README.md"].split()) <= 600
    for command in ("make train", "make test"):
        assert command in PAGES["README.md"]
    assert "docs/index.md" in PAGES["README.md"]


def test_every_page_is_in_the_index():
    listed = {
        name
        for block in re.findall(r"```\{toctree\}\n(.*?)```", PAGES["docs/index.md"], re.DOTALL)
        for name in block.split()
    }
    pages = {page.removeprefix("docs/").removesuffix(".md") for page in PAGES if page.startswith("docs/")}
    assert {page for page in pages if not page.startswith("decisions/0")} - {"index"} <= listed
    assert "0*" in PAGES["docs/decisions/index.md"]
    for page in listed & pages:
        assert f"({page}.md)" in PAGES["docs/index.md"], (
            f"{page} is in the tree of the site and not in the list that GitHub shows"
        )


def commands(page: str, program: str) -> list[str]:
    """Return the commands of a page's blocks that begin with ``program``."""
    lines = [line for text in blocks(page, "") for line in text.replace("\\\n", " ").splitlines()]
    found = [re.search(rf"(?:^|exec head |\.venv/bin/){program} .*", line) for line in lines]
    return [re.split(r" (?:\||&&|>) ", match[0])[0] for match in found if match]


def test_every_command_of_ours_is_one():
    seen = [(page, line) for page in PAGES for line in commands(page, "robonav")]
    assert len(seen) > 60
    for _page, line in seen:
        parse_robonav(shlex.split(line[line.index("robonav ") :], comments=True)[1:])
    with pytest.raises(Exception, match="no-such-option"):
        parse_robonav(["train", "--no-such-option"])


def test_every_script_and_target_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page, text in PAGES.items():
        made = {
            name
            for row in re.findall(r"^make ([a-z]+)(?:  | #|$)|`make ([a-z]+)`", text, flags=re.MULTILINE)
            for name in row
            if name
        }
        assert made <= targets, page
        for script in re.findall(r"python ((?:scripts|docs)/[\w/]+\.py)", text):
            assert (ROOT / script).is_file(), f"{page}: {script}"
        for program in re.findall(r"python -m proofs (\w+)", text):
            assert program == "NAME" or program in PROGRAMS, f"{page}: {program}"
        for folder in re.findall(r"`((?:robonav_ray|proofs|configs|cluster|tests|scripts|docs)/[\w/.-]+)`", text):
            assert (ROOT / folder).exists() or re.search(r"-v\d$", folder), f"{page}: {folder}"


def defined_in(module: str) -> set[str]:
    """Return the names that a module of ours has, without importing it."""
    path = ROOT / module.replace(".", "/")
    source = next(
        file for file in (path.with_suffix(".py"), path / "__init__.pyi", path / "__init__.py") if file.is_file()
    )
    names: set[str] = set()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_names_that_python_blocks_import_exist():
    for page in PAGES:
        for text in blocks(page, "python"):
            for node in ast.walk(ast.parse(text, page)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("robonav_ray"):
                    assert {name.name for name in node.names} <= defined_in(str(node.module)), f"{page}: {node.module}"


def test_every_config_key_is_explained_and_the_page_is_up_to_date():
    assert [key.key for key in (*keys_of(RunConfig), *keys_of(TuningConfig)) if not key.meaning] == []
    assert PAGES["docs/config_keys.md"] == reference_page(), (
        "the config classes have changed: run `make docs`, and commit its page"
    )


def test_the_reference_says_what_the_classes_say():
    keys = {key.key: key for key in keys_of(RunConfig)}
    assert keys["learner.batch_size"].default == str(RunConfig().learner.batch_size)
    assert keys["replay.sampler"].type == "`prioritized`, `rank`, `uniform`"
    assert keys["rollout.num_workers"].type == "integer ≥ 1 or `auto`"
    assert keys["curriculum.stages.*.gate.min_success_frac"].type == "number or null ≥ 0.0, ≤ 1.0"
    assert "space.KEY.choice" in {key.key for key in keys_of(TuningConfig)}


def test_the_words_are_explained_once():
    rows = re.findall(r"^\| (\*\*.*?) \|", PAGES["docs/words.md"], re.MULTILINE)
    words = [word for row in rows for word in re.findall(r"\*\*(.*?)\*\*", row)]
    assert len(words) == len(set(words)) > 80
    for word in (
        "fragment",
        "life",
        "cut",
        "spare",
        "fence",
        "gate",
        "ledger",
        "shard",
        "stage",
        "level",
        "wiring",
        "run session",
    ):
        assert word in words


def test_every_tracked_figure_stands_in_the_docs_with_its_unit() -> None:
    page = PAGES["docs/tracking.md"]
    for facts, head in ((METRICS, "Figure"), (HISTOGRAMS, "Histogram")):
        assert markdown_table(facts, head) in page, "paste robonav_ray.tracking.metric_table.markdown_table"
