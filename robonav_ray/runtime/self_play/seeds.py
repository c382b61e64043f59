"""Policies of other runs as members of a league (``league.members``): vetted before anything is made, kept by content
when the run begins, and looked up there from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.league.member import Member, member_dict, read_member
from robonav_ray.ranges import RangeError, require
from robonav_ray.records import PolicySnapshot
from robonav_ray.registry.by_name import located
from robonav_ray.runs.checkpoint import CheckpointError
from robonav_ray.runs.policies import make_ready, read_policy
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runtime.self_play.member_store import MemberStore

SEEDS_FILE = "league_members.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seed:
    """A policy of another run."""

    where: str
    """As ``league.members`` names it; its id."""
    env_steps: int
    snapshot: PolicySnapshot


def find_seed(where: str, config: RunConfig, task: Task) -> Seed:
    """Return the policy of the run or model ``where``, which can act in the worlds of ``config``.

    Raises:
        ConfigError: Naming ``league.members``, when its observations, actions or network are others.
        UserError: When there is no such run, or none of its checkpoints is whole.
    """
    with located(where) as found:
        before = describe_task(found.run.config)
        for what, theirs, ours in (
            ("observations of {} numbers", before.obs_dim, task.obs_dim),
            ("{} actions", before.num_actions, task.num_actions),
        ):
            if theirs != ours:
                raise ConfigError(
                    f"league.members: {where} has {what.format(theirs)}, and this run's robots have "
                    f"{what.format(ours)}: give both the same env section, or leave it out"
                )
        snapshot = read_policy(found.checkpoint, found.run.config.evaluation.weights)
        try:
            make_ready(snapshot, config, task, where)
        except CheckpointError as error:
            raise ConfigError(
                f"league.members: {error}; members act with the network of this run: give both the same algo section, "
                "or leave it out"
            ) from None
        return Seed(where, found.checkpoint.counters.env_steps, snapshot)


def check_league(config: RunConfig, task: Task) -> None:
    """Refuse members that cannot act in the run's worlds; nothing is made.

    Raises:
        UserError: Naming the member and what to do.
    """
    for where in () if config.league is None else config.league.members:
        find_seed(where, config, task)


def take_seeds(config: RunConfig, task: Task, run: RunDirectory, store: MemberStore) -> list[Member]:
    """Return the members that ``league.members`` names; what this run has not met before is found and kept.

    Raises:
        UserError: When one cannot be found, or cannot act here.
        OSError: When one cannot be kept.
    """
    if config.league is None:
        return []
    known = _noted(run)
    for where in config.league.members:
        if where not in known:
            seed = find_seed(where, config, task)
            known[where] = Member(where, "seed", step=seed.env_steps, sha256=store.put(seed.snapshot))
            _note(run, known.values())
    return [known[where] for where in config.league.members]


def keep_seed(seed: Seed, run: RunDirectory, store: MemberStore) -> None:
    """Have a new run hold a policy that its ``league.members`` names by ``seed.where``; OSError when that cannot be."""
    _note(run, [Member(seed.where, "seed", step=seed.env_steps, sha256=store.put(seed.snapshot))])


def _note(run: RunDirectory, members: Iterable[Member]) -> None:
    run.write_json(SEEDS_FILE, {"members": [member_dict(member) for member in members]})


def _noted(run: RunDirectory) -> dict[str, Member]:
    """Return by id the members that earlier sessions have kept; none where their note is damaged."""
    members = run.read_json(SEEDS_FILE).get("members", [])
    try:
        require(isinstance(members, list), "members: is no list")
        found = [read_member(f"members[{i}]", value) for i, value in enumerate(members)]
        require(all(member.role == "seed" for member in found), "members: one is no seed")
    except RangeError as error:
        logger.warning("%s: %s; league.members are looked up anew", run.path / SEEDS_FILE, error)
        return {}
    return {member.id: member for member in found}
