"""One door: a name for each program, a script that hands over to it, and a line about it."""

from __future__ import annotations

import ast
import re
import sys

import pytest

from proofs.common.checkout import ROOT, with_proofs
from proofs.door import PROGRAMS, main

VERBS = {"run_pipeline": 'become("robonav_ray", "pipeline", "run")'}
"""Scripts that hand over to a verb of the command line."""


def test_all_programs_are_listed_with_a_line_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.split()[:1] == [name] for line in lines) for name in PROGRAMS)
    assert max(map(len, lines)) <= 80


def test_an_unknown_name_ends_with_2_and_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench_world"]) == 2
    assert "did you mean 'bench_worlds'" in capsys.readouterr().err


def test_a_program_gets_its_arguments_and_its_usage_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    with pytest.raises(SystemExit) as ended:
        main(["bench_worlds", "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: python -m proofs bench_worlds")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_a_module_with_a_main_that_takes_arguments(name: str) -> None:
    source = (ROOT / PROGRAMS[name].module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    (function,) = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == "main"]
    assert [argument.arg for argument in function.args.args] == ["arguments"]
    assert "__main__" not in source, "it has one door"


def test_every_script_hands_over_to_the_program_of_its_name() -> None:
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "scripts").glob("[!_]*.py")}
    assert scripts.keys() == PROGRAMS.keys() | VERBS.keys()
    for name, text in scripts.items():
        assert VERBS.get(name, f'run("{name}")') in text
        assert len(text.splitlines()) < 10


def test_nothing_changes_the_path_of_imports() -> None:
    files = [path for tree in ("proofs", "scripts") for path in (ROOT / tree).rglob("*.py")]
    assert [
        path.name
        for path in files
        if re.search(r"^\s*sys\.path\.(insert|append)", path.read_text(), flags=re.MULTILINE)
    ] == []


def test_a_child_imports_the_proofs_of_this_checkout_first() -> None:
    path = with_proofs({"PYTHONPATH": f"/else:{ROOT}", "A": "b"})
    assert path == {"PYTHONPATH": f"{ROOT}:/else", "A": "b"}
    assert with_proofs({}) == {"PYTHONPATH": str(ROOT)}
