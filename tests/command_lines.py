"""What is written down to be typed: whether a command line of ours is one, and the commands of a shell script."""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import Any

import typer

from robonav_ray.cli import app

SHELL_WORDS = {"if", "then", "elif", "else", "fi", "for", "do", "done", "!", "{", "}"}
SEPARATORS = re.compile(r"[;&|()]+")


def parse(command: Any, name: str, words: list[str], parent: Any = None) -> None:
    """Hand ``words`` to a command of the command line, which raises its usage errors, without running anything."""
    context = command.make_context(name, [*words], parent=parent)
    if hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        parse(command, name, words, context)


@cache
def robonav() -> Any:
    """The command line; making it of its verbs takes a second."""
    return typer.main.get_command(app)


def parse_robonav(words: list[str]) -> None:
    """Hand the words behind ``robonav`` to its command line."""
    parse(robonav(), "robonav", words)


def commands_of(script: str) -> list[list[str]]:
    """Return the commands of a shell script as words: what stands between separators, without variables that are set in
    front of one, and without redirections."""
    found: list[list[str]] = []
    for line in re.sub(r"\\\n", " ", script).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in (*lexer, ";"):
            if SEPARATORS.fullmatch(word):
                if words:
                    found.append(words)
                words = []
            elif words or not (word in SHELL_WORDS or re.match(r"[A-Za-z_]\w*=", word)):
                words.append(word)
    return [_without_redirections(words) for words in found]


def _without_redirections(words: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and not re.fullmatch(r"\d*[<>]+", word):
            kept.append(word)
        skip = re.fullmatch(r"\d*[<>]+", word) is not None
    return kept
