"""Watching a policy drive: as frames for a GIF, or live in a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from robonav_ray.config.worlds import EnvConfig
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.given import LevelsLike, WorldLike, as_levels, as_world
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail
from robonav_ray.worlds.pictures.render_human import Window

Act = Callable[[np.ndarray], np.ndarray]
"""obs (R, D) float32 -> action (R,) int or (R, 2) float; R is the number of robots, mostly 1."""
MAX_PICTURES = 600
"""Of an episode in a map."""
HOLD_S = 1.2
"""How long the last picture of an episode stays."""


def film_episodes(
    act: Act,
    env: EnvConfig | WorldLike,
    levels: LevelsLike,
    *,
    level: int,
    seed: int,
    gamma: float,
    num_episodes: int = 3,
    size_px: int = 480,
    title: str = "",
) -> Iterator[np.ndarray]:
    """Yield one picture (H, W, 3) uint8 per step of episodes 0, 1, ... of world 0 under ``seed``; the last one of each
    stays a while. In a map, where an episode may be of thousands of steps, one of several steps, so that the longest
    has about ``MAX_PICTURES``.
    """
    worlds = single_world(env, levels, level, seed, gamma)
    yield from film_world(act, worlds, level=level, num_episodes=num_episodes, size_px=size_px, title=title)


def film_world(
    act: Act, worlds: BatchedWorlds, *, level: int, num_episodes: int = 3, size_px: int = 480, title: str = ""
) -> Iterator[np.ndarray]:
    """As ``film_episodes``, in a world of ``single_world`` that ``act`` may know."""
    if num_episodes < 1:
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    max_steps = worlds.levels[level].max_steps
    renderer = SceneRenderer(size_px, title, max_steps=max_steps)
    every = max(1, max_steps // MAX_PICTURES) if worlds.maps else 1
    hold = round(HOLD_S / worlds.config.dt_s)
    for _ in range(num_episodes):
        frame = np.zeros(0, np.uint8)
        for frame in _episode(act, worlds, renderer, every):
            yield frame
        for _ in range(hold):
            yield frame


def record_episodes(
    act: Act,
    env: EnvConfig | WorldLike,
    levels: LevelsLike,
    *,
    level: int,
    seed: int,
    gamma: float,
    num_episodes: int = 3,
    size_px: int = 480,
    title: str = "",
) -> list[np.ndarray]:
    """Return the frames of ``film_episodes`` as a list: .75 MB a frame at 480 px."""
    frames = film_episodes(
        act, env, levels, level=level, seed=seed, gamma=gamma, num_episodes=num_episodes, size_px=size_px, title=title
    )
    return list(frames)


def play_window(
    act: Act,
    env: EnvConfig | WorldLike,
    levels: LevelsLike,
    *,
    level: int,
    seed: int,
    gamma: float,
    num_episodes: int | None = None,
    size_px: int = 720,
    title: str = "",
    speed: float = 1.0,
) -> int:
    """Show episode after episode in real time (times ``speed``) until the user has enough; return how many were begun.

    Keys: space halts and goes on, n takes the next episode, q or escape quits (as closing the window does).
    ``num_episodes`` None goes on for ever. DependencyNotInstalled, with what to install, when pygame-ce is missing.
    """
    worlds = single_world(env, levels, level, seed, gamma)
    return show_world(act, worlds, level=level, num_episodes=num_episodes, size_px=size_px, title=title, speed=speed)


def show_world(
    act: Act,
    worlds: BatchedWorlds,
    *,
    level: int,
    num_episodes: int | None = None,
    size_px: int = 720,
    title: str = "",
    speed: float = 1.0,
) -> int:
    """As ``play_window``, in a world of ``single_world`` that ``act`` may know."""
    if speed <= 0.0:
        raise ValueError(f"speed must be above 0, got {speed}")
    window = Window(f"{title or 'robonav_ray'}   (space: pause, n: next, q: quit)")
    renderer = SceneRenderer(size_px, title, max_steps=worlds.levels[level].max_steps)
    fps, begun = speed / worlds.config.dt_s, 0
    try:
        while window.is_open and (num_episodes is None or begun < num_episodes):
            begun += 1
            _show_episode(window, _episode(act, worlds, renderer), fps)
    finally:
        window.close()
    return begun


def show_frames(frames: Iterator[np.ndarray], *, fps: float, title: str) -> None:
    """Show pictures (H, W, 3) uint8, one at least, in a window, with the keys of ``play_window``, until they end or the
    user has enough. DependencyNotInstalled as there.
    """
    window = Window(f"{title}   (space: pause, q: quit)")
    try:
        _show_episode(window, frames, fps)
    finally:
        window.close()


def single_world(env: EnvConfig | WorldLike, levels: LevelsLike, level: int, seed: int, gamma: float) -> BatchedWorlds:
    """Return world 0 under ``seed``, which begins its next episode under ``level``."""
    world = as_world(env)
    worlds = BatchedWorlds(world, as_levels(levels, world), 1, seed, gamma)
    worlds.set_level(level)
    return worlds


def _episode(act: Act, worlds: BatchedWorlds, renderer: SceneRenderer, every: int = 1) -> Iterator[np.ndarray]:
    """Yield a picture after the reset, after each ``every``-th step of the next episode, and at its end."""
    trail = Trail()
    worlds.reset()
    scene = worlds.scene(0)
    trail.add(scene)
    yield renderer.render(scene, trail)
    while not scene.robot_ended.all():
        worlds.step(act(worlds.out.obs), DISABLED)
        scene = worlds.scene(0)
        trail.add(scene)
        if scene.step % every == 0 or scene.robot_ended.all():
            yield renderer.render(scene, trail)


def _show_episode(window: Window, frames: Iterator[np.ndarray], fps: float) -> None:
    """Show one episode, and its last picture for ``HOLD_S``; return early when the user wants the next one or none."""
    halted, frame, hold = False, next(frames), round(HOLD_S * fps)
    while window.is_open:
        for key in window.show(frame, fps):
            if key in ("q", "escape"):
                window.close()
                return
            if key == "n":
                return
            if key == "space":
                halted = not halted
        if halted or not window.is_open:
            continue
        following = next(frames, None)
        if following is None:
            hold -= 1
            if hold < 0:
                return
        else:
            frame = following
