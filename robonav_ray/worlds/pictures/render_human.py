"""A window on the screen, through pygame-ce; imported when a window is opened, and never before."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled


def _pygame() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled("a window needs pygame-ce: pip install robonav_ray[human]") from error
    return pygame


class Window:
    """Shows frames at a steady rate and tells which keys were pressed.

    When the user closes the window, ``is_open`` is False from then on and ``show`` does nothing.
    """

    def __init__(self, title: str) -> None:
        """Load pygame; the window opens with the first frame. DependencyNotInstalled says what to install when it is
        missing.
        """
        self._pygame = _pygame()
        self._title = title
        self._surface: Any = None
        self._clock: Any = None
        self.is_open = True

    def show(self, frame: np.ndarray, fps: float) -> list[str]:
        """Show ``frame`` (H, W, 3) uint8, wait for the rest of 1 / ``fps`` s, and return the names of keys pressed
        since.
        """
        if not self.is_open:
            return []
        pygame = self._pygame
        size = (frame.shape[1], frame.shape[0])
        if self._surface is None or self._surface.get_size() != size:
            pygame.display.init()
            self._surface = pygame.display.set_mode(size)
            pygame.display.set_caption(self._title)
            self._clock = pygame.time.Clock()
        self._surface.blit(pygame.image.frombuffer(np.ascontiguousarray(frame), size, "RGB"), (0, 0))
        pygame.display.flip()
        keys = self._keys()
        if self.is_open:
            self._clock.tick(fps)
        return keys

    def _keys(self) -> list[str]:
        pygame, keys = self._pygame, []
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                self.close()
                return keys
            if event.type == pygame.KEYDOWN:
                keys.append(pygame.key.name(event.key))
        return keys

    def close(self) -> None:
        """Close the window; again is harmless."""
        if self._surface is not None:
            self._pygame.display.quit()
            self._surface = None
        self.is_open = False
