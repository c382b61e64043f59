"""A film of members of a league in one world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.evaluation.together import CaseTable, play_cases
from robonav_ray.league.member import LeagueError
from robonav_ray.records import Outcome
from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun
from robonav_ray.runtime.self_play.matches import played_stage, stage_last
from robonav_ray.runtime.self_play.players import LeaguePlayer, LeaguePlayers
from robonav_ray.worlds.cases import load_cases
from robonav_ray.worlds.kernels.layout import STEP_LIMIT
from robonav_ray.worlds.pictures.film import save_gif
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail
from robonav_ray.worlds.play import HOLD_S, show_frames
from robonav_ray.worlds.scene import Scene
from robonav_ray.worlds.vector_env import NavVectorEnv

_FILM_PX, _WINDOW_PX = 480, 720
_LOOKED_AT = 256
"""Cases among which one with enough robots is looked for."""


@dataclass(frozen=True)
class PlayedCase:
    """One case as its players played it."""

    case: int
    title: str
    scenes: tuple[Scene, ...]
    """Of the start, and of each step."""
    table: CaseTable
    """A single row."""
    players: tuple[LeaguePlayer, ...]
    """In the order of their numbers in the table."""
    dt_s: float
    max_steps: int

    def arrived(self) -> dict[str, tuple[int, int]]:
        """Return by player how many of its robots arrived, and how many it had."""
        seat, good = self.table.player[0], self.table.outcome[0] == Outcome.SUCCESS
        return {
            player.id: (int((good & (seat == k)).sum()), int((seat == k).sum()))
            for k, player in enumerate(self.players)
        }


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
    scenes = list[Scene]()

    def make(first: int, num: int) -> NavVectorEnv:
        before, env = worlds.make(first, num), worlds.make(first, num)
        before.reset()
        scenes.append(before.worlds.scene(0))
        env.watch = lambda: scenes.append(env.worlds.scene(0))
        return env

    table = play_cases(make, cast, 1, worlds.seed, first_case=number)
    seats = table.player[0][table.player[0] >= 0]
    return PlayedCase(
        case=number,
        title=f"{task.stage_names[stage]}, case {number}",
        scenes=tuple(replace(scene, player=seats) for scene in scenes),
        table=table,
        players=tuple(players),
        dt_s=worlds.world.dt_s,
        max_steps=len(scenes) - 1,
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


def film_case(played: PlayedCase, path: Path) -> int:
    """Write the case as a GIF, whole or not at all; return how many pictures it has."""

    def frames() -> Iterator[np.ndarray]:
        frame = np.zeros(0, np.uint8)
        for frame in _frames(played, _FILM_PX):
            yield frame
        for _ in range(round(HOLD_S / played.dt_s)):
            yield frame

    path.parent.mkdir(parents=True, exist_ok=True)
    return save_gif(frames(), path, fps=min(50.0, round(1 / played.dt_s)))


def show_case(played: PlayedCase) -> None:
    """Show the case in a window, in real time; DependencyNotInstalled without pygame-ce."""
    show_frames(_frames(played, _WINDOW_PX), fps=1 / played.dt_s, title=played.title)


def _frames(played: PlayedCase, size_px: int) -> Iterator[np.ndarray]:
    names = [player.shown for player in played.players]
    renderer = SceneRenderer(size_px, played.title, max_steps=played.max_steps, players=names)
    trail = Trail()
    for scene in played.scenes:
        trail.add(scene)
        yield renderer.render(scene, trail)
