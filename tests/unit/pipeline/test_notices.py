"""Notices: what waits, what goes out, and that no URL is ever shown. The last tests send through apprise itself."""

from __future__ import annotations

import importlib.util
import json
import logging
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from robonav_ray.config.load import ConfigError, check_section, dump_config
from robonav_ray.config.steps.notify import NotifyConfig
from robonav_ray.pipeline.notice_process import Message, SendFailedError, send_message
from robonav_ray.pipeline.notice_text import MAX_BODY, body_of, known_secrets, log_tail, shown_line
from robonav_ray.pipeline.notices import (
    MAX_WAITING,
    Notice,
    NoticeError,
    Notifier,
    Waiting,
    check_channels,
    open_notifier,
)

SECRET = "T0KENOFTHETEAM"
URL = f"json://localhost/{SECRET}"


def config(**keys: Any) -> NotifyConfig:
    return check_section(NotifyConfig, {"channels": {"team": {"env": "TEAM_URL"}}, **keys}, "pipeline.yaml: notify")


class Sent:
    """Takes messages in place of apprise."""

    def __init__(self, fault: Callable[[], None] = lambda: None) -> None:
        self.messages: list[Message] = []
        self.urls: list[str] = []
        self._fault = fault

    def __call__(self, url: str, message: Message | None, timeout_s: float) -> None:
        self.urls.append(url)
        self._fault()
        if message is not None:
            self.messages.append(message)


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", URL)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"channels": {"team": URL}}, "channels.team: is a section"),
        ({"channels": {"team": {"url": URL}}}, "channels.team: url: a URL is a secret"),
        ({"channels": {"team": {"env": URL}}}, "channels.team.env: is no name of an environment variable"),
        ({"channels": {"team": {"file": URL}}}, "channels.team.file: is no path of a file"),
        ({"channels": {URL: {"env": "TEAM_URL"}}}, "channels: a channel's name has letters"),
        ({"channels": {"team": {}}}, "set env .* or file, one of the two"),
        ({"channels": {"team": {"env": "A", "file": "b"}}}, "set env .* or file, one of the two"),
        ({"events": ["begin"]}, "events.0"),
        ({"interval_s": -1}, "interval_s"),
    ],
)
def test_a_config_takes_no_url_and_shows_none(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        check_section(NotifyConfig, section, "pipeline.yaml")
    assert SECRET not in str(refused.value)


def test_durations_and_events_of_a_channel() -> None:
    found = config(
        interval_s="10m", channels={"team": {"env": "A"}, "mail": {"file": "mail.url", "events": ["failure"]}}
    )
    assert (found.interval_s, found.events_of("team"), found.events_of("mail")) == (
        600.0, ("start", "end", "failure"), ("failure",),
    )  # fmt: skip
    assert check_section(NotifyConfig, yaml.safe_load(dump_config(found)), "again") == found


def test_one_notice_in_an_interval_and_no_end_is_lost() -> None:
    waiting = Waiting(60.0)
    assert waiting.due_in(0.0) is None
    waiting.add(Notice("start", "a"))
    assert waiting.due_in(0.0) == 0.0
    assert waiting.take(0.0) == Notice("start", "a")
    waiting.add(Notice("start", "again"))
    waiting.add(Notice("failure", "b", ("line",)))
    waiting.add(Notice("end", "c", picture="curves.png"))
    assert (waiting.due_in(10.0), len(waiting)) == (50.0, 2)  # the start has given way
    assert waiting.take(60.0) == Notice("failure", "b\nc", ("line",), "curves.png")
    assert waiting.take(60.0) is None


def test_what_waits_is_bounded() -> None:
    waiting = Waiting(60.0)
    for number in range(MAX_WAITING + 5):
        waiting.add(Notice("failure", str(number)))
    assert len(waiting) == MAX_WAITING + 5
    taken = waiting.take(0.0)
    assert taken is not None
    assert taken.text.splitlines()[0] == "5"
    assert taken.text.splitlines()[-1] == "and 5 before these"


@pytest.mark.usefixtures("team")
def test_notices_go_out_and_the_last_ones_at_the_end(tmp_path: Path) -> None:
    log, sent = tmp_path / "train.log", Sent()
    log.write_text("one\ntwo\n\x1b[31mthree\x1b[0m <!channel> @everyone\n")
    notifier = Notifier(config(interval_s=3600, log_lines=2), "quick", send=sent)
    notifier.started("8 steps")
    notifier.failed("train: seed 1 has failed", log, tmp_path / "curves.png")
    notifier.ended("after 3 min")
    (told,) = notifier.close()
    assert (told.channel, told.failed, told.why) == ("team", 0, None)
    assert 2 <= told.sent <= 3  # a start that the thread has not taken yet gives way
    last = sent.messages[-1]
    assert (last.title, last.is_failure) == ("robonav: quick has failed", True)
    assert last.body.splitlines() == [
        "train: seed 1 has failed", "after 3 min", "", "last lines of the log:", "two",
        "three < (at)channel> (at)everyone",
    ]  # fmt: skip
    assert last.picture == str(tmp_path / "curves.png")
    notifier.ended("too late")  # a closed one takes no more, and says nothing


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("picture", [True, False])
def test_a_picture_is_left_out_where_none_is_wanted(picture: bool, tmp_path: Path) -> None:
    sent = Sent()
    notifier = Notifier(config(picture=picture), "quick", send=sent)
    notifier.ended("done", tmp_path / "curves.png")
    notifier.close()
    assert (sent.messages[0].picture is not None) == picture


@pytest.mark.usefixtures("team")
def test_nothing_is_raised_into_a_run_and_nothing_shows_the_url(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)

    def fault() -> None:
        raise RuntimeError(f"cannot reach {URL}")

    notifier = Notifier(config(interval_s=0), "quick", send=Sent(fault))
    notifier.failed("train", tmp_path / "no.log")
    (told,) = notifier.close()
    assert (told.sent, told.failed, told.why) == (0, 1, "failed with RuntimeError")
    monkeypatch.delenv("TEAM_URL")
    notifier = Notifier(config(), "quick", send=Sent())
    notifier.started("")
    (gone,) = notifier.close()
    assert gone.why is not None
    assert "TEAM_URL is not set" in gone.why
    shown = [caplog.text, repr(notifier), str(vars(notifier)), dump_config(config()), repr(config()), str(told)]
    assert "notify.channels.team: a notice was not sent: failed with RuntimeError" in caplog.text
    assert all(SECRET not in text for text in shown)
    assert SECRET.encode() not in pickle.dumps(config())


@pytest.mark.usefixtures("team")
def test_a_channel_that_hangs_holds_no_run_up() -> None:
    over = threading.Event()
    notifier = Notifier(config(timeout_s=0.05), "quick", send=Sent(lambda: over.wait() and None))
    for _ in range(100):
        notifier.failed("x")
    (told,) = notifier.close()
    over.set()
    assert told.sent == 0
    assert told.failed == 100


def test_a_log_shows_no_secret_and_stays_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    secrets = known_secrets([URL])
    for text in (
        f"posting to {URL}",
        "key 0123456789abcdef was refused",
        "password=hunter22 user=me",
        '{"api_key": "abc def"}',
        "Authorization: Bearer abcdefghij",
        "s3://me:word@bucket/x?token=abc",
        "https://hooks.slack.com/services/T1/B2/abcdef",
        "AKIAABCDEFGHIJKLMNOP",
        "-----BEGIN PRIVATE KEY-----MIIabc",
    ):
        shown = shown_line(text, secrets)
        assert "..." in shown
        assert not any(
            word in shown for word in (SECRET, "0123456789", "hunter", "abc", "def", "word@", "T1/", "ABCDEF", "MII")
        ), shown
    body = body_of(["x" * 5000], [f"line {n} " + "y" * 500 for n in range(500)])
    assert len(body) <= MAX_BODY
    assert "line 499" in body
    assert "\u202e" not in shown_line("\u202eevil")


def test_the_tail_of_a_log_is_read_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 10_000_000 + b"\nlast \xff but one\n\nlast\n")
    assert log_tail(log, 5) == ["last \ufffd but one", "last"]
    assert log_tail(log, 0) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "No such file"), ("", "holds 0 lines"), (f"{URL}\n{URL}", "holds 2 lines"), (f"# mine\n{URL}\n", None)],
)
def test_a_url_from_a_file(text: str | None, says: str | None, tmp_path: Path) -> None:
    path = tmp_path / "team.url"
    if text is not None:
        path.write_text(text)
    found = config(channels={"team": {"file": str(path)}})
    sent = Sent()
    if says is None:
        check_channels(found, sent)
        assert sent.urls == [URL]
        return
    with pytest.raises(NoticeError, match=says) as refused:
        check_channels(found, sent)
    assert SECRET not in str(refused.value)


@pytest.mark.usefixtures("team")
def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoticeError, match=r"pip install 'robonav_ray\[notify\]'"):
        open_notifier(config(), "quick")
    open_notifier(NotifyConfig(), "quick").close()  # no channels, nothing needed


class Answers(BaseHTTPRequestHandler):
    """Keeps what is posted and answers with the status in the path, or after the test."""

    def do_POST(self) -> None:
        posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        server.posted.append(posted)
        if "hang" in self.path:
            server.over.wait(30.0)
        self.send_response(404 if "missing" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    found: Any = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    found.posted, found.over, found.daemon_threads = [], threading.Event(), True
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.over.set()
    found.shutdown()
    found.server_close()
    thread.join()


def test_apprise_sends_a_notice_with_its_picture(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a?b%20 ü.png")
    monkeypatch.setenv("TEAM_URL", f"json://127.0.0.1:{server.server_port}/{SECRET}")
    notifier = open_notifier(config(), "quick")
    notifier.ended("done <b>", tmp_path / "a?b%20 ü.png")
    (told,) = notifier.close()
    assert (told.sent, told.why) == (1, None)
    posted = server.posted[-1]
    assert (posted["title"], posted["message"], posted["type"]) == ("robonav: quick has ended", "done <b>", "info")
    (attached,) = posted["attachments"]
    assert (attached["filename"], attached["mimetype"]) == ("a?b%20 ü.png", "image/png")


def test_what_apprise_cannot_send_is_said_without_the_url(server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    message = Message("title", "body", True, "no such picture.png")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        unused = closed.getsockname()[1]
        faults = {
            f"json://127.0.0.1:{server.server_port}/missing/{SECRET}": "HTTP status 404",
            f"json://127.0.0.1:{unused}/{SECRET}": "was not taken, or not reached",
            f"robonav-no-such://{SECRET}": "is no URL that apprise knows",
            f"json://127.0.0.1:{server.server_port}/hang/{SECRET}?rto=60": "no answer within 1 s",
        }

        def refused(url: str) -> SendFailedError:
            with pytest.raises(SendFailedError) as found:
                send_message(url, message, 1.0 if "hang" in url else 20.0)
            return found.value

        with ThreadPoolExecutor() as pool:
            errors = list(pool.map(refused, faults))
    for error, says in zip(errors, faults.values(), strict=True):
        assert says in str(error)
        assert SECRET not in f"{error} {error.__context__}"
    assert SECRET not in "".join(capfd.readouterr())
