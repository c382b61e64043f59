"""The league of a run, as its newest checkpoint has it."""

from __future__ import annotations

from typing import NamedTuple

from robonav_ray.files.plain_files import is_plain
from robonav_ray.league.league import League
from robonav_ray.league.member import LeagueError
from robonav_ray.ranges import within
from robonav_ray.runs.checkpoint import list_checkpoints, open_checkpoint
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.taking_up import taking_up
from robonav_ray.runtime.self_play.start_league import LEAGUE_FILE


class LeagueOfRun(NamedTuple):
    """A league, and when it was so."""

    league: League
    env_steps: int
    """Of the checkpoint."""


def league_of(run: RunDirectory) -> LeagueOfRun:
    """Return the league of ``run``; its scripted members and seeds are those that the run had.

    Raises:
        LeagueError: When the run has none, or no checkpoint of it holds one yet.
        CheckpointError: When the checkpoint is damaged, or the state in it.
    """
    config = run.config.league
    if config is None:
        raise LeagueError(
            f"{run.shown}: was trained without a league: `robonav train configs/run/league.yaml` trains one with it"
        )
    for path in reversed(list_checkpoints(run.checkpoints)):
        if is_plain(path / LEAGUE_FILE):
            checkpoint = open_checkpoint(path)
            with taking_up(checkpoint), within(f"{LEAGUE_FILE}: "):
                league = League.restored(config, checkpoint.read_json(LEAGUE_FILE))
            return LeagueOfRun(league, checkpoint.counters.env_steps)
    raise LeagueError(f"{run.shown}: no checkpoint holds its league yet; look again when it has saved one")
