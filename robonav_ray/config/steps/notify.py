"""Who is told that a pipeline has started, ended or failed. A channel's URL is a secret: it stands in no config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from robonav_ray.config.base import Section

Event = Literal["start", "end", "failure"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_PATH = 1000
MAX_CHANNELS = 20


class NotifyChannel(Section):
    """Where one channel's URL stands, as apprise writes it (``slack://``, ``mailto://``, ``json://``): ``env`` or
    ``file``.
    """

    env: str | None = None
    """Name of the environment variable that holds the URL."""
    file: str | None = None
    """File that holds the URL and nothing else."""
    events: tuple[Event, ...] | None = None
    """What this channel is told of; null: what ``notify.events`` says."""

    @model_validator(mode="before")
    @classmethod
    def _is_no_url(cls, data: Any) -> Any:
        if not isinstance(data, Mapping | NotifyChannel):  # it may be the URL, so it is not repeated
            raise ValueError("is a section: env names the environment variable that holds the URL, or file a file")
        if isinstance(data, Mapping) and ("url" in data or "uri" in data):
            raise ValueError(
                "url: a URL is a secret, and a config is written down: set an environment variable, and env to its name"
            )
        return cast("Any", data)

    @field_validator("env")
    @classmethod
    def _names_a_variable(cls, env: str | None) -> str | None:
        if env is not None and _VARIABLE.fullmatch(env) is None:  # not repeated: it may be the URL
            raise ValueError("is no name of an environment variable (A-Z, 0-9, _); the URL stands in the variable")
        return env

    @field_validator("file")
    @classmethod
    def _names_a_file(cls, file: str | None) -> str | None:
        if file is not None and ("://" in file or not file.strip() or not file.isprintable() or len(file) > _MAX_PATH):
            raise ValueError("is no path of a file; the URL stands in the file")
        return file

    @model_validator(mode="after")
    def _one_of_the_two(self) -> NotifyChannel:
        if (self.env is None) == (self.file is None):
            raise ValueError("set env (the name of an environment variable) or file, one of the two")
        return self


class NotifyConfig(Section):
    """Notices by Slack, e-mail and whatever else apprise knows; the extra ``notify`` brings it.

    What cannot be sent is said in the log; no run waits for it, or ends by it.
    """

    channels: dict[str, NotifyChannel] = Field(default_factory=dict[str, NotifyChannel])
    """Channels by a name of your own."""
    events: tuple[Event, ...] = ("start", "end", "failure")
    """What is told: the start, the end, and each failure with the last lines of the log."""
    interval_s: float = Field(default=600.0, ge=0.0)
    """Seconds between two notices of a channel. What comes earlier waits and goes out as one; at the end of the command
    it goes out at once. A start that waits gives way to an end or a failure."""
    picture: bool = True
    """Send a picture along where there is one, and the channel takes it."""
    log_lines: int = Field(default=15, ge=0, le=100)
    """Last lines of the log in a notice of a failure, without the secrets that are known."""
    timeout_s: float = Field(default=20.0, gt=0.0, le=120.0)
    """Seconds after which a notice that is not taken is given up."""

    @model_validator(mode="before")
    @classmethod
    def _channels_have_names(cls, data: Any) -> Any:
        channels: Any = cast("Mapping[str, Any]", data).get("channels") if isinstance(data, Mapping) else None
        if isinstance(channels, Mapping):
            names = list(cast("Mapping[Any, Any]", channels))
            if len(names) > MAX_CHANNELS:
                raise ValueError(f"channels: are {len(names)}, and {MAX_CHANNELS} are the most")
            if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):  # it may be a URL
                raise ValueError("channels: a channel's name has letters, digits, _, . and - alone, such as team")
        return cast("Any", data)

    @field_validator("events")
    @classmethod
    def _each_once(cls, events: tuple[Event, ...]) -> tuple[Event, ...]:
        return tuple(dict.fromkeys(events))

    def events_of(self, channel: str) -> tuple[Event, ...]:
        """Return what a channel is told of."""
        events = self.channels[channel].events
        return self.events if events is None else events
