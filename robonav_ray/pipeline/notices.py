"""Notices to people: that a pipeline has started, ended or failed, by any channel that apprise knows.

::

    pipeline --tell--> Notifier --> a thread for each channel: waits out the interval, puts together what has come
                                    meanwhile --> a process for each notice (notice_process.py) --> Slack, e-mail, ...

Nothing of it is raised into a run, and no run waits for it but at its end, for a bounded time. A channel's URL is read
where it stands, an environment variable or a file, when a notice is sent; no object here holds it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robonav_ray.config.steps.notify import Event, NotifyChannel, NotifyConfig
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import read_text, sentence
from robonav_ray.pipeline.notice_process import Message, SendFailedError, send_message
from robonav_ray.pipeline.notice_text import MAX_TITLE, body_of, known_secrets, log_tail, shown_line

logger = logging.getLogger(__name__)
MAX_WAITING = 20
"""Notices that wait for a channel's interval; of more, the last ones are kept and the others counted."""
CHECK_S = 30.0
"""The longest that apprise may take to say whether it knows a URL."""
_WORDS: dict[Event, str] = {"start": "started", "end": "ended", "failure": "failed"}
Send = Callable[[str, Message | None, float], None]


class NoticeError(UserError):
    """A channel cannot be used; the message names it, and never its URL."""


@dataclass(frozen=True)
class Notice:
    """Something to be told."""

    event: Event
    text: str
    """What has happened, in a few lines."""
    log: tuple[str, ...] = ()
    """Last lines of the log."""
    picture: str | None = None
    """Path of one."""


@dataclass(frozen=True)
class Told:
    """What became of the notices of a channel."""

    channel: str
    sent: int
    failed: int
    why: str | None
    """Why the last one failed."""


class Waiting:
    """The notices that wait for one channel: at most one goes out in an interval, and no end and no failure is lost."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last: float | None = None
        self._notices: list[Notice] = []
        self._num_more = 0

    def __len__(self) -> int:
        return len(self._notices) + self._num_more

    def add(self, notice: Notice) -> None:
        """Have a notice wait. A start that waits gives way to whatever comes after it."""
        self._notices = [one for one in self._notices if one.event != "start"]
        self._notices.append(notice)
        if len(self._notices) > MAX_WAITING:
            del self._notices[0]
            self._num_more += 1

    def due_in(self, now: float) -> float | None:
        """Return the seconds until the next notice may go out; None where none waits."""
        if not self._notices:
            return None
        return 0.0 if self._last is None else max(0.0, self._last + self._interval_s - now)

    def take(self, now: float) -> Notice | None:
        """Return all that waits as one notice; None where nothing does."""
        waiting, more = self._notices, self._num_more
        self._notices, self._num_more = [], 0
        if not waiting:
            return None
        self._last = now
        last = waiting[-1]
        texts = [one.text for one in waiting] + ([f"and {more} before these"] if more else [])
        failed = next((one for one in reversed(waiting) if one.event == "failure"), None)
        pictures = [one.picture for one in waiting if one.picture is not None]
        return Notice(
            "failure" if failed is not None else last.event,
            "\n".join(texts),
            () if failed is None else failed.log,
            pictures[-1] if pictures else None,
        )


def open_notifier(config: NotifyConfig, name: str) -> Notifier:
    """Return what tells of the pipeline ``name``, after each channel was looked at.

    Raises:
        NoticeError: Naming the channel whose URL is not there, or that apprise does not know; or the extra to install.
    """
    check_channels(config)
    return Notifier(config, name)


def check_channels(config: NotifyConfig, send: Send = send_message) -> None:
    """Look at each channel before any work; raises as ``open_notifier`` does."""
    if config.channels and importlib.util.find_spec("apprise") is None:
        raise NoticeError(
            "notify.channels: notices need apprise, which is not installed: `pip install 'robonav_ray[notify]'` brings "
            "it; or leave notify out"
        )
    for name, channel in config.channels.items():
        url = _url_of(name, channel)
        try:
            send(url, None, CHECK_S)
        except SendFailedError as error:
            raise NoticeError(f"notify.channels.{name}: {_source(channel)} {error}") from None


class Notifier:
    """Tells channels of a pipeline; made by ``open_notifier``. Any thread may call it."""

    def __init__(
        self,
        config: NotifyConfig,
        name: str,
        *,
        send: Send = send_message,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._name = config, name
        self._channels = [_Channel(one, config, self._title, send, now) for one in config.channels]

    def started(self, text: str) -> None:
        """Tell that it has started; returns at once, as all of these do, and raises nothing."""
        self.tell(Notice("start", text))

    def ended(self, text: str, picture: Path | None = None) -> None:
        """Tell that it has ended."""
        self.tell(Notice("end", text, picture=None if picture is None else str(picture)))

    def failed(self, text: str, log: Path | Sequence[str] = (), picture: Path | None = None) -> None:
        """Tell that something has failed, with the last lines of ``log``, a file or lines."""
        try:
            lines = log_tail(log, self._config.log_lines) if isinstance(log, Path) else list(log)
        except OSError as error:
            lines = [f"(the log cannot be read: {sentence(error)})"]
        kept = tuple(lines[-self._config.log_lines :]) if self._config.log_lines else ()
        self.tell(Notice("failure", text, kept, None if picture is None else str(picture)))

    def tell(self, notice: Notice) -> None:
        """Have a notice go out on each channel that is told of such an event."""
        for channel in self._channels:
            if notice.event not in self._config.events_of(channel.name):
                continue
            try:
                channel.add(notice if self._config.picture else replace(notice, picture=None))
            except RuntimeError as error:  # no thread can be started any more
                logger.warning("notify.channels.%s: a notice was not sent: %s", channel.name, error)

    def close(self) -> list[Told]:
        """Send what waits at once, and return what became of the notices; takes twice ``notify.timeout_s`` at most."""
        until = time.monotonic() + 2.0 * self._config.timeout_s
        for channel in self._channels:
            channel.hurry()
        return [channel.close(max(0.0, until - time.monotonic())) for channel in self._channels]

    def _title(self, event: Event) -> str:
        return shown_line(f"robonav: {self._name} has {_WORDS[event]}", most=MAX_TITLE)


class _Channel:
    """One channel: what waits for it, and the thread that sends it."""

    def __init__(
        self,
        name: str,
        config: NotifyConfig,
        title: Callable[[Event], str],
        send: Send,
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self._source, self._timeout_s = config.channels[name], config.timeout_s
        self._title, self._send, self._now = title, send, now
        self._waiting = Waiting(config.interval_s)
        self._changed = threading.Condition()
        self._closing = False
        self._sent, self._failed, self._sending, self._why = 0, 0, 0, None
        self._thread: threading.Thread | None = None

    def add(self, notice: Notice) -> None:
        with self._changed:
            if self._closing:
                return
            self._waiting.add(notice)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"notices-{self.name}", daemon=True)
                self._thread.start()
            self._changed.notify()

    def hurry(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, timeout_s: float) -> Told:
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._changed:
            left = self._sending + len(self._waiting)
            if left:
                self._fail(f"no answer within {2.0 * self._timeout_s:g} s", left)
                self._sending = 0
            return Told(self.name, self._sent, self._failed, self._why)

    def _work(self) -> None:
        while (notice := self._next()) is not None:
            try:
                self._send_one(notice)
                why = None
            except (SendFailedError, NoticeError) as error:
                why = str(error)
            except Exception as error:  # noqa: BLE001  a notice ends no run, and what was raised may hold the URL
                why = f"failed with {type(error).__name__}"
            with self._changed:
                if not self._sending:  # given up meanwhile
                    return
                if why is None:
                    self._sent += self._sending
                else:
                    self._fail(why, self._sending)
                self._sending = 0

    def _next(self) -> Notice | None:
        """Wait for the next notice that may go out; None when all is told and nothing will come."""
        with self._changed:
            while True:
                due_s, now = self._waiting.due_in(self._now()), self._now()
                if due_s == 0.0 or (due_s is not None and self._closing):
                    self._sending = len(self._waiting)
                    return self._waiting.take(now)
                if self._closing:
                    return None
                self._changed.wait(due_s)

    def _send_one(self, notice: Notice) -> None:
        url = _url_of(self.name, self._source)
        secrets = known_secrets([url])
        message = Message(
            self._title(notice.event),
            body_of([notice.text], notice.log, secrets),
            notice.event == "failure",
            notice.picture,
        )
        self._send(url, message, self._timeout_s)

    def _fail(self, why: str, number: int) -> None:
        self._failed += number
        self._why = why
        logger.warning("notify.channels.%s: a notice was not sent: %s", self.name, why)


def _source(channel: NotifyChannel) -> str:
    return f"the URL in the variable {channel.env}" if channel.env else f"the URL in {channel.file}"


def _url_of(name: str, channel: NotifyChannel) -> str:
    """Return a channel's URL; NoticeError, without any of it, where there is none."""
    if channel.env is not None:
        if url := os.environ.get(channel.env, "").strip():
            return url
        raise NoticeError(
            f"notify.channels.{name}.env: the environment variable {channel.env} is not set; set it to the channel's "
            "URL, or leave the channel out"
        )
    assert channel.file is not None  # the config has one of the two
    try:
        lines = [line.strip() for line in read_text(Path(channel.file), 10_000, follow=True).splitlines()]
    except OSError as error:
        raise NoticeError(f"notify.channels.{name}.file: {sentence(error)}") from None
    found = [line for line in lines if line and not line.startswith("#")]
    if len(found) != 1:
        raise NoticeError(
            f"notify.channels.{name}.file: {channel.file} holds {len(found)} lines, and one URL belongs there"
        )
    return found[0]
