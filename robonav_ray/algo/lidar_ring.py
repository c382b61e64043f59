"""Which columns of a flat observation are scans that look all around."""

from __future__ import annotations

from dataclasses import dataclass

from robonav_ray.config.worlds import EnvConfig


@dataclass(frozen=True)
class LidarRing:
    """``num_scans`` scans of ``num_beams`` beams, one after another from column ``start``; a scan's last beam is next
    to its first.
    """

    start: int
    num_scans: int
    num_beams: int

    @property
    def size(self) -> int:
        """Columns of all scans."""
        return self.num_scans * self.num_beams


def lidar_ring(env: EnvConfig) -> LidarRing | None:
    """Return the ring in the observations of ``env``; None when there is none: another environment, true states, or a
    sector.

    Our worlds put the scans first (``worlds.observation.ObservationLayout``).
    """
    lidar = env.world.lidar
    return LidarRing(0, lidar.stack, lidar.num_beams) if env.has_lidar_ring else None
