"""What ``render_mode`` means, once for every environment that shows a world."""

from __future__ import annotations

from typing import Any

import numpy as np

from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail
from robonav_ray.worlds.pictures.render_human import Window

RENDER_MODES = ("human", "rgb_array")


def metadata_of(dt_s: float, **more: Any) -> dict[str, Any]:
    """Return the ``metadata`` of an environment: its render modes, and 1 / dt frames per second."""
    return {"render_modes": list(RENDER_MODES), "render_fps": max(1, round(1.0 / dt_s)), **more}


class Camera:
    """Follows world 0 of ``worlds``; costs nothing when ``render_mode`` is None."""

    def __init__(self, worlds: BatchedWorlds, render_mode: str | None, size_px: int, title: str) -> None:
        """ValueError for a ``render_mode`` that does not exist."""
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode must be None, 'human' or 'rgb_array', got {render_mode!r}")
        self.render_mode, self._worlds, self._title = render_mode, worlds, title
        self._renderer = SceneRenderer(size_px, title)
        self._trail = Trail()
        self._window: Window | None = None

    def follow(self) -> None:
        """Call after every reset and step: keeps the trail, and in "human" mode shows the picture."""
        if self.render_mode is None:
            return
        self._trail.add(self._worlds.scene(0))
        if self.render_mode == "human":
            self._show()

    def render(self) -> np.ndarray | None:
        """Return the picture in "rgb_array" mode; show it again in "human" mode."""
        if self.render_mode is None:
            return None
        if self.render_mode == "human":
            self._show()
            return None
        return self._picture()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _picture(self) -> np.ndarray:
        scene = self._worlds.scene(0)
        self._renderer.max_steps = self._worlds.levels[scene.level].max_steps
        return self._renderer.render(scene, self._trail)

    def _show(self) -> None:
        if self._window is None:
            self._window = Window(self._title or "robonav_ray")
        if self._window.is_open:
            self._window.show(self._picture(), 1.0 / self._worlds.config.dt_s)
