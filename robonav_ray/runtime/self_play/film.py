"""A film of members of a league in one world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from gymnasium.vector import AutoresetMode

from robonav_ray.evaluation.together import CaseTable, play_cases
from robonav_ray.league.member import LeagueError
from robonav_ray.records import Outcome
from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun
from robonav_ray.runtime.self_play.players import LeaguePlayer, LeaguePlayers, cast_of
from robonav_ray.worlds.cases import load_cases
from robonav_ray.worlds.pictures.film import save_gif
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail
from robonav_ray.worlds.play import HOLD_S, show_frames
from robonav_ray.worlds.scene import Scene
from robonav_ray.worlds.vector_env import NavVectorEnv

_FILM_PX, _WINDOW_PX = 480, 720
_MOST_STEPS = 5_000


@dataclass(frozen=True)
class PlayedCase:
    """One case as its players played it."""

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
    found: LeagueOfRun, words: Sequence[str], *, case: int = 0, seed: int | None = None, stage: int | None = None
) -> PlayedCase:
    """Let members of the league of ``found`` play one case in the robots of a world, each in as many as the next.

    Args:
        found: A run with a league.
        words: As ``LeaguePlayers.named`` takes them; none of them takes the newest and the best.
        case: Number of the world under the seed, or of the case in ``env.world.cases``.
        seed: Of the worlds and of who sits where; None takes that of the held-out worlds (``evaluation.seed``).
        stage: Number of the stage; None takes the last.

    Raises:
        UserError: For words that name no players here, more of them than robots, or a case that there is not.
    """
    known = LeaguePlayers(found)
    config, task = found.run.config, known.task
    world, seed = config.env.world, config.evaluation.seed if seed is None else seed
    if case < 0 or (world.cases is not None and case >= len(load_cases(world)[0])):
        raise LeagueError(f"--case {case}: there is none; give a number from 0, and below that of env.world.cases")
    stage = len(task.levels) - 1 if stage is None else stage
    level = task.levels[stage]
    num_robots = level.num_robots or world.num_robots
    players = [known.named(word) for word in (words or _newest_and_best(found))]
    cast = [player.plays for player in cast_of(players, num_robots)]
    cast += [cast[0]] * (world.num_robots - num_robots)  # seats without a robot
    levels = (*(other for other in task.levels if other is not level), level)
    scenes = list[Scene]()

    def make(first: int, num: int) -> NavVectorEnv:
        def worlds() -> NavVectorEnv:
            env = NavVectorEnv(num * world.num_robots, world=world, levels=levels, seed=seed, first_world=first,
                               gamma=config.algo.gamma, autoreset_mode=AutoresetMode.DISABLED)  # fmt: skip
            env.set_level(len(levels) - 1)
            return env

        before, env = worlds(), worlds()
        before.reset()
        scenes.append(before.worlds.scene(0))
        env.watch = lambda: scenes.append(env.worlds.scene(0))
        return env

    table = play_cases(make, cast, 1, seed, first_case=case)
    seats = table.player[0][table.player[0] >= 0]
    unique = list(dict.fromkeys(player.id for player in players))
    by_id = {player.id: player for player in players}
    title = f"{task.stage_names[stage]}, case {case}"
    return PlayedCase(
        title=title,
        scenes=tuple(replace(scene, player=seats) for scene in scenes),
        table=table,
        players=tuple(by_id[id_] for id_ in unique),
        dt_s=world.dt_s,
        max_steps=len(scenes) - 1,
    )


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
