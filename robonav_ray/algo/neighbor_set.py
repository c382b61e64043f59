"""Which columns of a flat observation are a set of neighbours: items of one form, in no order that means anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

from robonav_ray.config.worlds import EnvConfig


@dataclass(frozen=True)
class NeighborSet:
    """``own`` columns about the robot itself, then ``num_items`` items of ``item_size`` columns each, to the end of the
    row.
    """

    own: int
    num_items: int
    item_size: int
    presence: int = 0
    """Column of an item that is above 0 where the item exists; an absent one is all 0."""

    @property
    def size(self) -> int:
        """Columns of the observation."""
        return self.own + self.num_items * self.item_size

    def fits(self, obs_dim: int) -> bool:
        """Whether an observation of ``obs_dim`` columns is of this form, with any number of items."""
        return obs_dim > self.own and (obs_dim - self.own) % self.item_size == 0

    def is_alike(self, other: object) -> bool:
        """Whether ``other`` is a set of the same form, with any number of items."""
        return isinstance(other, NeighborSet) and replace(self, num_items=other.num_items) == other


_FORMS = {
    "state": NeighborSet(6, 0, 7, presence=4),
    "neighbors": NeighborSet(6, 0, 8, presence=0),
    "encounters": NeighborSet(9, 0, 20, presence=0),
}
"""``env.world.observation`` -> the form of its set; a circle in ``state`` exists where its radius is above 0."""


def neighbor_set(env: EnvConfig, obs_dim: int) -> NeighborSet | None:
    """Return the set in the observations of ``env``, which have ``obs_dim`` columns; None when there is none: another
    environment, a lidar, or no room for any neighbour.

    Our worlds put what the robot knows of itself first (``worlds.kernels.observation.ObservationLayout``).
    """
    form = _FORMS.get(env.world.observation) if env.is_native else None
    if form is None or not form.fits(obs_dim):
        return None
    return NeighborSet(form.own, (obs_dim - form.own) // form.item_size, form.item_size, form.presence)
