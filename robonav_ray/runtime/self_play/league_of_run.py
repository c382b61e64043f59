"""The league of a run, as its newest checkpoint has it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.config.league import LeagueConfig
from robonav_ray.files.locations import is_uri, name_of
from robonav_ray.files.plain_files import is_plain, read_lines
from robonav_ray.files.storage import exists, join, read_bytes
from robonav_ray.league.league import League
from robonav_ray.league.member import LeagueError
from robonav_ray.ranges import within
from robonav_ray.registry.by_name import located, version_named
from robonav_ray.registry.names import location_word
from robonav_ray.runs.checkpoint import Checkpoint, list_checkpoints, open_checkpoint
from robonav_ray.runs.located import lies_stored, whole_uri
from robonav_ray.runs.run_directory import RunDirectory, open_run
from robonav_ray.runs.stored_notes import LARGEST_NOTE_BYTES, shown
from robonav_ray.runs.stored_runs import stored_run
from robonav_ray.runs.taking_up import taking_up
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.runtime.self_play.start_league import LEAGUE_FILE

_CHECKPOINT = re.compile(r"env-\d{12}")


@dataclass(frozen=True)
class LeagueOfRun:
    """A league, when it was so, and where the weights of its members are."""

    league: League
    run: RunDirectory
    checkpoint: Checkpoint
    """In which it lies; it has the policy that learns, too."""
    store: MemberStore
    uri: str | None = None
    """Where the run lies in a storage, when that is what was named: ``run`` is then a copy of its configs alone, which
    goes with the block."""

    @property
    def env_steps(self) -> int:
        """Of the checkpoint."""
        return self.checkpoint.counters.env_steps

    @property
    def shown(self) -> str:
        """The run as a person would type it here."""
        return self.run.shown if self.uri is None else shown(self.uri)


def lines_of(found: LeagueOfRun, name: str) -> list[bytes]:
    """Return the lines of the file ``name`` of a run, here or in its storage; none where there is no such file.

    Raises:
        OSError: When it cannot be read, or is no plain file.
    """
    if found.uri is not None:
        place = join(found.uri, name)
        return read_bytes(place, LARGEST_NOTE_BYTES).splitlines() if exists(place) else []
    try:
        return list(read_lines(found.run.path / name))
    except FileNotFoundError:
        return []


def league_of(run: RunDirectory) -> LeagueOfRun:
    """Return the league of ``run``; its scripted members and seeds are those that the run had.

    Raises:
        LeagueError: When the run has none, or no checkpoint of it holds one yet.
        CheckpointError: When the checkpoint is damaged, or the state in it.
    """
    _refuse_without(run, run.shown)
    for path in reversed(list_checkpoints(run.checkpoints)):
        if is_plain(path / LEAGUE_FILE):
            return _league_in(run, open_checkpoint(path), run.shown)
    raise LeagueError(f"{run.shown}: no checkpoint holds its league yet; look again when it has saved one")


@contextlib.contextmanager
def located_league(where: str | Path) -> Iterator[LeagueOfRun]:
    """Give the league of the run that ``where`` names: its directory, one of its checkpoints, or the URI of either.

    Raises:
        LeagueError: When the run has none, or no checkpoint of it holds one yet; when ``where`` is a model.
        UserError: When there is no such run, or its storage does not answer.
    """
    text = whole_uri(str(where))
    if (version := version_named(text)) is not None:
        raise LeagueError(
            f"{version.ref}: a version of a model has no league; name the run that it came from "
            f"({location_word(version.provenance['run_path'])})"
        )
    is_checkpoint = _CHECKPOINT.match(name_of(text) if is_uri(text) else Path(text).name) is not None
    if not is_uri(text) and not is_checkpoint and not lies_stored(Path(text)):
        yield league_of(open_run(Path(text)))
        return
    with located(text, which=None if is_checkpoint else "last") as found:
        yield _league_in(found.run, found.checkpoint, found.shown, found.uri)


def _league_in(run: RunDirectory, checkpoint: Checkpoint, whose: str, uri: str | None = None) -> LeagueOfRun:
    config = _refuse_without(run, whose)
    if not is_plain(checkpoint.path / LEAGUE_FILE):
        raise LeagueError(f"{whose}: {checkpoint.path.name} holds no league; name another checkpoint of the run")
    with taking_up(checkpoint), within(f"{LEAGUE_FILE}: "):
        league = League.restored(config, checkpoint.read_json(LEAGUE_FILE))
    storage = run.config.checkpoint.storage
    stored_at = uri or (None if storage is None else stored_run(storage, run))
    return LeagueOfRun(league, run, checkpoint, MemberStore(str(run.path), stored_at), uri)


def _refuse_without(run: RunDirectory, whose: str) -> LeagueConfig:
    config = run.config.league
    if config is None:
        raise LeagueError(
            f"{whose}: was trained without a league: `robonav train configs/run/league.yaml` trains one with it"
        )
    return config
