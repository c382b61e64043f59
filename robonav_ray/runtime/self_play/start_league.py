"""What the league of a run session is made from, and its place in checkpoints."""

from __future__ import annotations

from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.ranges import within
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter
from robonav_ray.runs.taking_up import taking_up
from robonav_ray.runtime.over_ray.events import EventLog
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.runtime.self_play.run_league import LeagueParts, RunLeague
from robonav_ray.runtime.self_play.seeds import take_seeds
from robonav_ray.runtime.wiring import RunSession

LEAGUE_FILE = "league.json"
"""In checkpoints."""


def league_parts(session: RunSession, match_share: float = 1.0) -> LeagueParts | None:
    """Return what the league of a run is made from; None where its config has none. ``match_share``: see
    ``MatchOrder.share``.

    Raises:
        UserError: When a member of another run cannot be found, or cannot act here.
        OSError: When the weights of one cannot be kept.
    """
    if session.config.league is None:
        return None
    home, checkpoint = session.run.path.absolute(), session.checkpoint
    elsewhere: list[str] = []
    if checkpoint is not None and not checkpoint.path.absolute().is_relative_to(home):
        elsewhere.append(str(checkpoint.path.parent.parent))  # a trial that goes on from another one
    store = MemberStore(str(home), None if session.notes is None else session.notes.location, elsewhere)
    seeds = take_seeds(session.config, session.task, session.run, store)
    return LeagueParts(session.config.league, store, seeds, session.config, match_share)


def start_league(session: RunSession, curriculum: Curriculum) -> RunLeague | None:
    """Return the league of a run in this process, as ``session.checkpoint`` has it; None where its config has none. The
    gates of ``curriculum`` may ask for matches.

    Raises:
        UserError: As ``league_parts``, and when the checkpoint does not fit.
        OSError: As ``league_parts``.
    """
    parts = league_parts(session)
    if parts is None:
        return None
    league, checkpoint = RunLeague(parts, EventLog(session.run.path).note, curriculum=curriculum), session.checkpoint
    if checkpoint is not None and has_league(checkpoint):
        with taking_up(checkpoint), within(f"{LEAGUE_FILE}: "):
            league.load_state_dict(checkpoint.read_json(LEAGUE_FILE))
    return league


def save_league(league: RunLeague, writer: CheckpointWriter) -> None:
    """Write everything but weights into a checkpoint, and have the run's storage hold all weights that it names;
    OSError when one cannot be.
    """
    state = league.state_dict()
    league.store.store(state)
    writer.write_json(LEAGUE_FILE, state)


def has_league(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint was made by a run with a league."""
    return (checkpoint.path / LEAGUE_FILE).is_file()
