"""What a call shows: a live panel in a notebook, plain lines elsewhere, or nothing."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from robonav_ray.runtime.audience import Audience
from robonav_ray.screen import Screen, in_notebook, plain_screen
from robonav_ray.tracking.panel import NoPanel, PanelKind, PlainPanel, StatusBlock, StatusView, make_panel
from robonav_ray.tracking.status import RunStatus

PANEL_WIDTH = 96
DRAW_S = 0.5
"""Seconds between two drawings in a notebook: each travels to the browser."""
_PAGE = (
    "<pre style=\"font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace;line-height:1.2\">{code}</pre>"
)
Display = Callable[..., Any]
"""``IPython.display.display``."""


def call_audience(quiet: bool) -> Audience:
    """Return where a call says what it does: a cell of a notebook, standard output, or nowhere (``quiet``)."""
    screen = plain_screen(silent=quiet)

    def make_view(kind: PanelKind) -> StatusView:
        if quiet or kind == "off":
            return NoPanel()
        if kind != "plain" and (display := notebook_display()) is not None:
            return NotebookPanel(display)
        return make_panel("live", Screen(file=sys.stdout)) if kind == "live" else PlainPanel(screen.write)

    return Audience(screen, make_view, logging.getLogger("robonav_ray"))


def notebook_display() -> Display | None:
    """Return what shows something in the running cell of a Jupyter kernel; None in another program."""
    if not in_notebook():
        return None
    from IPython.display import display  # type: ignore[import-not-found]  # it is there: the kernel runs in it

    return display


class NotebookPanel(StatusBlock):
    """The block of a live panel as one output of a cell, which is drawn anew in its place."""

    def __init__(self, display: Display, now: Callable[[], float] = time.monotonic) -> None:
        """Nothing is shown before the first status. ``display`` is IPython's, or one that takes the same."""
        super().__init__(
            Screen(file=io.StringIO(), width=PANEL_WIDTH, force_terminal=True, force_jupyter=False, record=True)
        )
        self._display, self._now = display, now
        self._handle: Any = None
        self._drawn_s = float("-inf")
        self._waiting: RunStatus | None = None

    def update(self, status: RunStatus) -> None:
        """Draw ``status``, or keep it for the next time when the last drawing is less than ``DRAW_S`` ago."""
        self.note(status)
        self._waiting = status
        if self._now() - self._drawn_s >= DRAW_S:
            self._draw()

    def close(self) -> None:
        """Draw the last status, if it has not been drawn."""
        self._draw()

    def _draw(self) -> None:
        status, self._waiting = self._waiting, None
        if status is None:
            return
        self._drawn_s = self._now()
        self.console.print(self.render(status))
        page = self.console.export_html(inline_styles=True, code_format=_PAGE, clear=False)
        bundle = {"text/html": page, "text/plain": self.console.export_text(clear=True)}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
