"""The structure in a flat observation that an encoder goes along: a lidar's ring, or a set of neighbours."""

from __future__ import annotations

from robonav_ray.algo.lidar_ring import LidarRing, lidar_ring
from robonav_ray.algo.neighbor_set import NeighborSet, neighbor_set
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.worlds import EnvConfig

Structure = LidarRing | NeighborSet


def structure_of(env: EnvConfig, obs_dim: int) -> Structure | None:
    """Return the structure in the observations of ``env``, which have ``obs_dim`` columns; None when there is none."""
    return lidar_ring(env) or neighbor_set(env, obs_dim)


def encoded(algo: AlgoConfig, structure: Structure | None) -> Structure | None:
    """Return what of ``structure`` the encoder of ``algo`` goes along; None for ``mlp``, which takes a row as it is.

    Raises:
        ValueError: When the encoder needs another structure than there is.
    """
    if algo.encoder == "mlp":
        return None
    wanted = NeighborSet if algo.looks_at_a_set else LidarRing
    if not isinstance(structure, wanted):
        needed = "a set of neighbours in the observation" if algo.looks_at_a_set else "a lidar that looks all around"
        raise ValueError(f"algo.encoder={algo.encoder} needs {needed}; set algo.encoder=mlp")
    return structure
