"""Every switch of the agent at least once, alone and together."""

from __future__ import annotations

from robonav_ray.algo.lidar_ring import LidarRing
from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.structure import Structure
from robonav_ray.config.algo import AlgoConfig

RING = LidarRing(2, 3, 12)
SET = NeighborSet(6, 6, 6, presence=1)
"""Half of the items of random observations do not exist."""
OBS_DIM, NUM_ACTIONS = 2 + 36 + 4, 5
_SMALL = {"hidden_dims": (24, 16)}

# fmt: off
VARIANTS: dict[str, AlgoConfig] = {
    name: AlgoConfig(**{**_SMALL, **switches})
    for name, switches in {
        "dqn": {"double": False, "dueling": False},
        "double_dueling": {},
        "c51": {"distribution": "c51", "num_atoms": 21, "v_min": -2.0, "v_max": 3.0, "dueling": False, "double": False},
        "c51_dueling_double": {"distribution": "c51", "num_atoms": 11},
        "qr": {"distribution": "qr", "num_quantiles": 7, "dueling": False, "double": False},
        "qr_dueling_double": {"distribution": "qr", "num_quantiles": 8, "huber_delta": 0.5},
        "iqn": {"distribution": "iqn", "tau_embedding_dim": 8, "dueling": False, "double": False},
        "iqn_dueling_double": {"distribution": "iqn", "num_tau": 4, "num_target_tau": 6, "num_acting_tau": 16},
        "noisy": {"noisy": True, "dueling": False},
        "noisy_dueling": {"noisy": True, "noisy_sigma": 0.3},
        "rainbow": {"noisy": True, "distribution": "c51", "num_atoms": 11},
        "noisy_qr": {"noisy": True, "distribution": "qr", "num_quantiles": 6},
        "noisy_iqn": {"noisy": True, "distribution": "iqn", "tau_embedding_dim": 8},
        "munchausen": {"munchausen": True, "double": False},
        "munchausen_qr": {"munchausen": True, "double": False, "distribution": "qr", "num_quantiles": 6},
        "munchausen_iqn": {"munchausen": True, "double": False, "distribution": "iqn", "tau_embedding_dim": 8},
        "layer_norm": {"layer_norm": True},
        "dropout": {"dropout": 0.3, "layer_norm": True, "distribution": "iqn"},
        "lidar_conv": {"encoder": "lidar_conv", "conv_channels": (4, 6)},
        "lidar_conv_all": {"encoder": "lidar_conv", "conv_channels": (5,), "conv_kernel": 7, "conv_stride": 5,
                           "layer_norm": True, "noisy": True, "distribution": "c51", "num_atoms": 11},
    }.items()
}
"""Every switch by itself, and those that meet."""
SETS = {"deep_set": (12, 10), "attention": (14, 6)}
VARIANTS |= {
    f"{encoder}_{name}": AlgoConfig(**{**_SMALL, "encoder": encoder, "set_dims": dims, **switches})
    for encoder, dims in SETS.items()
    for name, switches in {
        "alone": {"double": False, "dueling": False},
        "double_dueling": {"n_step": 5, "set_dims": (9,)},
        "c51": {"distribution": "c51", "num_atoms": 11},
        "qr_munchausen": {"distribution": "qr", "num_quantiles": 6, "munchausen": True, "double": False},
        "iqn_munchausen": {"distribution": "iqn", "tau_embedding_dim": 8, "munchausen": True, "double": False},
        "rainbow": {"noisy": True, "distribution": "c51", "num_atoms": 11, "layer_norm": True},
        "noisy_iqn": {"noisy": True, "distribution": "iqn", "tau_embedding_dim": 8, "initializer": "lecun"},
        "dropout": {"dropout": 0.3, "layer_norm": True, "distribution": "qr", "num_quantiles": 6},
    }.items()
}
"""A set of neighbours under every switch."""


def structure_for(algo: AlgoConfig) -> Structure:
    """What the encoder of ``algo`` goes along."""
    return SET if algo.looks_at_a_set else RING
# fmt: on
