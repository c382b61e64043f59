"""Two bars of tqdm above a run's panel: how far the curriculum is, and how much of the session is used."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from robonav_ray.fronts.call_display import DRAW_S
from robonav_ray.fronts.notebooks.session_limit import Session
from robonav_ray.screen import in_notebook
from robonav_ray.tracking.panel import StatusView, View, format_count, format_seconds
from robonav_ray.tracking.status import RunStatus

MakeBar = Callable[..., Any]
"""``tqdm.notebook.tqdm``, or one that takes the same."""


def bar_maker() -> MakeBar:
    """Return tqdm's bar for a notebook (``tqdm.notebook``) where this is one that has widgets, else that for a
    terminal.
    """
    if in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return tqdm


class ProgressBars(View):
    """The bars, and the view below them; both are drawn at most every ``DRAW_S`` seconds."""

    def __init__(
        self,
        below: StatusView,
        session: Session | None,
        make_bar: MakeBar,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is shown before the first status. Without ``session`` there is no second bar."""
        self._below, self._session, self._make_bar, self._now = below, session, make_bar, now
        self._bars: list[Any] = []
        self._drawn_s = float("-inf")
        self._last: RunStatus | None = None

    def update(self, status: RunStatus) -> None:
        """Draw ``status``, or keep it for the next time."""
        self._last = status
        if self._now() - self._drawn_s >= DRAW_S:
            self._draw(status)
        self._below.update(status)

    def close(self) -> None:
        """Draw the last status and leave it there."""
        if self._last is not None:
            self._draw(self._last)
        for bar in self._bars:
            bar.close()
        self._bars, self._last = [], None
        self._below.close()

    def _draw(self, status: RunStatus) -> None:
        self._drawn_s = self._now()
        shown = [(stage_text(status), curriculum_frac(status), figures_text(status))]
        if (session := self._session) is not None:
            used_s = session.used_s()
            words = f"{format_seconds(used_s)} used, training ends by {session.stops_at}"
            shown.append(("session", used_s / session.limit_s, words))
        for i, (name, frac, words) in enumerate(shown):
            percent = round(100 * min(max(frac, 0.0), 1.0), 1)
            form = f"{_literal(name)} {{percentage:3.0f}}% |{{bar}}| {_literal(words)}"
            if len(self._bars) <= i:
                self._bars.append(self._make_bar(total=100, initial=percent, bar_format=form, leave=True))
            else:
                self._bars[i].n, self._bars[i].bar_format = percent, form
                self._bars[i].refresh()


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def curriculum_frac(status: RunStatus) -> float:
    """Return how far the curriculum is, 0 to 1: stages that are passed, and how near the gate of this one is."""
    if status.progress.passed:
        return 1.0
    return (status.progress.stage + status.gate_frac) / max(1, len(status.run.stage_names))


def stage_text(status: RunStatus) -> str:
    """Return which stage is practised."""
    if not status.run.has_stages:
        return "curriculum"
    return f"stage {status.progress.stage + 1} of {len(status.run.stage_names)}, {status.stage_name}"


def figures_text(status: RunStatus) -> str:
    """Return the live figures, those that are known."""
    rates = [("success", status.success_frac), ("collisions", status.collision_frac)]
    parts = [f"{name} {frac:.0%}" for name, frac in rates if frac is not None]
    if status.mean_return is not None:
        parts.append(f"return {status.mean_return:.2f}")
    parts.append(f"{format_count(status.facts.env_steps)} env steps")
    if status.pace.env_steps_per_s is not None:
        parts.append(f"{format_count(status.pace.env_steps_per_s)}/s")
    return ", ".join(parts)
