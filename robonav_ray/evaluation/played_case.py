"""One case of worlds that robots share, as it was driven: for a film, a window, and words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robonav_ray.evaluation.together import CaseTable, MakeWorlds, Player, play_cases
from robonav_ray.records import Outcome
from robonav_ray.worlds.pictures.film import save_gif
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail
from robonav_ray.worlds.play import HOLD_S, show_frames
from robonav_ray.worlds.scene import Scene
from robonav_ray.worlds.vector_env import NavVectorEnv

_FILM_PX, _WINDOW_PX = 480, 720


class NamedPlayer(NamedTuple):
    """Who sits in robots."""

    id: str
    """For programs."""
    shown: str
    """For people."""


@dataclass(frozen=True)
class PlayedCase:
    """One case as its players played it."""

    case: int
    title: str
    scenes: tuple[Scene, ...]
    """Of the start, and of each step."""
    table: CaseTable
    """A single row."""
    players: tuple[NamedPlayer, ...]
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


def watch_case(
    make: MakeWorlds,
    cast: Sequence[Player],
    case: int,
    seed: int,
    *,
    dt_s: float,
    title: str,
    players: Sequence[NamedPlayer],
) -> PlayedCase:
    """Play ``case`` as ``play_cases`` does, and keep what it looked like; ``players`` name the cast, each once.

    Raises:
        TogetherError: For players that cannot share these worlds.
    """
    scenes = list[Scene]()

    def watched(first: int, num: int) -> NavVectorEnv:
        before, env = make(first, num), make(first, num)
        before.reset()
        scenes.append(before.worlds.scene(0))
        env.watch = lambda: scenes.append(env.worlds.scene(0))
        return env

    table = play_cases(watched, cast, 1, seed, first_case=case)
    seats = table.player[0][table.player[0] >= 0]
    shown = tuple(replace(scene, player=seats) for scene in scenes)
    return PlayedCase(case, title, shown, table, tuple(players), dt_s, len(scenes) - 1)


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
