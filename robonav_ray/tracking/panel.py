"""The panel that a person watches while a run trains: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.table import Table
from rich.text import Text

from robonav_ray.screen import Screen
from robonav_ray.text import one_line
from robonav_ray.tracking.status import RunStatus

MIN_LIVE_WIDTH = 50
_MAX_WIDTH = 96
_TWO_COLUMNS_WIDTH = 68
_LEAGUE_LINES = 3
_SPARKS, _ASCII_SPARKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"


class StatusView(Protocol):
    """Shows a run; a context manager that ends the view."""

    def update(self, status: RunStatus) -> None:
        """Show ``status``; cheap enough to call several times a second."""
        ...

    def close(self) -> None:
        """End the view, leaving the last state on the screen; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class View:
    """The context manager that all views share."""

    def close(self) -> None:
        """End the view."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def format_count(value: float) -> str:
    """Return a count in at most 6 characters: 950, 12.3k, 1.24M."""
    for limit, divisor, unit in ((1e3, 1.0, ""), (999.5e3, 1e3, "k"), (999.5e6, 1e6, "M"), (float("inf"), 1e9, "G")):
        if abs(value) < limit:
            scaled = value / divisor
            return f"{scaled:.0f}" if not unit else f"{scaled:.3g}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return str(value)


def format_seconds(seconds: float) -> str:
    """Return 75 as 1:15 and 3700 as 1:01:40."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def sparkline(values: Sequence[float], low: float = 0.0, high: float = 1.0, ascii_only: bool = False) -> str:
    """Return one character per value, its height within [low, high]."""
    marks = _ASCII_SPARKS if ascii_only else _SPARKS
    scale = (len(marks) - 1) / (high - low)
    return "".join(marks[round(min(max(v - low, 0.0), high - low) * scale)] for v in values)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else format(value, form)


def plain_line(status: RunStatus) -> str:
    """Return the whole status on one line."""
    parts = [
        f"[{format_seconds(status.pace.elapsed_s)}/{format_seconds(status.run.config.budget.time_s)}]",
        *_judged_texts(status),
        *status.facts.league[:1],
        f"env {format_count(status.facts.env_steps)} ({_rate(status.pace.env_steps_per_s)})",
        f"learner {format_count(status.facts.learner_steps)} ({_rate(status.pace.learner_steps_per_s)})",
        "samples/insert {}/{}".format(*_ratio(status)),
        f"policy lag {_number(status.figure('rollout/policy_lag_max'), '.0f')}",
        f"replay {status.replay_fill_frac:.0%}",
        f"workers {status.facts.num_workers}",
        f"ETA {'-' if status.pace.eta_s is None else format_seconds(status.pace.eta_s)}",
    ]
    return " | ".join(parts) + (f" | {status.facts.message}" if status.facts.message else "")


def _judged_texts(status: RunStatus) -> list[str]:
    """Return where the run stands in its curriculum, in the words of its environment."""
    stage = f"stage {status.stage_name}{' passed' if status.progress.passed else ''}"
    texts = [stage] if status.run.has_stages else ["passed"] if status.progress.passed else []
    if status.progress.tells_success:
        texts.append(f"success {_percent(status.success_frac)}")
    texts.append(f"return {_number(status.mean_return)}")
    if status.progress.tells_collisions:
        texts.append(f"collisions {_percent(status.collision_frac)}")
    if status.progress.partners is not None:
        texts.append(f"success {status.progress.partners.worst_text}")
    return [*texts, held_out_text(status)] if status.index.judgements else texts


def held_out_text(status: RunStatus) -> str:
    """Return the newest judgement with its interval, and the best one where that is another; empty before the first."""
    if not status.index.judgements:
        return ""
    newest, best = status.index.judgements[-1], status.index.best
    text = f"held-out {newest.score_text()}"
    if best is None or best is newest:
        return text
    score = f"{best.score:.4g}" if best.success_frac is None else f"{best.score:.1%}"
    return f"{text}, best {score} at {format_count(best.env_steps)}"


def _ratio(status: RunStatus) -> tuple[str, str]:
    """Return the samples per insert that were achieved, and those that are asked for."""
    asked = status.run.config.replay.samples_per_insert
    return _number(status.figure("replay/samples_per_insert"), ".2f"), _number(asked, ".2f")


def _news(status: RunStatus) -> tuple[int, bool, str, int]:
    """Return what a plain panel shows at once when it changes."""
    return status.progress.stage, status.progress.passed, status.facts.message, len(status.index.judgements)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{format_count(value)}/s"


class StatusBlock(View):
    """Renders a status as one block for ``console``; fits 80 x 24 and shrinks with it. Where it is shown is a
    subclass's.
    """

    def __init__(self, console: Screen):
        self.console = console
        self._ascii = not console.encoding.lower().startswith("utf")
        self._success: deque[float] = deque(maxlen=200)

    def note(self, status: RunStatus) -> None:
        """Remember what the curve of successes is drawn from."""
        if status.success_frac is not None:
            self._success.append(status.success_frac)

    def render(self, status: RunStatus) -> RenderableType:
        """Return the block for ``status``."""
        width = min(self.console.width, _MAX_WIDTH)
        left = f"{format_seconds(status.pace.elapsed_s)} of {format_seconds(status.run.config.budget.time_s)}"
        eta = (
            ""
            if status.pace.eta_s is None
            else f" {'-' if self._ascii else '·'} about {format_seconds(status.pace.eta_s)} to go"
        )
        stages: list[RenderableType] = [self._stages(status, width - 4), Text()] if status.run.has_stages else []
        rows: list[RenderableType] = [
            *stages,
            self._gate(status, width - 4),
            Text(),
            self._figures(status, width - 4),
        ]
        if held_out := held_out_text(status):
            rows.insert(-2, Text(held_out, no_wrap=True, overflow="ellipsis"))
        if status.facts.league:
            lines = ("", *status.facts.league[:_LEAGUE_LINES])
            rows += [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
        if status.facts.message:
            rows += [Text(), Text(status.facts.message, style="dim", no_wrap=True, overflow="ellipsis")]
        return Frame(
            Group(*rows),
            title=Text(f"{status.run.name} ({status.run.wiring})", style="bold", overflow="ellipsis"),
            title_align="left",
            subtitle=Text(left + eta),
            subtitle_align="right",
            border_style="green" if status.progress.passed else "cyan",
            width=width,
        )

    def _bar(self, frac: float, width: int, style: str) -> Text:
        full, empty = ("#", "-") if self._ascii else ("━", "─")
        filled = round(min(max(frac, 0.0), 1.0) * width)
        return Text.assemble((full * filled, style), (empty * (width - filled), "dim"))

    def _stages(self, status: RunStatus, width: int) -> Table:
        table = Table.grid(padding=(0, 2), expand=False)
        name_width = min(24, max(len(name) for name in status.run.stage_names) + 2)
        bar_width = max(6, width - name_width - 14)
        for i, name in enumerate(status.run.stage_names):
            if i < status.progress.stage or (status.progress.passed and i == status.progress.stage):
                frac, style, word = 1.0, "green", "passed"
            elif i == status.progress.stage:
                frac, style, word = status.gate_frac, "cyan", f"{status.gate_frac:.0%}"
            else:
                frac, style, word = 0.0, "dim", ""
            label = Text(
                f"{i} {name}", style="bold" if i == status.progress.stage else "", no_wrap=True, overflow="ellipsis"
            )
            label.truncate(name_width)
            table.add_row(label, self._bar(frac, bar_width, style), Text(word, style=style))
        return table

    def _gate(self, status: RunStatus, width: int) -> Table:
        at_least = ">=" if self._ascii else "≥"
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        table.add_column(no_wrap=True)
        if status.progress.tells_success:
            spark = sparkline(list(self._success)[-max(8, width - 34) :], ascii_only=self._ascii)
            needed = (
                "" if status.progress.min_success_frac is None else f"{at_least} {status.progress.min_success_frac:.0%}"
            )
            table.add_row(
                "success",
                Text(_percent(status.success_frac), style="bold"),
                Text.assemble(f"{needed:<7}", (spark, "green")),
            )
        needed = "" if status.progress.min_return is None else f"> {status.progress.min_return:g}"
        progress = status.progress
        window = f"window {progress.window.num_episodes}/{progress.window_size}"
        episodes = f"{window}, {format_count(progress.num_episodes)} episodes"
        table.add_row("return", _number(status.mean_return), Text.assemble(f"{needed:<7}", (episodes, "dim")))
        epsilon = f"epsilon {status.progress.epsilon:.3f}"
        needed = "" if status.progress.max_collision_frac is None else f"< {status.progress.max_collision_frac:.0%}"
        collisions = ("collisions", _percent(status.collision_frac)) if status.progress.tells_collisions else ("", "")
        table.add_row(*collisions, Text.assemble(f"{needed:<7}", (epsilon, "dim")))
        if progress.min_partner_success_frac is not None:
            company, frac = ("not played yet", None) if progress.partners is None else progress.partners.worst
            needed = f"{at_least} {progress.min_partner_success_frac:.0%}"
            table.add_row("partners", _percent(frac), Text.assemble(f"{needed:<7}", (company, "dim")))
        return table

    def _figures(self, status: RunStatus, width: int) -> Table:
        sample_lag = _number(status.figure("learner/policy_lag_mean"), ".0f")
        lag = f"{_number(status.figure('rollout/policy_lag_max'), '.0f')} (of samples {sample_lag})"
        replaced = f", {status.facts.num_replaced} replaced" if status.facts.num_replaced else ""
        workers = f"{status.facts.num_workers}{replaced}"
        left = [
            ("env steps", format_count(status.facts.env_steps), _rate(status.pace.env_steps_per_s)),
            ("learner", format_count(status.facts.learner_steps), _rate(status.pace.learner_steps_per_s)),
            ("replay", format_count(status.figure("replay/size") or 0.0), f"{status.replay_fill_frac:.0%}"),
        ]
        right = [("samples/insert", "{} of {}".format(*_ratio(status))), ("policy lag", lag), ("workers", workers)]
        table = Table.grid(padding=(0, 2))
        if width < _TWO_COLUMNS_WIDTH:
            for label, count, rate in left:
                table.add_row(label, f"{count}, {rate}")
            for label, value in right:
                table.add_row(label, value)
            return table
        for justify in ("left", "right", "right", "left", "left"):
            table.add_column(justify=justify, no_wrap=True)
        for one, other in zip(left, right, strict=True):
            table.add_row(*one, *other)
        return table


class LivePanel(StatusBlock):
    """The block in a terminal, drawn over itself."""

    def __init__(self, console: Screen):
        super().__init__(console)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def update(self, status: RunStatus) -> None:
        """Draw ``status``."""
        self.note(status)
        self._live.update(self.render(status), refresh=True)

    def close(self) -> None:
        """Leave the last drawing on the screen."""
        self._live.stop()


class PlainPanel(View):
    """One line every ``interval_s`` seconds, and at once when the stage, the message or the judgement changes; for logs
    and pipes.
    """

    def __init__(
        self, write: Callable[[str], object], interval_s: float = 10.0, now: Callable[[], float] = time.monotonic
    ):
        self._write = write
        self._interval_s = interval_s
        self._now = now
        self._last_s = float("-inf")
        self._last: RunStatus | None = None
        self._shown: RunStatus | None = None

    def update(self, status: RunStatus) -> None:
        """Write a line when one is due."""
        self._last = status
        shown = self._shown
        if shown is None or _news(shown) != _news(status) or self._now() - self._last_s >= self._interval_s:
            self._show(status)

    def close(self) -> None:
        """Write the last status if it has not been written."""
        if self._last is not None and self._last is not self._shown:
            self._show(self._last)

    def _show(self, status: RunStatus) -> None:
        self._last_s, self._shown = self._now(), status
        self._write(one_line(plain_line(status)) + "\n")


class NoPanel(View):
    """Shows nothing."""

    def update(self, status: RunStatus) -> None:
        """Do nothing."""


PanelKind = Literal["auto", "live", "plain", "off"]
"""As ``config.tracking.panel``."""
MakeView = Callable[[PanelKind], StatusView]


def no_view(kind: PanelKind) -> StatusView:
    """Return a view that shows nothing, for every setting of the config."""
    return NoPanel()


def make_panel(kind: PanelKind, console: Screen) -> StatusView:
    """Return the view that ``config.tracking.panel`` asks for, on ``console``.

    ``auto`` is live in a terminal at least ``MIN_LIVE_WIDTH`` wide that can move its cursor, plain lines elsewhere.
    Colours follow ``NO_COLOR``.
    """
    if kind == "off":
        return NoPanel()
    can_draw = console.is_terminal and not console.is_dumb_terminal and console.width >= MIN_LIVE_WIDTH
    if kind == "live" or (kind == "auto" and can_draw):
        return LivePanel(console)

    return PlainPanel(console.write)
