"""Text from outside, made safe for where it is shown: a terminal, a shell, Markdown, HTML, a picture.

Paths, names, values of a config, ids of environments and what exceptions say come from outside. Each place has one
function here, and every program that writes there uses it; what is printed to a terminal goes through ``screen.py``,
which calls them.
"""

from __future__ import annotations

import html
import os
import re
import shlex
from pathlib import Path

_PACKAGE = Path(__file__).parent
_RESERVED = frozenset({"auto", "latest"})
"""Words that an option takes for something else than the path of that name."""


def visible(text: object) -> str:
    """Return ``text`` with every character that does something else than show itself written as an escape; line ends
    and tabs stay.

    These are control characters (terminal sequences among them), those that turn the direction of writing, spaces that
    look like another, and bytes of a file name that are no UTF-8.
    """
    told = str(text)
    return told if told.isprintable() else "".join(c if c in "\n\t" else _escaped(c) for c in told)


def one_line(text: object) -> str:
    """Return ``text`` as ``visible`` does, line ends and tabs as escapes too: for a name, a path, a cell, a comment."""
    told = str(text)
    return told if told.isprintable() else "".join(map(_escaped, told))


def message_text(text: object) -> str:
    """Return ``text`` for a terminal or a log, later lines indented: no line of it can pass for a message of its
    own.
    """
    return visible(text).rstrip("\n").replace("\n", "\n  ")


def command_text(*words: object) -> str:
    """Return a command that can be pasted into bash or zsh, every word quoted where it must be; always one
    line.
    """
    return " ".join(_word(str(word)) for word in words)


def path_word(path: Path | str) -> str:
    """Return ``path`` as a person types it here: relative where it lies below, and never taken for an option or a word
    such as ``auto``.
    """
    absolute = Path(path).absolute()
    typed = os.path.relpath(absolute) if absolute.is_relative_to(Path.cwd()) else str(absolute)
    return f"./{typed}" if typed.startswith("-") or typed in _RESERVED else typed


def source_place(file: str) -> str:
    """Return a source file as a person finds it: ours from the package on, another from the current folder on where it
    lies below.
    """
    path = Path(file)
    try:
        return str(path.relative_to(_PACKAGE.parent if path.is_relative_to(_PACKAGE) else Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or the current folder is gone
        return str(path)


def markdown_text(text: object) -> str:
    """Return ``text`` for a paragraph, a heading or a table's cell of Markdown (CommonMark and GitHub's)."""
    told = re.sub(
        r"[\\`*\[\]|~$#@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", r"\\\g<0>", one_line(text), flags=re.IGNORECASE
    )
    told = told.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"^(\s*\d*)([-+=:.)])", r"\1\\\2", told)  # else a list, or the line under a heading


def markdown_code(text: object) -> str:
    """Return ``text`` as a code span of Markdown; also in a table, in which a bar would end the cell."""
    told = one_line(text)
    if not told.strip():
        return ""
    if "|" in told:  # a code span cannot hold a bar in a table and be the same elsewhere
        return f"<code>{markdown_text(told)}</code>"
    fence = "`" * (1 + max(map(len, re.findall("`+", told)), default=0))
    apart = " " if told[0] in "` " or told[-1] in "` " else ""
    return f"{fence}{apart}{told}{apart}{fence}"


def html_text(text: object) -> str:
    """Return ``text`` for the body of an HTML page or a quoted attribute."""
    return html.escape(visible(text), quote=True)


def bytes_text(num_bytes: int) -> str:
    """Return a number of bytes for people: ``812 B``, ``3.4 MB``, ``1.2 GB`` (powers of 1,000)."""
    size, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000.0
        units.pop(0)
    return f"{size:.0f} {units[0]}" if size >= 99.5 or units[0] == "B" else f"{size:.1f} {units[0]}"


def picture_text(text: object) -> str:
    """Return ``text`` as matplotlib shows it as it is: no formula between dollars, and not left out of a legend."""
    told = one_line(text).replace("$", r"\$")
    return f" {told}" if told.startswith("_") else told  # a legend leaves out labels that begin with _


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def _word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    octets = os.fsencode(word)  # bytes that are no UTF-8 included
    return "$'" + "".join(chr(o) if 32 <= o < 127 and o not in b"\\'" else f"\\{o:03o}" for o in octets) + "'"
