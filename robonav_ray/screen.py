"""The terminal: everything that the verbs print goes through one kind of console, which takes text and never markup.

``Console.print("a[/]b")`` of Rich reads markup, emoji codes and numbers into a text. ``Screen`` shows a text as it is;
what shall be bold or dim is said with ``Text.assemble((name, "bold"), " is ...")`` or ``style=``. Characters that would
act on the terminal, and such as its encoding lacks, are shown as escapes.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from robonav_ray.text import message_text, visible


class Screen(Console):
    """A Rich console for which a ``str`` is text: in ``print``, in cells, in ``status``."""

    def __init__(self, **options: Any) -> None:
        """``options`` are those of ``Console``; markup, emoji codes and highlighting are off."""
        super().__init__(**{**options, "markup": False, "emoji": False, "highlight": False})

    def render_str(self, text: str, **options: Any) -> Text:
        """As ``Console.render_str``, of what is shown: the width of a cell is that of its escapes."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As ``Console.render``; a rendered text, also a ``Text`` from elsewhere, cannot act on the terminal."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n":
                yield segment
            else:
                yield segment._replace(text=in_encoding(visible(segment.text), self.encoding))

    def status(self, status: RenderableType, **options: Any) -> Status:
        """As ``Console.status``, of which a ``str`` would be markup."""
        return super().status(Text(status) if isinstance(status, str) else status, **options)

    def write(self, text: str) -> None:
        """Write ``text`` at once, as it is but for ``visible``: for plain lines and logs, which are never wrapped."""
        write_to(self.file, text)


def make_screen(*, soft_wrap: bool = True) -> Screen:
    """Return the screen of a verb, on standard output; with ``soft_wrap`` a path or a command stays one line, to be
    copied.
    """
    return Screen(soft_wrap=soft_wrap)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; IPython is not imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None  # the shell of a terminal has none


def plain_screen(*, silent: bool = False) -> Screen:
    """Return a screen of plain lines on standard output, for a call inside a user's program; ``silent``: to nowhere."""
    file = io.StringIO() if silent else sys.stdout
    return Screen(file=file, soft_wrap=True, force_terminal=False, force_jupyter=False)


def print_commands(commands: Sequence[tuple[str, str]], screen: Screen) -> None:
    """Print what to type next, each command (made by ``text.command_text``) with what it does, on one line however
    narrow the terminal.
    """
    for command, what in commands:
        screen.print(Text.assemble(f"  {command}   ", (f"# {what}", "dim")), soft_wrap=True)


def write_to(file: IO[str], text: str) -> None:
    """Write ``text`` and flush; characters that ``file`` cannot hold, or that would act on a terminal, are written as
    escapes.
    """
    file.write(in_encoding(visible(text), getattr(file, "encoding", None)))
    file.flush()


def say(text: str) -> None:
    """Print a line on standard output."""
    write_to(sys.stdout, text + "\n")


def say_error(error: object) -> None:
    """Print the one message that a verb ends with on standard error."""
    write_to(sys.stderr, f"robonav: {message_text(error)}\n")


def show_warnings() -> None:
    """Have the log's warnings shown on standard error."""
    handler = RichHandler(console=Screen(stderr=True), show_path=False, highlighter=NullHighlighter())
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])


def in_encoding(text: str, encoding: str | None) -> str:
    """Return ``text`` with escapes for the characters that ``encoding`` lacks; None takes all."""
    if encoding is None or text.isascii() or encoding.lower().replace("-", "").startswith("utf"):
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)
