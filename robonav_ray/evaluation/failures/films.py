"""Failures as pictures: a film of the worst ones side by side, and three pictures of how a typical one ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from robonav_ray.evaluation.failures.replays import Recording
from robonav_ray.worlds.pictures.film import contact_sheet, save_gif
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail
from robonav_ray.worlds.play import show_frames

NUM_WORST = 8
FILM_S, HOLD_S = 5.0, 1.2
"""What is shown of each episode, and how long its last picture stays."""
MOMENTS_S = (2.0, 1.0, 0.0)
"""Before the end."""
_PANEL_PX, _PICTURE_PX, _FILM_PX, _WINDOW_PX, _COLUMNS = 256, 300, 480, 720, 4


def film_worst(path: Path, recordings: Sequence[Recording], titles: Sequence[str]) -> int:
    """Write the ends of up to ``NUM_WORST`` episodes side by side as one GIF; return how many pictures it has.

    All end at once, and the last picture stays.
    """
    panels = [_ending(recording, title) for recording, title in zip(recordings, titles, strict=True)]
    steps = round(FILM_S / recordings[0].dt_s)
    frames = _sheets([list(panel) for panel in panels][:NUM_WORST], steps + 1)
    return save_gif(frames, path, fps=min(50.0, round(1 / recordings[0].dt_s)))


def _sheets(panels: list[list[np.ndarray]], num: int) -> Iterator[np.ndarray]:
    frame = np.zeros(0, np.uint8)
    for k in range(num):
        moment = [panel[max(0, len(panel) - num + k)] for panel in panels]
        frame = contact_sheet(moment, len(moment), min(_COLUMNS, len(moment)))
        yield frame
    for _ in range(round(HOLD_S * num / FILM_S)):  # as long in seconds for any duration of a step
        yield frame


def _ending(recording: Recording, title: str) -> Iterator[np.ndarray]:
    """Yield a picture of each of the last moments, oldest first."""
    renderer, trail = SceneRenderer(_PANEL_PX, title, max_steps=recording.max_steps), Trail()
    first = max(0, recording.num_steps - round(FILM_S / recording.dt_s))
    for k, scene in enumerate(recording.scenes):
        trail.add(scene)
        if k >= first:
            yield renderer.render(scene, trail)


def film_recording(path: Path, recording: Recording, title: str) -> int:
    """Write a whole episode as a GIF; return how many pictures it has."""

    def frames() -> Iterator[np.ndarray]:
        frame = np.zeros(0, np.uint8)
        for frame in _whole(recording, title, _FILM_PX):
            yield frame
        for _ in range(round(HOLD_S / recording.dt_s)):
            yield frame

    return save_gif(frames(), path, fps=min(50.0, round(1 / recording.dt_s)))


def show_recording(recording: Recording, title: str) -> None:
    """Show a whole episode in a window, in real time; DependencyNotInstalled without pygame-ce."""
    show_frames(_whole(recording, title, _WINDOW_PX), fps=1 / recording.dt_s, title=title)


def _whole(recording: Recording, title: str, size_px: int) -> Iterator[np.ndarray]:
    renderer, trail = SceneRenderer(size_px, title, max_steps=recording.max_steps), Trail()
    for scene in recording.scenes:
        trail.add(scene)
        yield renderer.render(scene, trail)


def moments(recording: Recording) -> np.ndarray:
    """Return the last two seconds as three pictures side by side, (H, W, 3) uint8."""
    renderer, trail = SceneRenderer(_PICTURE_PX, max_steps=recording.max_steps), Trail()
    wanted = [(max(0, recording.num_steps - round(before / recording.dt_s)), before) for before in MOMENTS_S]
    frames: list[np.ndarray] = []
    for k, scene in enumerate(recording.scenes):
        trail.add(scene)
        for step, before in wanted:
            if step == k:
                renderer.title = f"{before:g} s before" if before else "the end"
                frames.append(renderer.render(scene, trail))
    return contact_sheet(frames, len(frames))
