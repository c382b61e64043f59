"""The words in a picture: the line above the arena, and what is said about the end."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from robonav_ray.records import Outcome
from robonav_ray.text import one_line
from robonav_ray.worlds.batched import Scene
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.palette import Color, mix, robot_color

OVERSAMPLE = 3
"""Shapes are drawn this many times larger and averaged down."""
OUTCOME_TEXT = {
    Outcome.NONE: "",
    Outcome.SUCCESS: "all goals reached",
    Outcome.COLLISION_STATIC: "hit an obstacle",
    Outcome.COLLISION_DYNAMIC: "hit a moving obstacle",
    Outcome.COLLISION_WALL: "hit a wall",
    Outcome.COLLISION_ROBOT: "hit another robot",
    Outcome.TIMEOUT: "out of time",
    Outcome.CUT_OFF: "did not end",
}
"""What a picture says about the end of an episode."""


@lru_cache(maxsize=32)
def font_of(size_px: int) -> ImageFont.FreeTypeFont:
    """Return the font that comes with Pillow."""
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size_px))


def outcome_text(scene: Scene) -> str:
    """Return what to say about the end; empty while a robot is under way."""
    if (scene.outcome == Outcome.NONE).any():
        return ""
    won, num = int((scene.outcome == Outcome.SUCCESS).sum()), len(scene.outcome)
    if num == 1:
        return OUTCOME_TEXT[Outcome(int(scene.outcome[0]))]
    return f"{won} of {num} robots reached all goals"


def outcome_tone(scene: Scene) -> Color:
    """Return green when all succeeded, vermilion when one collided, else grey."""
    if (scene.outcome == Outcome.SUCCESS).all():
        return col.SUCCESS
    return col.FAILURE if any(Outcome(int(o)).is_collision for o in scene.outcome) else col.WALL


def draw_hud(scene: Scene, width: int, height: int, title: str, max_steps: int | None) -> Image.Image:
    """Return the line above the arena: title, one pip per goal (with several robots, per robot), step and a time
    bar.
    """
    large = Image.new("RGB", (width * OVERSAMPLE, height * OVERSAMPLE), col.PAPER)
    pad, font = width * 0.02, font_of(max(9, round(height * 0.42)))
    steps = f"step {scene.step}" if max_steps is None else f"step {scene.step} / {max_steps}"
    widest = f"step {max_steps or max(scene.step, 100)}" + (f" / {max_steps}" if max_steps else "")
    right = width - 2.5 * pad - font.getlength(widest)
    pen = ImageDraw.Draw(large)
    left = _draw_pips(pen, scene, right * OVERSAMPLE, 0.47 * large.height, 0.15 * large.height) / OVERSAMPLE
    if max_steps:
        bar = large.width * min(1.0, scene.step / max_steps)
        pen.rectangle((0, large.height - 3 * OVERSAMPLE, bar, large.height), fill=mix(col.PAPER, col.ROBOT[0], 0.55))
    image = large.reduce(OVERSAMPLE)
    text, middle = ImageDraw.Draw(image), 0.47 * height
    text.text((width - pad, middle), steps, fill=col.PALE_INK, font=font, anchor="rm")
    caption = shortened(one_line(title or f"level {scene.level}"), font, left - 2 * pad)
    text.text((pad, middle), caption, fill=col.INK, font=font, anchor="lm")
    return image


def _draw_pips(pen: ImageDraw.ImageDraw, scene: Scene, right: float, middle: float, size: float) -> float:
    """Draw the pips, full for what is reached, up to x = ``right``; return where they begin."""
    several = len(scene.robot_pose) > 1
    full = scene.outcome == Outcome.SUCCESS if several else np.arange(scene.goals.shape[1]) < scene.goal_index[0]
    x = right
    for r in reversed(range(len(full))):
        color = robot_color(scene.color_number(r)) if several else col.SUCCESS
        box = (x - 2 * size, middle - size, x, middle + size)
        pen.ellipse(box, fill=color if full[r] else None, outline=color, width=max(1, round(size * 0.35)))
        x -= 2.9 * size
    return x


def shortened(text: str, font: ImageFont.FreeTypeFont, width: float, *, end: bool = True) -> str:
    """Return ``text``, or as much of it as ``width`` px hold, with dots where its ``end``, else its beginning, was."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1] if end else text[1:]
    return f"{text}..." if end else f"...{text}"
