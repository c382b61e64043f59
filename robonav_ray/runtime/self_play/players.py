"""Members of a run's league, by the words of people, ready to play."""

from __future__ import annotations

import difflib
import logging
import os
from dataclasses import dataclass

from robonav_ray.algo.policy import Policy
from robonav_ray.config.load import ConfigError
from robonav_ray.evaluation.together import Obstacle
from robonav_ray.league.exploiters import Exploit
from robonav_ray.league.member import LeagueError, Member
from robonav_ray.league.snapshots import MissingSnapshotError, encoded
from robonav_ray.records import PolicySnapshot
from robonav_ray.registry.by_name import located
from robonav_ray.registry.names import model_named
from robonav_ray.runs.policies import make_ready, read_policy
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runtime.self_play.exploit_log import EXPLOITS_FILE, exploits_in, read_exploits
from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun, lines_of
from robonav_ray.runtime.self_play.member_store import FOLDER
from robonav_ray.worlds.kernels.layout import DRIVERS

logger = logging.getLogger(__name__)
NEWEST, BEST = "newest", "best"
SCRIPTS = DRIVERS[1:]
"""Names of players that the worlds drive by themselves."""


@dataclass(frozen=True)
class LeaguePlayer:
    """One that can sit in the robots of the run's worlds."""

    id: str
    """Of the member; of a policy from elsewhere what it was called by."""
    shown: str
    """With what it is: ``main-0004 (best)``."""
    plays: Policy | Obstacle | str
    """A policy, greedy, as a robot or as an obstacle, or the name of a driver of the worlds."""
    content: str
    """What it does, as one word: a hash of its weights, or the driver's name."""


class LeaguePlayers:
    """All that can play in the worlds of a run with a league: its members, those that have left it too, scripts, and
    policies of other runs.
    """

    def __init__(self, found: LeagueOfRun, task: Task | None = None) -> None:
        """Load nothing yet.

        Raises:
            ConfigError: When the run's worlds are not ours, or each has one robot.
        """
        config = found.run.config
        if not config.env.is_native or config.env.world.num_robots < 2:
            raise ConfigError(f"{found.shown}: members of a league play in worlds of ours with two robots or more")
        self._found, self._config = found, config
        self.task = task or describe_task(config)
        """Of the run."""
        trained = _trained(found)
        self._exploits = {one.id: (one, sha256) for one, sha256 in trained}  # the league meets them later
        self._obstacles = {one.id for one in found.league.exploiters.found if one.role == "obstacle"}
        self._obstacles |= {one.id for one, _ in trained if one.role == "obstacle"}
        self._loaded: dict[str, LeaguePlayer] = {}

    @property
    def words(self) -> tuple[str, ...]:
        """What ``named`` takes, beside runs and models."""
        ids = [member.id for member in self._found.league.pool.members]
        return tuple(dict.fromkeys((NEWEST, BEST, *ids, *SCRIPTS)))

    def named(self, word: str) -> LeaguePlayer:
        """Return the player that ``word`` means: a member's id, ``newest``, ``best``, a script in any case, a run or a
        model.

        Raises:
            UserError: When it means none, or one that cannot act in these worlds.
        """
        lower = word.lower()
        if lower in (NEWEST, BEST):
            return self.of(self._snapshot(lower))
        known = {member.id: member for member in self._found.league.pool.lineage}
        for exploit, sha256 in self._exploits.values():
            known.setdefault(exploit.id, Member(exploit.id, "exploiter", None, exploit.used_env_steps, sha256))
        if word in known:
            return self.of(known[word])
        for id_, member in known.items():
            if id_.lower() == lower:
                return self.of(member)
        if lower in SCRIPTS:
            return LeaguePlayer(lower, lower, lower, lower)
        if "/" in word or os.path.lexists(word) or model_named(word) is not None:
            if word not in self._loaded:
                self._loaded[word] = self._elsewhere(word)
            return self._loaded[word]
        near = difflib.get_close_matches(word, self.words, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}? There are" if near else "there are"
        raise LeagueError(
            f"{word!r} is no member of the league of {self._found.shown}; {meant} {', '.join(self.words)}; of other "
            "runs name the directory, or NAME@champion"
        )

    def of(self, member: Member) -> LeaguePlayer:
        """Return a member as a player; the policy that learns is that of the checkpoint.

        Raises:
            UserError: When its weights are missing, damaged, or of another network.
        """
        if member.id not in self._loaded:
            self._loaded[member.id] = self._load(member)
        return self._loaded[member.id]

    def _load(self, member: Member) -> LeaguePlayer:
        league = self._found.league
        told = [role for role, one in ((NEWEST, league.newest), (BEST, league.best)) if one == member]
        shown = f"{member.id} ({', '.join(told)})" if told else member.id
        if member.role == "scripted":
            if member.id not in SCRIPTS:
                raise LeagueError(f"{member.id}: no driver of our worlds has this name; there are {', '.join(SCRIPTS)}")
            return LeaguePlayer(member.id, shown, member.id, member.id)
        if member.sha256 is None:
            snapshot = read_policy(self._found.checkpoint, "online")
            return LeaguePlayer(member.id, shown, self._acts(snapshot, member), hash_of(snapshot))
        try:
            snapshot = self._found.store.get(member.sha256)
        except MissingSnapshotError as error:
            raise LeagueError(f"{member.id}: cannot play: {error}") from None
        except OSError as error:
            raise LeagueError(f"{member.id}: cannot play: its weights cannot be read now ({error})") from None
        return LeaguePlayer(member.id, shown, self._acts(snapshot, member), member.sha256)

    def _acts(self, snapshot: PolicySnapshot, member: Member) -> Policy | Obstacle:
        policy = make_ready(snapshot, self._config, self.task, member.id)
        learns_as = None if self._config.league is None else self._config.league.role
        is_obstacle = member.id in self._obstacles or (member.role == "main" and learns_as == "obstacle")
        return Obstacle(policy) if is_obstacle else policy

    def _snapshot(self, which: str) -> Member:
        league = self._found.league
        member = league.newest if which == NEWEST else league.best
        if member is None:
            raise LeagueError(
                f"{which}: the league of {self._found.shown} has no snapshot yet; name {league.learner}, the policy "
                "that learns, or a script"
            )
        return member

    def _elsewhere(self, where: str) -> LeaguePlayer:
        """Return the policy of another run or of a model; its network may be another one."""
        with located(where) as found:
            config = found.run.config
            task = describe_task(config)
            for what, theirs, ours in (
                ("observations of {} numbers", task.obs_dim, self.task.obs_dim),
                ("{} actions", task.num_actions, self.task.num_actions),
            ):
                same = task.shows_the_same(self.task, config.algo) if "observations" in what else theirs == ours
                if not same:
                    raise LeagueError(
                        f"{where}: has {what.format(theirs)}, and the robots of {self._found.shown} have "
                        f"{what.format(ours)}: it cannot drive them"
                    )
            snapshot = read_policy(found.checkpoint, config.evaluation.weights)
            return LeaguePlayer(where, where, make_ready(snapshot, config, task, where), hash_of(snapshot))


def _trained(found: LeagueOfRun) -> list[tuple[Exploit, str]]:
    """Return the best responses of a run, here or in its storage, each with the hash of its weights."""
    if found.uri is None:
        return read_exploits(str(found.run.path))
    try:
        return exploits_in(lines_of(found, f"{FOLDER}/{EXPLOITS_FILE}"), found.shown)
    except OSError as error:
        logger.warning("the exploiters of %s cannot play: %s", found.shown, error)
        return []


def hash_of(snapshot: PolicySnapshot) -> str:
    """Return the hash of weights, as that of a member's snapshot is made."""
    return encoded(dict(zip(snapshot.names, snapshot.arrays, strict=True)))[0]
