"""Members of a league in one world, for a film or a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.evaluation.played_case import NamedPlayer, PlayedCase, watch_case
from robonav_ray.league.member import LeagueError
from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun
from robonav_ray.runtime.self_play.matches import played_stage, stage_last
from robonav_ray.runtime.self_play.players import LeaguePlayers
from robonav_ray.worlds.cases import load_cases
from robonav_ray.worlds.kernels.layout import STEP_LIMIT
from robonav_ray.worlds.vector_env import NavVectorEnv

_LOOKED_AT = 256
"""Cases among which one with enough robots is looked for."""


def play_members(
    found: LeagueOfRun,
    words: Sequence[str],
    *,
    case: int | None = None,
    seed: int | None = None,
    stage: int | None = None,
) -> PlayedCase:
    """Let members of the league of ``found`` play one case in the robots of a world, each in as many as the next.

    Args:
        found: A run with a league.
        words: As ``LeaguePlayers.named`` takes them; none of them takes the newest and the best.
        case: Number of the world under the seed, or of the case in ``env.world.cases``; None takes the first with a
            robot for each member.
        seed: Of the worlds and of who sits where; None takes that of the held-out worlds (``evaluation.seed``).
        stage: Number of the stage; None takes the last, or the one that the run is held in.

    Raises:
        UserError: For words that name no players here, more of them than robots, or a case that there is not.
    """
    known = LeaguePlayers(found)
    config, task = found.run.config, known.task
    stage = played_stage(config) if stage is None else stage
    worlds = _Worlds(
        config.env.world, stage_last(task, stage), config.evaluation.seed if seed is None else seed, config.algo.gamma
    )
    players = list({(one := known.named(word)).id: one for word in (words or _newest_and_best(found))}.values())
    number = worlds.case_for(len(players), case)
    cast = [players[i % len(players)].plays for i in range(worlds.world.num_robots)]
    return watch_case(
        worlds.make,
        cast,
        number,
        worlds.seed,
        dt_s=worlds.world.dt_s,
        title=f"{task.stage_names[stage]}, case {number}",
        players=[NamedPlayer(player.id, player.shown) for player in players],
    )


class _Worlds(NamedTuple):
    """The worlds of a stage."""

    world: WorldConfig
    levels: tuple[LevelConfig, ...]
    """The last one is played."""
    seed: int
    gamma: float

    def make(self, first: int, num: int) -> NavVectorEnv:
        """Return the cases from ``first`` on, which have not begun."""
        env = NavVectorEnv(num * self.world.num_robots, world=self.world, levels=self.levels, seed=self.seed,
                           first_world=first, gamma=self.gamma, autoreset_mode=AutoresetMode.DISABLED)  # fmt: skip
        env.set_level(len(self.levels) - 1)
        return env

    def case_for(self, num_players: int, asked: int | None) -> int:
        """Return the case that is ``asked`` for, else the first with ``num_players`` robots; LeagueError when it has
        fewer.
        """
        num = _LOOKED_AT if self.world.cases is None else len(load_cases(self.world)[0])
        if asked is not None and (asked < 0 or (self.world.cases is not None and asked >= num)):
            raise LeagueError(f"--case {asked}: there is none; give a number from 0 to {num - 1}")
        env = self.make(0 if asked is None else asked, num if asked is None else 1)
        env.reset()
        robots = (env.worlds.state.lane[..., STEP_LIMIT] > 0).sum(axis=1)
        if int(robots.max()) < num_players:
            most = int(robots.max())
            has = f"no case has more than {most} robots" if asked is None else f"case {asked} has {most} robots"
            raise LeagueError(
                f"{num_players} members, and {has}: name fewer, or another case or stage (--case, --stage)"
            )
        return int(np.argmax(robots >= num_players)) if asked is None else asked


def _newest_and_best(found: LeagueOfRun) -> list[str]:
    newest, best = found.league.newest, found.league.best
    if newest is None or best is None:
        raise LeagueError(
            f"{found.shown}: its league has no snapshot yet; name the members: {found.league.learner}, which learns, "
            "or a script"
        )
    return ["newest"] if newest == best else ["newest", "best"]
