"""Text from outside is shown as it is, wherever it is shown."""

import html as html_parser
import io
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from robonav_ray import text
from robonav_ray.screen import Screen, write_to

HOSTILE = [
    "a[/]b", "x[red]y", "[link=http://e.org]l[/link]", ":smile:", "a b", "a'b\"c", "$HOME `id` $(id)", "a\\", "-rf",
    "a\x1b[31mred\x1b]0;t\x07",
    "one\ntwo\r\nthree", "\u202egnp.exe", "| a | b |", "<script>alert(1)</script>", "*b* _i_ ~s~", "# head", "1. one",
    "- item", "![a](b)", "&amp; &lt;", "$x$ and $y$", "_hidden", "caf\u00e9 \U0001f600", os.fsdecode(b"bad\xff"),
    "a\tb", "\u200b", "$'\\n'", "",
]  # fmt: skip
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))


def shown(renderable, width: int = 200) -> str:
    screen = Screen(file=io.StringIO(), width=width, soft_wrap=True)
    screen.print(renderable)
    return screen.file.getvalue()  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None)
@given(names)
def test_a_line_holds_only_what_shows_itself(name: str) -> None:
    assert text.one_line(name).isprintable()
    assert text.visible(name).replace("\n", "").replace("\t", "").isprintable()
    assert text.one_line(text.one_line(name)) == text.one_line(name)
    assert all(line.startswith("  ") for line in text.message_text(f"x\n{name}").split("\n")[1:])


def test_what_shows_itself_stays() -> None:
    for name in ("a[/]b", "caf\u00e9 \U0001f600", "$x$", "runs/2026"):
        assert text.one_line(name) == text.visible(name) == text.picture_text(name).replace("\\$", "$") == name


@settings(max_examples=60, deadline=None)
@given(names)
def test_the_screen_takes_text_not_markup(name: str) -> None:
    line = text.one_line(name)
    assert shown(line) == f"{line}\n"
    assert shown(Text.assemble("at ", (name, "bold"))).replace("\n", "").isprintable()


def test_cells_titles_and_a_waiting_line_are_text_as_well() -> None:
    table = Table("[bold]head", title="[red]title", caption=":smile:")
    table.add_row("a[/]b\x1b[2J")
    out = shown(table)
    for told in ("[bold]head", "[red]title", ":smile:", r"a[/]b\x1b[2J"):
        assert told in out
    with Screen(file=io.StringIO()).status("a[/]b"):
        pass
    assert r"\x1b]0;t" in shown(Panel(Text("a\x1b]0;t\x07b"), title=Text("[/]")))


@pytest.mark.parametrize("name", HOSTILE)
def test_an_encoding_that_lacks_a_character_is_no_traceback(name: str) -> None:
    for encoding in ("ascii", "utf-8", "latin-1"):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        Screen(file=file, width=100).print(Panel(name))
        write_to(file, name)


def test_commands_can_be_pasted_and_are_one_line() -> None:
    words = [name.replace("\0", "") for name in HOSTILE]
    command = text.command_text("printf", r"%s\0", *words)
    assert command.isprintable()
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), max_size=4
    )
)
def test_a_printable_command_is_what_shlex_reads(words: list[str]) -> None:
    command = text.command_text("robonav", *words)
    assert command.isprintable()
    if all(word.isprintable() for word in words):
        assert shlex.split(command) == ["robonav", *words]


def test_a_path_is_never_taken_for_an_option_or_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert text.path_word("runs/a b") == "runs/a b"
    assert text.path_word(tmp_path / "-x") == "./-x"
    assert text.path_word(tmp_path / "latest") == "./latest"
    assert text.path_word("/elsewhere/x") == "/elsewhere/x"


def rendered(source: str) -> str:
    """Return what a reader of the Markdown sees; fails where it is more than one paragraph or cell of text."""
    found = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(source):
        for part in token.children or ():
            assert part.type in ("text", "text_special", "code_inline", "html_inline"), (source, part.type)
            found.append("" if part.type == "html_inline" else part.content)
    return "".join(found)


@settings(max_examples=200, deadline=None)
@given(names)
@example("x[red]y | `a` _b_")
def test_markdown_shows_the_text(name: str) -> None:
    told = " ".join(text.one_line(name).split())
    assert " ".join(rendered(text.markdown_text(name)).split()) == told
    table = f"| h | n |\n|---|---|\n| {text.markdown_text(name)} | {text.markdown_code(name)} |\n"
    cells = MarkdownIt("gfm-like", {"linkify": False}).parse(table)
    assert [token.type for token in cells].count("td_open") == 2
    assert "".join(rendered(table).split()) == "".join(f"hn{told}{told}".split())


@settings(max_examples=60, deadline=None)
@given(names)
def test_html_shows_the_text(name: str) -> None:
    escaped = text.html_text(name)
    assert not set("<>\"'") & set(escaped)
    assert html_parser.unescape(escaped) == text.visible(name)


@settings(max_examples=30, deadline=None)
@given(names)
def test_a_picture_shows_the_text(name: str) -> None:
    from matplotlib.cbook import is_math_text

    drawn = text.picture_text(name)
    assert not is_math_text(drawn)
    assert not drawn.startswith("_")
    assert drawn.replace(r"\$", "$").removeprefix(" ") in (text.one_line(name), text.one_line(name).removeprefix(" "))


def test_a_source_file_is_shown_as_a_person_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert text.source_place(text.__file__) == "robonav_ray/text.py"
    assert text.source_place(str(tmp_path / "mine" / "env.py")) == "mine/env.py"
    assert text.source_place("/elsewhere/env.py") == "/elsewhere/env.py"
